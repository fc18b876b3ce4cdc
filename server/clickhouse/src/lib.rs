//! Analytics in ClickHouse: raw events by unit, aggregates, and what analysts read.
//!
//! ```text
//! schema      the tables and views, made by the program that needs them (schema/*.sql)
//! rows        what a row of each table holds
//! events      raw rows in, unit histories out
//! cells       aggregates and markers, written together
//! values      units' values that a Flink job has computed, and their sums
//! results     cells, or sums of values → PhaseAggregates, for `evenhand_pipeline::results::summarise`
//! exposed     which units an exposure was received of
//! erase       one unit leaves
//! ```
//!
//! Nothing here counts on a row being inserted once, or on insert tokens: every table keeps one of equal rows.

mod cells;
mod check;
mod erase;
mod error;
mod events;
mod exposed;
mod results;
mod rows;
mod schema;
mod settings;
mod store;
mod text;
mod values;
mod watch;

pub use cells::{PartitionCells, WrittenCells};
pub use erase::{Erasure, ErasureEvent, TouchedUnit};
pub use error::ClickHouseError;
pub use results::ClickHouseResults;
pub use rows::{CellRow, HistoryRow, MARKER, UnitEventRow, environment_target, new_incarnation};
pub use settings::ClickHouseSettings;
pub use store::ClickHouse;
pub use values::{LoadedPartition, UnitValueRow};
