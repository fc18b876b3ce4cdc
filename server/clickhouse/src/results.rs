//! Cells to the aggregates of a phase, which results are worked out from.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use evenhand_pipeline::{
    KeyKind, StoreError,
    analytics::{AggregateSource, NamedCell, PhaseAggregates, PhaseFuture, TargetAggregates},
    catalog::CatalogExperiment,
    process::{
        aggregate::{Standing, Sums},
        compile::targets_of,
    },
};

use crate::{
    error::ClickHouseError,
    rows::{MARKER, environment_target},
    store::ClickHouse,
    text::literal,
};

/// The aggregates of one environment.
#[derive(Debug, Clone)]
pub struct ClickHouseResults {
    store: ClickHouse,
    environment: Arc<str>,
}

impl ClickHouseResults {
    /// Reads this environment.
    pub fn new(store: ClickHouse, environment: impl Into<Arc<str>>) -> Self {
        Self {
            store,
            environment: environment.into(),
        }
    }

    async fn read(&self, experiment: &CatalogExperiment) -> Result<Option<PhaseAggregates>, StoreError> {
        let mut targets: HashMap<u64, String> = HashMap::new();
        for ((id, phase, metric), definition) in targets_of(experiment)? {
            targets.insert(
                environment_target(&self.environment, &id, phase, &metric, &definition),
                metric,
            );
        }
        let condition = format!(
            "environment = {} AND experiment = {} AND phase = {}",
            literal(&self.environment),
            literal(&experiment.id),
            experiment.phase
        );
        let rows = self.store.phase_cells(&condition).await?;
        let (markers, cells): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.target == MARKER);
        let mut holding: HashMap<u64, usize> = HashMap::new();
        let mut holds: HashSet<(u32, u64, u64)> = HashSet::new();
        for marker in &markers {
            for (target, incarnation, complete, _) in marker.tracked() {
                *holding.entry(target).or_default() += usize::from(complete);
                holds.insert((marker.partition, target, incarnation));
            }
        }
        if !targets.keys().any(|target| holding.contains_key(target)) {
            return Ok(None);
        }
        let mut all = PhaseAggregates::default();
        for (target, metric) in &targets {
            // A partition that does not know the target yet has units that are missing.
            place(&mut all, metric).complete = holding.get(target) == Some(&markers.len());
        }
        let mut sums: BTreeMap<(&String, u32, &String, u8, u8), Sums> = BTreeMap::new();
        for row in cells
            .iter()
            .filter(|row| holds.contains(&(row.partition, row.target, row.incarnation)))
        {
            let Some(metric) = targets.get(&row.target) else {
                continue;
            };
            let key = (metric, row.epoch, &row.variation, row.key_kind, row.standing);
            sums.entry(key).or_default().merge(&row.sums()?);
        }
        for ((metric, epoch, variation, key_kind, standing), sums) in sums {
            if sums.is_zero() {
                continue;
            }
            let standing = Standing::from_code(standing)
                .ok_or_else(|| ClickHouseError::Damaged(format!("{standing} in the table cells is no standing.")))?;
            let key_kind = KeyKind::from_code(key_kind)
                .ok_or_else(|| ClickHouseError::Damaged(format!("{key_kind} in the table cells is no kind of key.")))?;
            place(&mut all, metric).cells.push(NamedCell {
                epoch,
                variation: (!variation.is_empty()).then(|| variation.clone()),
                key_kind,
                standing,
                sums,
            });
        }
        Ok(Some(all))
    }
}

fn place<'a>(all: &'a mut PhaseAggregates, metric: &str) -> &'a mut TargetAggregates {
    if metric.is_empty() {
        &mut all.assignment
    } else {
        all.metrics.entry(metric.to_owned()).or_default()
    }
}

impl AggregateSource for ClickHouseResults {
    fn phase<'a>(&'a self, experiment: &'a CatalogExperiment) -> PhaseFuture<'a> {
        Box::pin(self.read(experiment))
    }
}
