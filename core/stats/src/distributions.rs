//! Probability distributions with full relative accuracy in the tails.

pub mod normal;
pub mod student_t;
