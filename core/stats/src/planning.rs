//! How many units, and so how many days: before the first unit ([`power`] for two arms in absolute terms, [`design`] for whole
//! experiments in relative ones), and while it runs ([`remaining`]).

pub mod design;
pub mod power;
pub mod remaining;
pub mod traffic;
