//! Definitions in PostgreSQL, for many nodes at once, and the feed of what was committed.
//!
//! [`Postgres`] is one database: [`Postgres::store`] gives the stores of a node's management side, [`Postgres::feed`] tells of every
//! committed manifest version to one node at a time.

mod database;
pub mod feed;
mod lead;
mod migrate;
mod notices;
mod settings;
mod store;

pub use database::Postgres;
pub use feed::{Committed, Feed, FeedCounters, FeedMode, FeedSettings, FeedState, SlotStatus};
pub use lead::Candidate;
pub use notices::Notices;
pub use settings::PostgresSettings;
pub use store::{KEPT_LISTS_MS, PostgresStore};
