//! Results cut by a dimension: each value by itself. Exploration: what is found here is a question for the next experiment.

use evenhand_stats::{Confidence, SequentialSrm};
use serde::Serialize;
use utoipa::ToSchema;

use super::{MetricResults, Missing, ResultsQuery, ShownLift, VariationResults, summarise};
use crate::{
    analytics::{NamedCell, PhaseAggregates},
    catalog::CatalogExperiment,
    process::aggregate::Standing,
};

/// Values shown at most, those of most units first.
pub const MOST_VALUES: usize = 50;

/// The results of one phase (one epoch of it), cut by one dimension.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DimensionResults {
    /// The experiment.
    pub experiment_id: String,
    /// The phase.
    pub phase: u32,
    /// The epoch shown.
    pub epoch: u32,
    /// The dimension.
    pub dimension: String,
    /// False while units are still being counted in (a new or changed definition).
    pub complete: bool,
    /// 1 − α of the intervals before a metric's share of α: α is shared by the values shown (Bonferroni), so that of all of them together it is the experiment's.
    pub confidence: f64,
    /// The values, those of most units first; at most 50.
    pub values: Vec<ValueResults>,
    /// Values that are not shown.
    pub values_left_out: u64,
    /// Units of the values that are not shown.
    pub units_left_out: u64,
    /// Units whose exposure had no value of this dimension (or none that is a string of at most 64 characters or a truth value).
    pub units_without_value: u64,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ValueResults {
    /// The value.
    pub value: String,
    /// Units that count.
    pub units: u64,
    /// The variations, as in the results of the whole.
    pub variations: Vec<VariationResults>,
    /// Did these units split as the weights say?
    #[schema(value_type = Option<Object>, example = json!({"status": "tested", "units": 2000, "log_bayes_factor": -3.1, "p_value": 1.0, "mismatch": false}))]
    pub srm_sequential: Option<SequentialSrm>,
    /// The metrics, in the catalog's order.
    pub metrics: Vec<ValueMetric>,
}

/// A metric of one value.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ValueMetric {
    /// Its id.
    pub id: String,
    /// The variations, in the catalog's order.
    pub arms: Vec<ValueArm>,
}

/// A variation of a metric of one value.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ValueArm {
    /// The variation.
    pub variation_id: String,
    /// Units.
    pub units: u64,
    /// Mean per unit, or the ratio.
    pub value: Option<f64>,
    /// Against control, as it decides: adjusted for the pre-period where the metric has one.
    pub lift: Option<ShownLift>,
    /// Units and conversions that it lacks before an interval is shown; none: it has enough.
    pub missing: Option<Missing>,
}

/// Aggregates cut by a dimension to its results; `whole` are those of all units.
#[must_use]
pub fn by_dimension(
    experiment: &CatalogExperiment,
    dimension: &str,
    cut: &PhaseAggregates,
    whole: &PhaseAggregates,
    query: &ResultsQuery,
    now_ms: i64,
) -> DimensionResults {
    let newest = whole.assignment.cells.iter().map(|cell| cell.epoch).max();
    let epoch = query.epoch.or(newest).unwrap_or(1);
    let counted = |cell: &NamedCell| {
        cell.epoch == epoch
            && cell.standing == Standing::Counted
            && query.key_kind.is_none_or(|kind| kind == cell.key_kind)
    };
    let units_of = |part: &PhaseAggregates| super::units(part.assignment.total(counted).n);
    let parts = cut.split(|cell| cell.value_of(dimension).map(str::to_owned));
    let mut values: Vec<(String, u64, PhaseAggregates)> = parts
        .into_iter()
        .map(|(value, part)| (value, units_of(&part), part))
        .filter(|(_, units, _)| *units > 0)
        .collect();
    values.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    let with_value: u64 = values.iter().map(|(_, units, _)| units).sum();
    let left_out = values.split_off(values.len().min(MOST_VALUES));
    let asked = query
        .confidence
        .or(Confidence::from_level(experiment.analysis.confidence).ok())
        .unwrap_or(Confidence::P95);
    let shared = Confidence::from_alpha(asked.alpha() / values.len().max(1) as f64).unwrap_or(asked);
    let query = ResultsQuery {
        epoch: Some(epoch),
        confidence: Some(shared),
        ..query.clone()
    };
    let one = |(value, units, part): (String, u64, PhaseAggregates)| {
        let results = summarise(experiment, &part, &query, now_ms);
        ValueResults {
            value,
            units,
            variations: results.variations,
            srm_sequential: results.srm_sequential,
            metrics: results.metrics.iter().map(of_metric).collect(),
        }
    };
    DimensionResults {
        experiment_id: experiment.id.clone(),
        phase: experiment.phase,
        epoch,
        dimension: dimension.to_owned(),
        complete: cut.assignment.complete && cut.metrics.values().all(|metric| metric.complete),
        confidence: 1.0 - shared.alpha(),
        values_left_out: left_out.len() as u64,
        units_left_out: left_out.iter().map(|(_, units, _)| units).sum(),
        units_without_value: units_of(whole).saturating_sub(with_value),
        values: values.into_iter().map(one).collect(),
    }
}

fn of_metric(metric: &MetricResults) -> ValueMetric {
    let arms = metric.arms.iter().map(|arm| ValueArm {
        variation_id: arm.variation_id.clone(),
        units: arm.units,
        value: arm.estimate.map(|estimate| estimate.value),
        lift: arm.decisive().copied(),
        missing: arm.missing,
    });
    ValueMetric {
        id: metric.id.clone(),
        arms: arms.collect(),
    }
}
