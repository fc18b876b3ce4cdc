//! Before the first unit: how many units, and so how many days.

pub mod power;
