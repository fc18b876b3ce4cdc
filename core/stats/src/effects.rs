//! Treatment against control.
//!
//! Two arms make a [`contrast`]; a procedure ([`fixed_horizon`], [`anytime`], [`group_sequential`]) judges it by way of
//! [`inference`], which yields a [`region`] and a p-value; [`minimum_data`] says whether it is time; [`multiple`] takes several
//! metrics together.

pub mod alpha_spending;
pub mod anytime;
pub mod confidence;
pub mod contrast;
pub mod effect;
pub mod fieller;
mod first_exit;
pub mod fixed_horizon;
pub mod group_sequential;
pub mod inference;
pub mod minimum_data;
pub mod multiple;
pub mod non_inferiority;
pub mod region;
pub mod welch;
