//! Last stage: aggregates to what a person reads. The inference itself is `evenhand-stats`.

mod adjusted;
pub mod arrival;
mod banded;
mod bayesian;
mod days;
mod dimension;
mod effect;
mod epochs;
mod family;
mod guidance;
mod harm;
mod health;
mod looks;
mod metric;
mod verdict;

use evenhand_stats::{Confidence, SequentialSrm, Srm, SrmArm, sample_ratio, sequential_sample_ratio};
use serde::Serialize;
use utoipa::ToSchema;

pub use banded::ShownCap;
pub use bayesian::Posterior;
pub use days::{DailyResults, by_day};
pub use dimension::{DimensionResults, MOST_VALUES, by_dimension};
pub use effect::{ShownEffect, ShownLift};
pub use epochs::OverEpochsResults;
pub use guidance::{Advice, Guidance};
pub use harm::Harm;
pub use health::{Finding, HealthResults, health};
pub use looks::{LooksResults, NextLook, ShownLook, TakenComparison, TakenLook};
pub use metric::{AdjustedResults, ArmResults, MetricResults, Missing};
pub use verdict::Verdict;

use effect::Judge;
use family::Family;
use looks::Course;
use metric::Frame;

use crate::{
    Pipeline, StoreError,
    analytics::{AggregateSource, NamedCell, PhaseAggregates, PhaseFuture, Slice},
    catalog::{Catalog, CatalogExperiment, CatalogMetric, Correction, Method, Role},
    ingest::KeyKind,
    process::{UnitKey, aggregate::Standing, cut, now_ms},
};

/// The units of which the counting exposure said this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// One of the phase's dimensions.
    pub dimension: String,
    /// The value.
    pub value: String,
}

/// What to show.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResultsQuery {
    /// Only these units; None: all.
    pub cut: Option<Cut>,
    /// The epoch; None: the newest one seen. Epochs have different weights, so they are never pooled.
    pub epoch: Option<u32>,
    /// Only units whose counting exposure came in with this kind of key.
    pub key_kind: Option<KeyKind>,
    /// How wide the intervals are; None: as the experiment's analysis plans it.
    pub confidence: Option<Confidence>,
    /// The moment of asking (decides whether the planned end has passed); None: this machine's clock.
    pub now_ms: Option<i64>,
    /// Of a group-sequential phase: the looks that were taken, in their order. Lifts, intervals and verdicts are those of the last.
    pub looks: Vec<TakenLook>,
    /// Whether the next look is to be taken where it is due: lifts, intervals and verdicts are then its, and [`TakenLook::of`] them is what to keep.
    /// For whoever writes it down, and nobody else: a look that is not kept is peeking.
    pub take_look: bool,
}

impl ResultsQuery {
    /// Which cells it needs.
    #[must_use]
    pub fn slice(&self, daily: bool) -> Slice {
        Slice {
            dimension: self.cut.as_ref().map(|cut| cut.dimension.clone()),
            daily,
        }
    }

    /// Of the cells of its slice those it is about.
    #[must_use]
    pub fn of_cut(&self, aggregates: PhaseAggregates) -> PhaseAggregates {
        let Some(cut) = &self.cut else { return aggregates };
        let wanted = |cell: &NamedCell| (cell.value_of(&cut.dimension)? == cut.value).then_some(());
        let found = aggregates.split(wanted).remove(&());
        found.unwrap_or_else(|| aggregates.emptied())
    }
}

