//! Probability distributions with full relative accuracy in the tails.

pub mod log_gamma;
pub mod normal;
pub mod student_t;
