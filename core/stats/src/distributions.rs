//! Probability distributions with full relative accuracy in the tails.

pub mod beta;
pub mod divergence;
pub mod gauss_legendre;
pub mod log_gamma;
pub mod normal;
pub mod student_t;