/// The results of one phase (one epoch of it).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExperimentResults {
    /// The experiment.
    pub experiment_id: String,
    /// The phase.
    pub phase: u32,
    /// The epoch shown.
    pub epoch: u32,
    /// The epochs that have units.
    pub epochs: Vec<u32>,
    /// The kind of key these results are cut to, if they are.
    #[schema(value_type = Option<String>, example = "server")]
    pub key_kind: Option<KeyKind>,
    /// The units these results are cut to, such as `country=SE`, if they are.
    pub cut: Option<String>,
    /// What they can be cut by.
    pub dimensions: Vec<String>,
    /// The unit type.
    pub unit_type: String,
    /// Start of the phase.
    pub start_ms: Option<i64>,
    /// Planned end of the phase.
    pub planned_end_ms: Option<i64>,
    /// Whether it has passed. Before, nothing of a fixed horizon is shown.
    pub planned_end_reached: bool,
    /// What intervals and p-values promise.
    pub method: Method,
    /// What is done about many comparisons of primary metrics.
    pub correction: Correction,
    /// Comparisons of primary metrics that share α.
    pub comparisons: u64,
    /// Of the group-sequential method: looks taken and to come, and which of them lifts, intervals and verdicts are of. Units, values and sums are as of now.
    pub looks: Option<LooksResults>,
    /// What to do next, and the rule that says so.
    pub guidance: Guidance,
    /// When this was worked out.
    pub as_of_ms: i64,
    /// Acknowledged events that are not in these results yet.
    pub lag_events: u64,
    /// Age of the oldest of them.
    pub lag_seconds: f64,
    /// False while units are still being counted in (a new or changed definition).
    pub complete: bool,
    /// Share of a running rebuild that is done.
    pub rebuild_progress: f64,
    /// Did units split as the weights say? Look at this first. None when it can't be computed (units beyond 64 bits).
    #[schema(value_type = Option<Object>, example = json!({"status": "tested", "chi_square": 0.25, "degrees_of_freedom": 1, "p_value": 0.617, "mismatch": false}))]
    pub srm: Option<Srm>,
    /// The same question over all epochs of the phase, answered so that it may be asked at every look: by this test a mismatch is called.
    #[schema(value_type = Option<Object>, example = json!({"status": "tested", "units": 20000, "log_bayes_factor": -3.1, "p_value": 1.0, "mismatch": false}))]
    pub srm_sequential: Option<SequentialSrm>,
    /// Units seen in two variations: left out.
    pub multiple_exposure_units: u64,
    /// Units forced by an override: left out.
    pub overridden_units: u64,
    /// The variations, in the catalog's order, then those seen that the catalog does not know.
    pub variations: Vec<VariationResults>,
    /// The metrics, in the catalog's order, without those that are parts of others.
    pub metrics: Vec<MetricResults>,
}

/// One variation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VariationResults {
    /// Its id.
    pub id: String,
    /// Whether lifts are measured against it.
    pub is_control: bool,
    /// Its weight in this epoch, in basis points; 0 when the catalog does not know it.
    pub weight: u32,
    /// False when the catalog does not know it: somebody sends exposures of another configuration.
    pub known: bool,
    /// Units that count.
    pub units: u64,
}

impl Pipeline {
    /// The results of one phase; None when the catalog does not have it.
    ///
    /// # Errors
    /// The analytics store can't be read.
    pub fn results(
        &self,
        experiment_id: &str,
        phase: u32,
        query: &ResultsQuery,
    ) -> Result<Option<ExperimentResults>, StoreError> {
        let catalog: &Catalog = &self.catalog();
        let found = catalog
            .experiments
            .iter()
            .find(|e| e.id == experiment_id && e.phase == phase);
        let Some(experiment) = found else { return Ok(None) };
        // Between a catalog's arrival and its use there are no aggregates yet: show none, marked incomplete.
        let found = self.aggregates(experiment_id, phase, &query.slice(false))?;
        let aggregates = query.of_cut(found.unwrap_or_default());
        let (clock, counters) = (now_ms(), &self.inner.counters);
        let mut results = summarise(experiment, &aggregates, query, query.now_ms.unwrap_or(clock));
        results.lag_events = counters.lag_events();
        results.lag_seconds = counters.lag_seconds(clock);
        results.rebuild_progress =
            counters.rebuild_thousandths.load(std::sync::atomic::Ordering::Relaxed) as f64 / 1_000.0;
        Ok(Some(results))
    }

