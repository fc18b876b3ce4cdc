//! Treatment against control.

pub mod welch;
