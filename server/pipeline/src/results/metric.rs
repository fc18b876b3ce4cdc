//! One metric: its arms, and the lifts against control.

use evenhand_stats::{
    ArmEstimate, Confidence, CupedMoments, Effect, Headline, Lift, MetricKind, Moments, RatioMoments, Unavailable,
    adjust_by_pre_period, compare,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    analytics::{NamedCell, PhaseAggregates, TargetAggregates},
    catalog::{CatalogExperiment, CatalogMetric, MetricDefinition},
    process::{
        aggregate::{Standing, Sums},
        exact::Exact,
    },
};

/// Says what an interval is worth.
const INTERVAL_NOTE: &str = "Valid at the planned end only: whoever looks earlier, or again and again, is misled more often than the level says.";

/// One metric of a phase.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MetricResults {
    /// Its id.
    pub id: String,
    /// Its kind.
    #[schema(value_type = String, example = "proportion")]
    pub kind: MetricKind,
    /// Which figure stands in the headline.
    #[schema(value_type = String, example = "per_unit")]
    pub headline: Headline,
    /// False while units are still being counted in.
    pub complete: bool,
    /// 1 − α of the intervals.
    pub confidence: f64,
    /// What the intervals are worth.
    pub interval_note: &'static str,
    /// The variations, in the catalog's order.
    pub arms: Vec<ArmResults>,
    /// The same after adjustment for what the units did before (CUPED), where the metric has a pre-period.
    pub adjusted: Option<AdjustedResults>,
}

/// One variation of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ArmResults {
    /// The variation.
    pub variation_id: String,
    /// Units.
    pub units: u64,
    /// Exact sum over units (of a ratio: of the numerator) in micro-units, as decimal text.
    pub sum_micros: String,
    /// Mean per unit, or the ratio, with its total and variance.
    #[schema(value_type = Option<Object>, example = json!({"units": 10000, "total": 46.0, "value": 0.0046, "unit_variance": 0.00457}))]
    pub estimate: Option<ArmEstimate>,
    /// Why there is no estimate.
    #[schema(value_type = Option<String>, example = "zero_variance")]
    pub unavailable: Option<Unavailable>,
    /// Against control; None for control itself and where there is none.
    pub lift: Option<ShownLift>,
}

/// Arms after CUPED.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AdjustedResults {
    /// The slope used.
    pub theta: f64,
    /// The variations, in the catalog's order: adjusted estimate and lift.
    #[schema(value_type = Vec<Object>)]
    pub arms: Vec<(String, ArmEstimate, Option<ShownLift>)>,
}

/// A lift as it may be shown now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct ShownLift {
    /// Difference in the metric's units.
    pub absolute: ShownEffect,
    /// Difference over control's value: 0.12 is +12 %.
    pub relative: ShownEffect,
}

/// An effect as it may be shown now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct ShownEffect {
    /// The point estimate.
    pub estimate: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// Welch–Satterthwaite degrees of freedom of the interval and the test.
    pub degrees_of_freedom: Option<f64>,
    /// Lower end of the interval.
    pub lower: Option<f64>,
    /// Upper end of the interval.
    pub upper: Option<f64>,
    /// Two-sided p-value of "no effect"; None before the planned end.
    pub p_value: Option<f64>,
    /// Why something is missing (other than a p-value that is still hidden).
    #[schema(value_type = Option<String>, example = "zero_variance")]
    pub unavailable: Option<Unavailable>,
}

