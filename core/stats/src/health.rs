//! Are the data themselves sound? Looked at before any effect.

pub mod balance;
pub mod culprits;
pub mod exposure;
pub mod loss;
pub mod sample_ratio;
pub mod sequential_sample_ratio;
