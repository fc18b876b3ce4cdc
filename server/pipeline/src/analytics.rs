//! The analytics store: events by id, their history by unit, and the aggregates made of them.

mod apply;
mod catalog_rows;
mod cells;
mod dictionary;
mod erase;
mod history;
mod reader;
mod rebuild;
mod schema;
mod slice;
mod sqlite;

use std::{future::Future, pin::Pin, time::Duration};

pub(crate) use reader::AggregateReader;
pub use reader::{NamedCell, PhaseAggregates, TargetAggregates};
pub(crate) use schema::EVENTS;
pub use slice::Slice;
pub(crate) use sqlite::{SqliteAnalytics, open_reader};

use crate::{
    catalog::{Catalog, CatalogExperiment},
    error::StoreError,
    log::LogBatch,
    process::UnitKey,
};

/// What one application of log batches came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Records read.
    pub records: usize,
    /// Records dropped because another with their id counts.
    pub duplicates: usize,
    /// Stored events that a lesser record replaced.
    pub replaced: usize,
    /// Records that could not be read.
    pub unreadable: usize,
}

/// What one erasure removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// Events.
    pub events: usize,
    /// Units whose contributions were worked out again (an event may name several).
    pub units: usize,
}

/// When and how thoroughly to make things durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// If enough has gathered.
    WhenDue,
    /// Now, as far as readers let it, without waiting for them.
    Now,
    /// Now, waiting for readers, and leaving nothing of the past in auxiliary files.
    Scrub,
}

/// Where processed events go. One owner writes; every call is one transaction.
pub trait AnalyticsStore: Send {
    /// The log position up to which everything has been applied.
    fn position(&self) -> u64;

    /// Applies log batches, in order, and moves the position.
    ///
    /// # Errors
    /// The store can't be written; nothing has changed then.
    fn apply(&mut self, batches: &[LogBatch]) -> Result<Applied, StoreError>;

    /// Takes over a catalog: aggregates nobody asks for are dropped, new ones are marked for a rebuild.
    ///
    /// # Errors
    /// As [`Self::apply`].
    fn set_catalog(&mut self, catalog: &Catalog) -> Result<(), StoreError>;

    /// Goes on with a rebuild for about this long. The share that is done, or None when none is needed.
    ///
    /// # Errors
    /// As [`Self::apply`].
    fn rebuild(&mut self, budget: Duration) -> Result<Option<f64>, StoreError>;

    /// Removes a unit's events everywhere, with what they contributed.
    ///
    /// # Errors
    /// As [`Self::apply`].
    fn erase(&mut self, unit: UnitKey) -> Result<Erased, StoreError>;

    /// Nothing to do for a while: gives memory back.
    ///
    /// # Errors
    /// As [`Self::apply`].
    fn rest(&mut self) -> Result<(), StoreError>;

    /// Makes what was applied durable: the log position that is durable then, or None when it was not done.
    ///
    /// # Errors
    /// As [`Self::apply`].
    fn make_durable(&mut self, how: Flush) -> Result<Option<u64>, StoreError>;
}

/// Where results come from: the exact sums of one phase, whichever store holds them.
pub trait AggregateSource: Send + Sync {
    /// The aggregates of this phase as it is defined now; None when the store does not have it (yet).
    fn phase<'a>(&'a self, experiment: &'a CatalogExperiment, slice: &'a Slice) -> PhaseFuture<'a>;
}

/// What [`AggregateSource::phase`] gives.
pub type PhaseFuture<'a> = Pin<Box<dyn Future<Output = Result<Option<PhaseAggregates>, StoreError>> + Send + 'a>>;
