//! Bandits: weights that follow what was learned, and effects that do not suffer from that.
//!
//! A batched Thompson sampler: at each update every arm has a posterior ([`posterior`]), its probability to be the best
//! ([`best_arm`]) becomes, above a floor, its share of the next epoch's traffic ([`weights`]). Units that came while weights moved
//! must not simply be added up; [`over_epochs`] puts them together rightly.

pub mod best_arm;
pub mod over_epochs;
pub mod posterior;
pub mod weights;
