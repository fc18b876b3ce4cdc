//! What to believe of an effect, given a prior that is a proper distribution.
//!
//! Two models: normal–normal on the estimated effect ([`effect`]) for any metric, and beta–binomial on the rates themselves
//! ([`rates`]) for conversions, exact also for few of them.

pub mod effect;
mod march;
pub mod rates;
