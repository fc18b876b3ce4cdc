//! Against the real server: kept running, emptied, paused, killed.

mod cache;
mod following;
mod outages;
mod rates;
mod settings;
mod support;
