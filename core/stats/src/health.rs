//! Are the data themselves sound? Looked at before any effect.

pub mod sample_ratio;
