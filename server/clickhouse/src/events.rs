//! Raw rows in, unit histories out.

use std::collections::BTreeSet;

use clickhouse::Row;
use evenhand_pipeline::process::UnitKey;
use serde::{Deserialize, Serialize};

use crate::{
    error::ClickHouseError,
    rows::{HistoryRow, UnitEventRow},
    store::ClickHouse,
    text::{bytes, literal, units},
};

/// Units of one question: their keys as text stay well below the 256 KiB that ClickHouse reads as one query.
pub(crate) const UNITS_AT_ONCE: usize = 2_000;
/// ClickHouse refuses a block with rows of more than 100 partitions; history that is imported may have them.
const MONTHS_AT_ONCE: usize = 90;
/// The shortest month, in milliseconds: spans of this length touch at most two.
const MONTH_MS: i64 = 28 * 86_400_000;

#[derive(Row, Serialize, Deserialize)]
struct UnitRow {
    unit: [u8; 16],
}

impl ClickHouse {
    /// Inserts raw rows. Doing it again changes nothing.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses; some of the rows may be in then.
    pub async fn insert_events(&self, rows: &[UnitEventRow]) -> Result<(), ClickHouseError> {
        const DOING: &str = "storing events";
        let spans: BTreeSet<i64> = rows.iter().map(|row| row.time.div_euclid(MONTH_MS)).collect();
        if spans.len() * 2 <= MONTHS_AT_ONCE {
            return self.insert(DOING, "unit_events", rows).await;
        }
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| row.time);
        let mut rest = rows.as_slice();
        while let Some(first) = rest.first() {
            let until = first.time.saturating_add(MONTH_MS * (MONTHS_AT_ONCE as i64 - 2));
            let (now, later) = rest.split_at(rest.partition_point(|row| row.time < until));
            self.insert(DOING, "unit_events", now).await?;
            rest = later;
        }
        Ok(())
    }

    /// Gives all rows of these units, in no order, equal ones possibly more than once. After an error some were given.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn histories(
        &self,
        environment: &str,
        of: &[UnitKey],
        mut take: impl FnMut(HistoryRow<'_>),
    ) -> Result<(), ClickHouseError> {
        // Sorted, so that each question reads its own stretch of the table.
        let mut sorted = of.to_vec();
        sorted.sort_unstable();
        for some in sorted.chunks(UNITS_AT_ONCE) {
            let sql = format!(
                "SELECT unit, time, event_id, digest, partition, version, event_name, unit_type, key_kind, experiment, variation, phase, epoch,
                    overridden, value, properties
                 FROM unit_events WHERE environment = {} AND unit IN ({})",
                literal(environment),
                units(some)
            );
            self.each::<HistoryRow<'_>>("reading unit histories", &sql, &mut take)
                .await?;
        }
        Ok(())
    }

    /// The next units of a partition after one, in order, that have rows below an offset.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn units_after(
        &self,
        environment: &str,
        partition: u32,
        after: Option<UnitKey>,
        below: u64,
        limit: usize,
    ) -> Result<Vec<UnitKey>, ClickHouseError> {
        let after = after.map_or_else(String::new, |unit| {
            format!(" AND unit > toFixedString({}, 16)", bytes(&unit.0))
        });
        let sql = format!(
            "SELECT DISTINCT unit FROM unit_events
             WHERE environment = {}{after} AND partition = {partition} AND version > {}
             ORDER BY unit LIMIT {limit}",
            literal(environment),
            UnitEventRow::version_of(below)
        );
        let rows: Vec<UnitRow> = self.fetch("walking over units", &sql).await?;
        Ok(rows.into_iter().map(|row| UnitKey(row.unit)).collect())
    }
}
