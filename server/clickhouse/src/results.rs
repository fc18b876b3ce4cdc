//! Cells, or sums of units' values, to the aggregates of a phase, which results are worked out from.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use evenhand_pipeline::{
    KeyKind, StoreError,
    analytics::{AggregateSource, NamedCell, PhaseAggregates, PhaseFuture, Slice, TargetAggregates},
    catalog::CatalogExperiment,
    process::{
        aggregate::{ALL_DAYS, Standing, Sums},
        compile::targets_of,
        cut::{self, Cut},
    },
};

use crate::{
    error::ClickHouseError,
    rows::{CellRow, MARKER, environment_target},
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

    async fn read(&self, experiment: &CatalogExperiment, slice: &Slice) -> Result<Option<PhaseAggregates>, StoreError> {
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
        let rows = self.store.phase_cells(&condition, slice).await?;
        let (markers, cells): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.target == MARKER);
        if markers.is_empty() {
            return self.loaded(experiment, slice).await;
        }
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
        let mut sums: BTreeMap<Place<'_>, Sums> = BTreeMap::new();
        for row in cells
            .iter()
            .filter(|row| holds.contains(&(row.partition, row.target, row.incarnation)))
        {
            let Some(metric) = targets.get(&row.target) else {
                continue;
            };
            sums.entry(Place::of(metric, row)).or_default().merge(&row.sums()?);
        }
        for (at, sums) in sums {
            if !sums.is_zero() {
                place(&mut all, at.metric).push(named(&at, sums)?);
            }
        }
        all.metrics.values_mut().for_each(TargetAggregates::order);
        Ok(Some(all))
    }

    /// Of a database that a Flink job's values are brought into. What the job has not come to yet can't be told from what there is not:
    /// a metric without any value, though units are counted, is on its way.
    async fn loaded(
        &self,
        experiment: &CatalogExperiment,
        slice: &Slice,
    ) -> Result<Option<PhaseAggregates>, StoreError> {
        if !self.store.is_loaded().await? {
            return Ok(None);
        }
        let mut all = PhaseAggregates::default();
        for metric in &experiment.metrics {
            place(&mut all, &metric.id);
        }
        for row in self
            .store
            .phase_values(&self.environment, &experiment.id, experiment.phase, slice)
            .await?
        {
            if row.metric.is_empty() || all.metrics.contains_key(&row.metric) {
                let cell = named(&Place::of(&row.metric, &row), row.sums()?)?;
                // A loader can't know which metrics ask for bands, and keeps those of all.
                if !matches!(cell.cut, Cut::Band(_)) || has_bands(experiment, &row.metric) {
                    place(&mut all, &row.metric).push(cell);
                }
            }
        }
        all.metrics.values_mut().for_each(TargetAggregates::order);
        all.assignment.complete = true;
        // (A cut that no unit has says nothing of what is on its way.)
        let counted = all
            .assignment
            .cells
            .iter()
            .any(|cell| cell.standing == Standing::Counted);
        for metric in all.metrics.values_mut() {
            metric.complete = !counted || !metric.cells.is_empty();
        }
        Ok(Some(all))
    }
}

/// Where a cell belongs, over all partitions; in the order of an embedded store.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    metric: &'a str,
    epoch: u32,
    variation: &'a str,
    key_kind: u8,
    standing: u8,
    cut: &'a str,
    day: i32,
}

impl<'a> Place<'a> {
    fn of(metric: &'a str, row: &'a CellRow) -> Self {
        Self {
            metric,
            epoch: row.epoch,
            variation: &row.variation,
            key_kind: row.key_kind,
            standing: row.standing,
            cut: &row.cut,
            day: row.day,
        }
    }
}

fn named(at: &Place<'_>, sums: Sums) -> Result<NamedCell, ClickHouseError> {
    let Place { key_kind, standing, .. } = *at;
    let strange = |what: &str| ClickHouseError::Damaged(format!("The aggregates in ClickHouse hold {what}."));
    Ok(NamedCell {
        epoch: at.epoch,
        variation: (!at.variation.is_empty()).then(|| at.variation.to_owned()),
        key_kind: KeyKind::from_code(key_kind)
            .ok_or_else(|| strange(&format!("{key_kind}, which is no kind of key")))?,
        standing: Standing::from_code(standing).ok_or_else(|| strange(&format!("{standing}, which is no standing")))?,
        day: (at.day != ALL_DAYS).then_some(at.day),
        cut: match cut::band(at.cut) {
            _ if at.cut.is_empty() => Cut::All,
            Some(start) => Cut::Band(start),
            None => Cut::Value(at.cut.into()),
        },
        sums,
    })
}

fn has_bands(experiment: &CatalogExperiment, metric: &str) -> bool {
    experiment.event_metric(metric).is_some_and(|events| events.bands)
}

fn place<'a>(all: &'a mut PhaseAggregates, metric: &str) -> &'a mut TargetAggregates {
    if metric.is_empty() {
        &mut all.assignment
    } else {
        all.metrics.entry(metric.to_owned()).or_default()
    }
}

impl AggregateSource for ClickHouseResults {
    fn phase<'a>(&'a self, experiment: &'a CatalogExperiment, slice: &'a Slice) -> PhaseFuture<'a> {
        Box::pin(self.read(experiment, slice))
    }
}
