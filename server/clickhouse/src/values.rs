//! Units' values of a Flink job: in as they come, out as the sums of a phase.

use clickhouse::{Row, types::Int256};
use evenhand_pipeline::{analytics::Slice, process::cut};
use serde::{Deserialize, Serialize};

use crate::{
    error::ClickHouseError,
    rows::{CellRow, MARKER},
    schema::{local, on_cluster},
    store::ClickHouse,
    text::literal,
};

/// A row of `unit_values`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct UnitValueRow {
    /// The environment.
    pub environment: String,
    /// The experiment.
    pub experiment: String,
    /// Its phase.
    pub phase: u32,
    /// The metric; empty: the unit itself.
    pub metric: String,
    /// The epoch.
    pub epoch: u32,
    /// The unit's stored id.
    pub unit: String,
    /// The variation; empty where the standing is not Counted.
    pub variation: String,
    /// The kind of key.
    pub key_kind: u8,
    /// See [`evenhand_pipeline::process::aggregate::Standing`].
    pub standing: u8,
    /// Micro-units.
    pub value: i64,
    /// Micro-units.
    pub pair: i64,
    /// The unit's type.
    pub unit_type: String,
    /// When it was first exposed, milliseconds since 1970.
    pub exposed_at: i64,
    /// What it can be cut to, such as `country=SE`, and the band of its value.
    pub cuts: Vec<String>,
    /// The topic that the record stands in.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset: the greatest holds.
    pub version: u64,
    /// 1: the value is taken back.
    pub gone: u8,
}

/// What is loaded of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct LoadedPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset behind the last record that is loaded.
    pub position: u64,
}

/// The sums of one group of units.
#[derive(Debug, Row, Serialize, Deserialize)]
struct SumsRow {
    metric: String,
    epoch: u32,
    variation: String,
    key_kind: u8,
    standing: u8,
    day: i32,
    cut: String,
    n: i64,
    sum: Int256,
    sum_sq: Int256,
    pair_sum: Int256,
    pair_sum_sq: Int256,
    pair_cross: Int256,
}

/// Those of a unit's cuts whose text begins so.
fn beginning_with(start: &str) -> String {
    format!(
        "arrayFilter(one -> startsWith(one, {}), arrayMap(one -> toString(one), cuts))",
        literal(start)
    )
}

#[derive(Row, Serialize, Deserialize)]
struct Found {
    found: u8,
}

impl ClickHouse {
    /// Inserts values. Doing it again changes nothing.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn insert_unit_values(&self, rows: &[UnitValueRow]) -> Result<(), ClickHouseError> {
        self.insert("storing unit values", "unit_values", rows).await
    }

    /// What is loaded, of every topic and partition that anything came from.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn loaded_partitions(&self) -> Result<Vec<LoadedPartition>, ClickHouseError> {
        let sql = "SELECT toString(unit_values.topic) AS topic, partition, max(version) + 1 AS position FROM unit_values GROUP BY topic, partition ORDER BY topic, partition";
        self.fetch("asking what is loaded", sql).await
    }

    /// Whether results come from values that a Flink job has computed.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn is_loaded(&self) -> Result<bool, ClickHouseError> {
        self.any("SELECT 1 FROM unit_values LIMIT 1").await
    }

    /// Whether results come from aggregates that a processor counts.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn is_processed(&self) -> Result<bool, ClickHouseError> {
        self.any(&format!("SELECT 1 FROM cells WHERE target = {MARKER} LIMIT 1"))
            .await
    }

    async fn any(&self, rows: &str) -> Result<bool, ClickHouseError> {
        let sql = format!("SELECT toUInt8(count()) AS found FROM ({rows})");
        let found: Vec<Found> = self.fetch("asking where results come from", &sql).await?;
        Ok(found.iter().any(|row| row.found != 0))
    }

    /// Empties the unit values. No loader may run meanwhile.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn forget_unit_values(&self) -> Result<(), ClickHouseError> {
        let (table, on_cluster) = (local(&self.settings, "unit_values"), on_cluster(&self.settings));
        self.execute(
            "emptying the unit values",
            &format!("TRUNCATE TABLE IF EXISTS {table}{on_cluster}"),
        )
        .await
    }

    /// The sums of one phase as cells that no partition and no target has.
    pub(crate) async fn phase_values(
        &self,
        environment: &str,
        experiment: &str,
        phase: u32,
        slice: &Slice,
    ) -> Result<Vec<CellRow>, ClickHouseError> {
        let day = if slice.daily {
            "toInt32(toDate32(exposed_at))"
        } else {
            "toInt32(-1)"
        };
        let cut = match &slice.dimension {
            None if slice.daily => "''".to_owned(),
            None => format!("arrayJoin(arrayPushFront({}, ''))", beginning_with(&cut::of_bands())),
            Some(dimension) => format!("arrayJoin({})", beginning_with(&cut::text(dimension, ""))),
        };
        // The names of the columns are given in the end, so that none of them hides what it is made of.
        let sql = format!(
            "SELECT toString(m) AS metric, e AS epoch, toString(v) AS variation, k AS key_kind, s AS standing, d AS day, c AS cut, n,
                x AS sum, xx AS sum_sq, y AS pair_sum, yy AS pair_sum_sq, xy AS pair_cross
             FROM (
                SELECT metric AS m, epoch AS e, variation AS v, key_kind AS k, standing AS s, {day} AS d, {cut} AS c, toInt64(count()) AS n,
                    sum(toInt256(value)) AS x, sum(toInt256(toInt128(value) * value)) AS xx, sum(toInt256(pair)) AS y,
                    sum(toInt256(toInt128(pair) * pair)) AS yy, sum(toInt256(toInt128(value) * pair)) AS xy
                FROM unit_values FINAL WHERE environment = {} AND experiment = {} AND phase = {phase}
                GROUP BY m, e, v, k, s, d, c)
             ORDER BY metric, epoch, variation, key_kind, standing, cut, day",
            literal(environment),
            literal(experiment)
        );
        let rows: Vec<SumsRow> = self.fetch("adding up unit values", &sql).await?;
        Ok(rows
            .into_iter()
            .map(|row| row.cell(environment, experiment, phase))
            .collect())
    }
}

impl SumsRow {
    fn cell(self, environment: &str, experiment: &str, phase: u32) -> CellRow {
        CellRow {
            environment: environment.to_owned(),
            experiment: experiment.to_owned(),
            phase,
            metric: self.metric,
            epoch: self.epoch,
            variation: self.variation,
            key_kind: self.key_kind,
            standing: self.standing,
            day: self.day,
            cut: self.cut,
            n: self.n,
            sum: self.sum,
            sum_sq: self.sum_sq,
            pair_sum: self.pair_sum,
            pair_sum_sq: self.pair_sum_sq,
            pair_cross: self.pair_cross,
            ..CellRow::marker(0, 0, 0, 0)
        }
    }
}