    /// The exact sums behind the results; None when the catalog does not have the phase (yet).
    ///
    /// # Errors
    /// The analytics store can't be read.
    pub fn aggregates(
        &self,
        experiment_id: &str,
        phase: u32,
        slice: &Slice,
    ) -> Result<Option<PhaseAggregates>, StoreError> {
        self.inner.reader.phase(experiment_id, phase, slice)
    }

    /// How many of these units have an exposure of the experiment in the phase, in any variation.
    ///
    /// # Errors
    /// The analytics store can't be read.
    pub fn exposed(&self, experiment_id: &str, phase: u32, units: &[UnitKey]) -> Result<u64, StoreError> {
        self.inner.reader.exposed(experiment_id, phase, units)
    }
}

impl AggregateSource for Pipeline {
    /// Reads while it is called: a few milliseconds on the thread of the caller.
    fn phase<'a>(&'a self, experiment: &'a CatalogExperiment, slice: &'a Slice) -> PhaseFuture<'a> {
        Box::pin(std::future::ready(self.aggregates(
            &experiment.id,
            experiment.phase,
            slice,
        )))
    }
}

/// Aggregates to results: no clock, no store. `lag_*` and `rebuild_progress` are the caller's to fill in: they say nothing is behind.
#[must_use]
pub fn summarise(
    experiment: &CatalogExperiment,
    aggregates: &PhaseAggregates,
    query: &ResultsQuery,
    now_ms: i64,
) -> ExperimentResults {
    let assignment = &aggregates.assignment;
    let mut epochs: Vec<u32> = assignment.cells.iter().map(|c| c.epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let epoch = query.epoch.or(epochs.last().copied()).unwrap_or(1);
    let shown = |cell: &NamedCell| cell.epoch == epoch && query.key_kind.is_none_or(|kind| kind == cell.key_kind);
    let standing = |standing| units(assignment.total(|c| shown(c) && c.standing == standing).n);
    let variations = variations(experiment, aggregates, epoch, &shown);
    let planned_end_reached = experiment.planned_end_ms.is_some_and(|end| now_ms >= end);
    let arms: Vec<SrmArm> = variations
        .iter()
        .filter(|v| v.known)
        .map(|v| SrmArm {
            observed: v.units,
            weight: v.weight,
        })
        .collect();
    let analysis = &experiment.analysis;
    let nominal = query
        .confidence
        .or(Confidence::from_level(analysis.confidence).ok())
        .unwrap_or(Confidence::P95);
    let treatments: Vec<&str> = experiment
        .variations
        .iter()
        .filter(|v| !v.is_control)
        .map(|v| v.id.as_str())
        .collect();
    let primaries = experiment
        .metrics
        .iter()
        .filter(|m| m.reading.role == Role::Primary)
        .count();
    let comparisons = primaries.saturating_mul(treatments.len()).max(1);
    let family = Family {
        correction: analysis.correction,
        nominal,
        size: comparisons,
    };
    let weights = experiment.weights(epoch);
    let complete = assignment.complete
        && (experiment.metrics.iter()).all(|m| aggregates.metrics.get(&m.id).is_some_and(|target| target.complete));
    let progress = looks::Progress {
        units: variations.iter().filter(|v| v.known).map(|v| v.units).sum(),
        planned_end_reached,
        complete,
        epochs: epochs.len(),
    };
    let course = Course::of(analysis, query, nominal, progress);
    let taking = course.as_ref().and_then(Course::taking);
    let frame = Frame {
        experiment,
        aggregates,
        weights: &weights,
        epochs: &epochs,
        key_kind: query.key_kind,
        planned_end_reached,
    };
    let read = |of_primaries: Confidence| -> Vec<MetricResults> {
        let one = |metric: &CatalogMetric| {
            let judge = Judge {
                method: analysis.method,
                confidence: match metric.reading.role {
                    Role::Primary => of_primaries,
                    Role::Secondary | Role::Guardrail => nominal,
                },
                nominal,
                planned_units: analysis.planned_units,
                look: taking,
            };
            metric::summarise(metric, &frame, &shown, &judge)
        };
        let shown = experiment.metrics.iter().filter(|metric| !metric.reading.part);
        shown.map(one).collect()
    };
    let of_primaries = family.confidence(|| read(nominal));
    let mut metrics = read(of_primaries);
    family.settle(&mut metrics);
    let looks = course.map(|course| course.show(&mut metrics, nominal, of_primaries));
    let srm = sample_ratio(&arms).ok();
    let by_epoch = units_by_epoch(experiment, aggregates, &epochs, query.key_kind);
    let srm_sequential = sequential_sample_ratio(by_epoch.iter().map(Vec::as_slice)).ok();
    let situation = guidance::Situation {
        mismatch: matches!(srm_sequential, Some(SequentialSrm::Tested { mismatch: true, .. })),
        part: query.cut.is_some(),
        complete,
        planned_end_reached: looks.as_ref().map_or(planned_end_reached, LooksResults::is_over),
        treatments,
        metrics: &metrics,
    };
    let guidance = situation.guidance();
    ExperimentResults {
        experiment_id: experiment.id.clone(),
        phase: experiment.phase,
        epoch,
        epochs,
        key_kind: query.key_kind,
        cut: query.cut.as_ref().map(|cut| cut::text(&cut.dimension, &cut.value)),
        dimensions: experiment.dimensions.clone(),
        unit_type: experiment.unit_type.clone(),
        start_ms: experiment.start_ms,
        planned_end_ms: experiment.planned_end_ms,
        planned_end_reached,
        method: analysis.method,
        correction: analysis.correction,
        comparisons: comparisons as u64,
        looks,
        guidance,
        as_of_ms: now_ms,
        lag_events: 0,
        lag_seconds: 0.0,
        complete,
        rebuild_progress: 1.0,
        srm,
        srm_sequential,
        multiple_exposure_units: standing(Standing::Multiple),
        overridden_units: standing(Standing::Overridden),
        variations,
        metrics,
    }
}

/// Units of each epoch beside the weights that held in it.
fn units_by_epoch(
    experiment: &CatalogExperiment,
    aggregates: &PhaseAggregates,
    epochs: &[u32],
    key_kind: Option<KeyKind>,
) -> Vec<Vec<SrmArm>> {
    let observed = |epoch: u32, id: &str| {
        let of = |cell: &NamedCell| {
            cell.epoch == epoch
                && key_kind.is_none_or(|kind| kind == cell.key_kind)
                && cell.standing == Standing::Counted
                && cell.variation.as_deref() == Some(id)
        };
        units(aggregates.assignment.total(of).n)
    };
    let of_epoch = |epoch: &u32| {
        let weights = experiment.weights(*epoch);
        let arms = experiment.variations.iter().zip(weights);
        arms.map(|(variation, weight)| SrmArm {
            observed: observed(*epoch, &variation.id),
            weight,
        })
        .collect()
    };
    epochs.iter().map(of_epoch).collect()
}

fn variations(
    experiment: &CatalogExperiment,
    aggregates: &PhaseAggregates,
    epoch: u32,
    shown: &impl Fn(&NamedCell) -> bool,
) -> Vec<VariationResults> {
    let count = |id: &str| {
        units(
            aggregates
                .assignment
                .total(|c| shown(c) && c.variation.as_deref() == Some(id))
                .n,
        )
    };
    let mut all: Vec<VariationResults> = experiment
        .variations
        .iter()
        .zip(experiment.weights(epoch))
        .map(|(v, weight)| VariationResults {
            id: v.id.clone(),
            is_control: v.is_control,
            weight,
            known: true,
            units: count(&v.id),
        })
        .collect();
    for cell in aggregates.assignment.cells.iter().filter(|c| shown(c)) {
        let Some(id) = &cell.variation else { continue };
        if all.iter().all(|v| v.id != *id) {
            all.push(VariationResults {
                id: id.clone(),
                is_control: false,
                weight: 0,
                known: false,
                units: count(id),
            });
        }
    }
    all
}

fn units(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
