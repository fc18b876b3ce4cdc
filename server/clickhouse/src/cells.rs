//! Aggregates of a partition and the marker that says how far they are: read and written together.

use std::collections::HashSet;

use evenhand_pipeline::{analytics::Slice, process::cut};

use crate::{
    error::ClickHouseError,
    rows::{CellRow, MARKER},
    store::ClickHouse,
    text::literal,
};

/// Rows of one insert, beyond which ClickHouse might make two blocks of it, and "all or nothing" would be gone.
const MOST_ROWS: usize = 500_000;

const COLUMNS: &str = "toString(environment) AS environment, experiment, phase, metric, target, partition, incarnation, epoch, variation, key_kind, standing, \
    day, cut, version, n, sum, sum_sq, pair_sum, pair_sum_sq, pair_cross, position, watermark, targets, incarnations, complete, covered_to, erasures, erased_below";

/// What ClickHouse holds of one partition.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartitionCells {
    /// The marker; None: nothing was ever written.
    pub marker: Option<CellRow>,
    /// The cells that are not zero, of the incarnations that the marker names.
    pub cells: Vec<CellRow>,
}

/// A marker with the cells that change with it.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenCells {
    /// The marker.
    pub marker: CellRow,
    /// The cells, each with its new sums.
    pub cells: Vec<CellRow>,
}

impl ClickHouse {
    /// The cells of a partition, from one moment.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn partition(&self, partition: u32) -> Result<PartitionCells, ClickHouseError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM cells FINAL WHERE partition = {partition} AND (n != 0 OR target = {MARKER})"
        );
        let mut found = PartitionCells::default();
        for row in self.fetch::<CellRow>("reading the cells of a partition", &sql).await? {
            if row.target == MARKER {
                found.marker = Some(row);
            } else {
                found.cells.push(row);
            }
        }
        let holds: HashSet<(u64, u64)> = found
            .marker
            .iter()
            .flat_map(CellRow::tracked)
            .map(|(t, i, ..)| (t, i))
            .collect();
        found.cells.retain(|row| holds.contains(&(row.target, row.incarnation)));
        Ok(found)
    }

    /// Writes a marker and its cells: all or nothing.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses, or there are too many cells for one block.
    pub async fn write_cells(&self, written: &WrittenCells) -> Result<(), ClickHouseError> {
        if written.cells.len() >= MOST_ROWS {
            return Err(ClickHouseError::Setting(format!(
                "A batch changes {} cells and at most {MOST_ROWS} can be written at once: take fewer events in a batch, or use fewer metrics.",
                written.cells.len()
            )));
        }
        let mut rows = written.cells.clone();
        rows.push(written.marker.clone());
        self.insert("storing aggregates", "cells", &rows).await
    }

    /// The markers of all partitions.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn markers(&self) -> Result<Vec<CellRow>, ClickHouseError> {
        let sql = format!("SELECT {COLUMNS} FROM cells FINAL WHERE target = {MARKER} ORDER BY partition");
        self.fetch("reading the markers", &sql).await
    }

    /// The markers of all partitions and the cells of one phase, from one moment.
    pub(crate) async fn phase_cells(&self, condition: &str, slice: &Slice) -> Result<Vec<CellRow>, ClickHouseError> {
        let day = if slice.daily { "day >= 0" } else { "day = -1" };
        let cut = match &slice.dimension {
            None => format!("(cut = '' OR startsWith(cut, {}))", literal(&cut::of_bands())),
            Some(dimension) => format!("startsWith(cut, {})", literal(&cut::text(dimension, ""))),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM cells FINAL WHERE target = {MARKER} OR ({condition} AND {day} AND {cut} AND n != 0)"
        );
        self.fetch("reading aggregates", &sql).await
    }
}
