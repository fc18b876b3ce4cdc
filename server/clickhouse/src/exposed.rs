//! Which units an exposure was received of.

use clickhouse::Row;
use evenhand_pipeline::{catalog::CatalogExperiment, process::UnitKey};
use serde::{Deserialize, Serialize};

use crate::{
    error::ClickHouseError,
    events::UNITS_AT_ONCE,
    store::ClickHouse,
    text::{literal, units},
};

const DOING: &str = "looking for units' exposures";

#[derive(Row, Serialize, Deserialize)]
struct Counted {
    exposed: u64,
}

impl ClickHouse {
    /// How many of these units have an exposure of this phase, in any variation: by the raw events, or where a Flink job computes
    /// the values by those.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn exposed(
        &self,
        environment: &str,
        experiment: &CatalogExperiment,
        of: &[UnitKey],
    ) -> Result<u64, ClickHouseError> {
        let (environment, phase) = (literal(environment), experiment.phase);
        let sent: Vec<String> = experiment
            .aliases
            .iter()
            .chain([&experiment.id])
            .map(|id| literal(id))
            .collect();
        let sent = sent.join(",");
        let loaded = self.is_loaded().await?;
        let (unit_type, id) = (literal(&experiment.unit_type), literal(&experiment.id));
        let mut sorted = of.to_vec();
        sorted.sort_unstable();
        let mut exposed = 0;
        for some in sorted.chunks(UNITS_AT_ONCE) {
            let keys = units(some);
            let sql = if loaded {
                // The key of a unit as the rest of the program makes it: the job has ids. A row that was taken back says that there is
                // no exposure any more.
                format!(
                    "SELECT uniqExact(unit) AS exposed FROM unit_values FINAL
                     WHERE environment = {environment} AND experiment = {id} AND phase = {phase} AND metric = '' AND unit_type = {unit_type}
                        AND gone = 0 AND substring(SHA256(concat({unit_type}, ':', unit)), 1, 16) IN ({keys})"
                )
            } else {
                format!(
                    "SELECT uniqExact(unit) AS exposed FROM unit_events
                     WHERE environment = {environment} AND unit IN ({keys}) AND experiment IN ({sent}) AND phase = {phase}
                        AND unit_type = {unit_type}"
                )
            };
            let rows: Vec<Counted> = self.fetch(DOING, &sql).await?;
            exposed += rows.iter().map(|row| row.exposed).sum::<u64>();
        }
        Ok(exposed)
    }
}