pub(super) fn summarise(
    metric: &CatalogMetric,
    experiment: &CatalogExperiment,
    aggregates: &PhaseAggregates,
    shown: &impl Fn(&NamedCell) -> bool,
    confidence: Confidence,
    show_p_value: bool,
) -> MetricResults {
    let (kind, has_pre_period) = match &metric.definition {
        MetricDefinition::Ratio { .. } => (MetricKind::Ratio, false),
        MetricDefinition::Events(events) => (events.kind, events.pre_period_seconds.is_some_and(|s| s > 0)),
    };
    let none = TargetAggregates::default();
    let target = aggregates.metrics.get(&metric.id).unwrap_or(&none);
    let sums: Vec<Sums> = experiment
        .variations
        .iter()
        .map(|v| {
            target
                .total(|c| shown(c) && c.standing == Standing::Counted && c.variation.as_deref() == Some(v.id.as_str()))
        })
        .collect();
    let control = experiment.variations.iter().position(|v| v.is_control);
    let shown_lift = |estimates: &[Option<ArmEstimate>], at: usize| {
        let control_at = control.filter(|c| *c != at)?;
        let (control, treatment) = (estimates.get(control_at)?.as_ref()?, estimates.get(at)?.as_ref()?);
        Some(show(&compare(control, treatment, confidence), show_p_value))
    };
    let estimates: Vec<Result<ArmEstimate, Unavailable>> = sums.iter().map(|s| estimate(kind, s)).collect();
    let known: Vec<Option<ArmEstimate>> = estimates.iter().map(|e| e.as_ref().ok().copied()).collect();
    let arms = experiment
        .variations
        .iter()
        .zip(&sums)
        .zip(&estimates)
        .enumerate()
        .map(|(at, ((variation, sums), estimate))| ArmResults {
            variation_id: variation.id.clone(),
            units: super::units(sums.n),
            sum_micros: sums.sum.to_string(),
            estimate: estimate.as_ref().ok().copied(),
            unavailable: estimate.as_ref().err().copied(),
            lift: shown_lift(&known, at),
        })
        .collect();
    let adjusted = if has_pre_period { adjust(&sums) } else { None };
    MetricResults {
        id: metric.id.clone(),
        kind,
        headline: kind.headline(),
        complete: target.complete,
        confidence: 1.0 - confidence.alpha(),
        interval_note: INTERVAL_NOTE,
        arms,
        adjusted: adjusted.map(|(theta, estimates)| {
            let all: Vec<Option<ArmEstimate>> = estimates.iter().copied().map(Some).collect();
            let named = experiment.variations.iter().zip(estimates).enumerate();
            AdjustedResults {
                theta,
                arms: named
                    .map(|(at, (v, estimate))| (v.id.clone(), estimate, shown_lift(&all, at)))
                    .collect(),
            }
        }),
    }
}

fn small(sum: &Exact) -> Result<i128, Unavailable> {
    sum.to_i128().ok_or(Unavailable::Overflow)
}

fn estimate(kind: MetricKind, sums: &Sums) -> Result<ArmEstimate, Unavailable> {
    let n = super::units(sums.n);
    if kind == MetricKind::Ratio {
        return ArmEstimate::from_ratio(&RatioMoments {
            n,
            sum: small(&sums.sum)?,
            sum_sq: small(&sums.sum_sq)?,
            sum_den: small(&sums.pair_sum)?,
            sum_den_sq: small(&sums.pair_sum_sq)?,
            sum_cross: small(&sums.pair_cross)?,
        });
    }
    ArmEstimate::from_moments(&Moments {
        n,
        sum: small(&sums.sum)?,
        sum_sq: small(&sums.sum_sq)?,
    })
}

/// The slope and the adjusted arms; None where any arm has too little for it.
fn adjust(sums: &[Sums]) -> Option<(f64, Vec<ArmEstimate>)> {
    let moments: Option<Vec<CupedMoments>> = sums
        .iter()
        .map(|s| {
            Some(CupedMoments {
                n: super::units(s.n),
                sum: s.sum.to_i128()?,
                sum_sq: s.sum_sq.to_i128()?,
                sum_pre: s.pair_sum.to_i128()?,
                sum_pre_sq: s.pair_sum_sq.to_i128()?,
                sum_cross: s.pair_cross.to_i128()?,
            })
        })
        .collect();
    let adjusted = adjust_by_pre_period(&moments?).ok()?;
    Some((adjusted.theta, adjusted.arms))
}

fn show(lift: &Lift, show_p_value: bool) -> ShownLift {
    let effect = |effect: &Effect| {
        let interval = effect.interval();
        ShownEffect {
            estimate: effect.estimate(),
            standard_error: interval.map(|i| i.standard_error),
            degrees_of_freedom: interval.map(|i| i.degrees_of_freedom),
            lower: interval.map(|i| i.lower),
            upper: interval.map(|i| i.upper),
            p_value: interval.filter(|_| show_p_value).map(|i| i.p_value),
            unavailable: effect.reason(),
        }
    };
    ShownLift {
        absolute: effect(&lift.absolute),
        relative: effect(&lift.relative),
    }
}
