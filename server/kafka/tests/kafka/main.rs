//! The log in Kafka, against one real broker for the whole program.

mod broker;
mod children;
mod events;
mod faults;
mod fixed_ranges;
mod format;
mod rekeying;
