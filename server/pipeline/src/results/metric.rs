//! One metric: its arms, and the lifts against control.

use evenhand_stats::{ArmData, ArmEstimate, Headline, MetricKind, MinimumData, Moments, RatioMoments, Unavailable};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    adjusted,
    banded::{self, ShownCap},
    bayesian::{Posterior, posterior},
    effect::{Judge, ShownLift},
    epochs::{self, EpochSums, OverEpochsResults, Pair},
    harm::Harm,
    verdict::{Verdict, verdict},
};
use crate::{
    analytics::{NamedCell, PhaseAggregates, TargetAggregates},
    catalog::{Better, CatalogExperiment, CatalogMetric, Method, MetricDefinition, Role},
    ingest::KeyKind,
    process::{
        aggregate::{Standing, Sums},
        exact::Exact,
    },
};

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
    /// What it is to the experiment.
    pub role: Role,
    /// Which direction is better.
    #[schema(value_type = String, example = "higher")]
    pub better: Better,
    /// How much worse it may be and still be as good as control, as a share of control's value.
    pub margin: f64,
    /// False while units are still being counted in.
    pub complete: bool,
    /// 1 − α of the intervals, after the metric's share of the correction.
    pub confidence: f64,
    /// What both compared variations must have before an interval or verdict is shown (of a sum or mean, a variation with less than a fifth of the
    /// compared traffic makes it at least 100 conversions).
    #[schema(value_type = Object, example = json!({"conversions": 10, "units": 100}))]
    pub minimum: MinimumData,
    /// The quantile that is compared, in millionths; of quantile metrics only.
    pub quantile_millionths: Option<u32>,
    /// The percentile that values are drawn in to, where they are: estimates and lifts are of the values drawn in, `sum_micros` is not.
    pub cap: Option<ShownCap>,
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
    /// Against control, by the experiment's method; None for control itself and where there is none.
    pub lift: Option<ShownLift>,
    /// The same by Welch's test, once the planned end is reached: valid there and nowhere else.
    pub fixed_horizon: Option<ShownLift>,
    /// The lift after adjustment for the pre-period (CUPED), by the experiment's method, where the metric has one.
    pub adjusted_lift: Option<ShownLift>,
    /// What is to be believed of the relative effect under a proper prior.
    pub bayesian: Option<Posterior>,
    /// The p-value of the deciding lift in the light of all comparisons of primary metrics; None where nothing is corrected.
    pub adjusted_p_value: Option<f64>,
    /// What may be said of it: by the adjusted lift where there is one. None for control.
    pub verdict: Option<Verdict>,
    /// Of the group-sequential method: the look at which the verdict was reached, where it stands from then on.
    pub decided_at_look: Option<u32>,
    /// Of the group-sequential method: the lift of all units so far, without interval, beside those of the last look.
    pub current_lift: Option<ShownLift>,
    /// Of a guardrail: what speaks for harm, for whoever looks all the time. None for control.
    pub harm: Option<Harm>,
    /// Against control over all epochs, where the phase has several.
    pub over_epochs: Option<OverEpochsResults>,
    /// All epochs' units added up, where the phase has several: what a bandit goes by.
    #[schema(value_type = Option<Object>, example = json!({"units": 10000, "total": 46.0, "value": 0.0046, "unit_variance": 0.00457}))]
    pub pooled: Option<ArmEstimate>,
    /// Units and conversions that it lacks before an interval is shown; none: it has enough.
    pub missing: Option<Missing>,
}

impl ArmResults {
    /// The lift that verdicts go by.
    #[must_use]
    pub fn decisive(&self) -> Option<&ShownLift> {
        self.adjusted_lift.as_ref().or(self.lift.as_ref())
    }
}

/// What a variation lacks of the metric's minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Missing {
    /// Units.
    pub units: u64,
    /// Units with a value other than zero.
    pub conversions: u64,
}

/// Arms after CUPED.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AdjustedResults {
    /// The slope used.
    pub theta: f64,
    /// The variations, in the catalog's order: adjusted estimates.
    #[schema(value_type = Vec<Object>)]
    pub arms: Vec<(String, ArmEstimate)>,
}

/// What the reading of a metric needs to know of its experiment.
pub(super) struct Frame<'a> {
    pub experiment: &'a CatalogExperiment,
    pub aggregates: &'a PhaseAggregates,
    /// Weights of the epoch shown, in the order of the variations.
    pub weights: &'a [u32],
    /// The epochs that have units, in the order of time.
    pub epochs: &'a [u32],
    /// The kind of key that is looked at; none: all.
    pub key_kind: Option<KeyKind>,
    /// Whether Welch's test may be shown.
    pub planned_end_reached: bool,
}

pub(super) fn summarise(
    metric: &CatalogMetric,
    frame: &Frame<'_>,
    shown: &impl Fn(&NamedCell) -> bool,
    judge: &Judge,
) -> MetricResults {
    let kind = match &metric.definition {
        MetricDefinition::Ratio { .. } | MetricDefinition::Joint { .. } => MetricKind::Ratio,
        MetricDefinition::Events(events) => events.kind,
    };
    let none = TargetAggregates::default();
    let target = frame.aggregates.metrics.get(&metric.id).unwrap_or(&none);
    let variations = &frame.experiment.variations;
    let of =
        |id: &str| target.total(|c| shown(c) && c.standing == Standing::Counted && c.variation.as_deref() == Some(id));
    let whole: Vec<Sums> = variations.iter().map(|v| of(&v.id)).collect();
    let Read {
        sums,
        estimates,
        cap,
        whole_only,
    } = read(metric, kind, target, &whole, frame, shown);
    let adjusted = if whole_only {
        None
    } else {
        adjusted::adjust(metric, frame, shown, &sums)
    };
    let control = variations.iter().position(|v| v.is_control);
    let minimum = metric.reading.minimum;
    let several = frame.epochs.len() > 1;
    let by_epoch = if several {
        epochs::by_epoch(target, frame, &metric.reading).unwrap_or_default()
    } else if metric.reading.role == Role::Guardrail && !whole_only {
        vec![EpochSums {
            weights: frame.weights.to_vec(),
            arms: sums.clone(),
        }]
    } else {
        Vec::new()
    };
    // What an arm lacks is what it lacks against control; control itself what the metric asks for.
    let lacks = |at: usize| {
        let against = control.filter(|control| *control != at);
        let minimum = minimum_between(minimum, kind, frame.weights, against.unwrap_or(at), at);
        missing(sums.get(at)?, &minimum)
    };
    let arm = |at: usize| {
        let against = control.filter(|control| *control != at).and_then(|control| {
            let pair = |estimates: &dyn Fn(usize) -> Option<ArmEstimate>| Some((estimates(control)?, estimates(at)?));
            let plain = pair(&|at| estimates.get(at)?.as_ref().ok().copied())?;
            let adjusted = adjusted
                .as_ref()
                .and_then(|(_, arms)| pair(&|at| arms.get(at).copied()));
            let minimum = minimum_between(metric.reading.minimum, kind, frame.weights, control, at);
            let enough = [control, at]
                .iter()
                .all(|at| sums.get(*at).is_some_and(|sums| missing(sums, &minimum).is_none()));
            let withheld = match (whole_only, enough) {
                (true, _) => Some(Unavailable::NotKept),
                (false, false) => Some(Unavailable::MinimumData),
                (false, true) => None,
            };
            let judge = judge.between(frame.weights, control, at);
            Some(compared(plain, adjusted, withheld, metric, frame, &judge))
        });
        let against = against.unwrap_or_default();
        let watched = control.filter(|control| *control != at).map(|control| {
            let of = |at: usize| estimates.get(at)?.as_ref().ok().copied();
            epochs::watched(
                &by_epoch,
                &Pair {
                    kind,
                    control,
                    treatment: at,
                    reading: &metric.reading,
                    minimum: minimum_between(minimum, kind, frame.weights, control, at),
                    shown: of(control).zip(of(at)).filter(|_| !whole_only),
                    judge: judge.between(frame.weights, control, at),
                },
            )
        });
        let (harm, over_epochs) = watched.unwrap_or_default();
        ArmResults {
            variation_id: variations.get(at).map(|v| v.id.clone()).unwrap_or_default(),
            units: whole.get(at).map_or(0, |s| super::units(s.n)),
            sum_micros: whole.get(at).map(|s| s.sum.to_string()).unwrap_or_default(),
            estimate: estimates.get(at).and_then(|e| e.as_ref().ok().copied()),
            unavailable: estimates.get(at).and_then(|e| e.as_ref().err().copied()),
            lift: against.lift,
            fixed_horizon: against.fixed_horizon,
            adjusted_lift: against.adjusted_lift,
            bayesian: against.bayesian,
            adjusted_p_value: None,
            verdict: against.verdict,
            decided_at_look: None,
            current_lift: None,
            harm,
            over_epochs,
            pooled: (several && kind != MetricKind::Quantile)
                .then(|| estimate(kind, &epochs::pooled(&by_epoch, at)).ok())
                .flatten(),
            missing: lacks(at),
        }
    };
    MetricResults {
        id: metric.id.clone(),
        kind,
        headline: kind.headline(),
        role: metric.reading.role,
        better: metric.reading.better,
        margin: metric.reading.margin,
        complete: target.complete,
        confidence: 1.0 - judge.confidence.alpha(),
        minimum,
        quantile_millionths: metric.reading.quantile.map(evenhand_stats::Quantile::millionths),
        cap,
        arms: (0..variations.len()).map(arm).collect(),
        adjusted: adjusted.as_ref().map(|(theta, arms)| AdjustedResults {
            theta: *theta,
            arms: variations
                .iter()
                .map(|v| v.id.clone())
                .zip(arms.iter().copied())
                .collect(),
        }),
    }
}

/// A metric's arms as they are compared.
struct Read {
    sums: Vec<Sums>,
    estimates: Vec<Result<ArmEstimate, Unavailable>>,
    cap: Option<ShownCap>,
    /// The metric is read from bands, and these units have none.
    whole_only: bool,
}

fn read(
    metric: &CatalogMetric,
    kind: MetricKind,
    target: &TargetAggregates,
    whole: &[Sums],
    frame: &Frame<'_>,
    shown: &impl Fn(&NamedCell) -> bool,
) -> Read {
    let plain = |whole_only| Read {
        sums: whole.to_vec(),
        estimates: whole.iter().map(|sums| estimate(kind, sums)).collect(),
        cap: None,
        whole_only,
    };
    let reading = &metric.reading;
    if reading.quantile.is_none() && reading.cap.is_none() {
        return plain(false);
    }
    let variations = frame.experiment.variations.iter().map(|v| v.id.as_str());
    let arms = banded::arms(target, shown, variations);
    let has_units = whole.iter().any(|sums| sums.n > 0);
    let found = match arms {
        _ if has_units && target.bands.is_empty() => Err(Unavailable::NotKept),
        Ok(arms) => match (reading.quantile, reading.cap) {
            (Some(quantile), _) => Ok(Read {
                sums: whole.to_vec(),
                estimates: arms.iter().map(|arm| arm.quantile(quantile)).collect(),
                cap: None,
                whole_only: false,
            }),
            (None, Some(percentile)) => banded::cap(&arms, whole, percentile).map(|(cap, sums)| Read {
                estimates: sums.iter().map(|sums| estimate(kind, sums)).collect(),
                sums,
                cap: Some(cap),
                whole_only: false,
            }),
            (None, None) => return plain(false),
        },
        Err(reason) => Err(reason),
    };
    match found {
        Ok(read) => read,
        // Without units there is nothing to cap.
        Err(Unavailable::NoUnits) => plain(false),
        // The mean of these units is what it is, uncapped; a quantile of them can't be told.
        Err(Unavailable::NotKept) if kind != MetricKind::Quantile => plain(true),
        Err(reason) => Read {
            estimates: whole.iter().map(|_| Err(reason)).collect(),
            ..plain(true)
        },
    }
}

/// A variation with a small share of the compared traffic is judged later: one that has not met its big spenders yet has a mean that is too low and,
/// at the same time, a variance that is too low to know it (docs/statistics.md, "What was found").
fn minimum_between(minimum: MinimumData, kind: MetricKind, weights: &[u32], control: usize, at: usize) -> MinimumData {
    const SMALL: f64 = 0.2;
    const CONVERSIONS: u64 = 100;
    let weight = |at: usize| weights.get(at).copied().map_or(0.0, f64::from);
    let (one, other) = (weight(control), weight(at));
    let is_small = one.min(other) < SMALL * (one + other);
    match kind {
        MetricKind::Sum | MetricKind::Mean if is_small => MinimumData {
            conversions: minimum.conversions.max(CONVERSIONS),
            ..minimum
        },
        // A quantile has no conversions: its ranks ask for units enough.
        MetricKind::Quantile => MinimumData {
            conversions: 0,
            ..minimum
        },
        _ => minimum,
    }
}

/// An arm against control.
#[derive(Default)]
struct Compared {
    lift: Option<ShownLift>,
    fixed_horizon: Option<ShownLift>,
    adjusted_lift: Option<ShownLift>,
    bayesian: Option<Posterior>,
    verdict: Option<Verdict>,
}

/// Each pair is (control, treatment).
fn compared(
    plain: (ArmEstimate, ArmEstimate),
    adjusted: Option<(ArmEstimate, ArmEstimate)>,
    withheld: Option<Unavailable>,
    metric: &CatalogMetric,
    frame: &Frame<'_>,
    judge: &Judge,
) -> Compared {
    let show = |(control, treatment): &(ArmEstimate, ArmEstimate)| {
        let lift = judge.lift(control, treatment).ok()?;
        let lift = if let Some(reason) = withheld {
            lift.withheld(reason)
        } else if judge.method == Method::FixedHorizon && !frame.planned_end_reached {
            lift.withheld(Unavailable::PlannedEnd)
        } else {
            lift
        };
        Some(ShownLift::of(&lift))
    };
    let lift = show(&plain);
    let adjusted_lift = adjusted.as_ref().and_then(show);
    let decisive = adjusted_lift.or(lift);
    let (control, treatment) = adjusted.as_ref().unwrap_or(&plain);
    Compared {
        lift,
        fixed_horizon: (withheld.is_none() && frame.planned_end_reached)
            .then(|| ShownLift::of(&judge.fixed_horizon(&plain.0, &plain.1))),
        adjusted_lift,
        bayesian: if withheld.is_none() {
            posterior((control, treatment), metric.reading.better, judge.confidence)
        } else {
            None
        },
        verdict: decisive.map(|lift| verdict(&lift, (control, treatment), &metric.reading, judge)),
    }
}

/// What an arm lacks of the minimum. Its conversions are counted where values are 0 and 1, and bounded from below by (Σx)²/Σx² elsewhere.
pub(super) fn missing(sums: &Sums, minimum: &MinimumData) -> Option<Missing> {
    let moments = Moments {
        n: super::units(sums.n),
        sum: sums.sum.to_i128()?,
        sum_sq: sums.sum_sq.to_i128()?,
    };
    let data = ArmData::from_moments(&moments);
    let missing = Missing {
        units: minimum.units.saturating_sub(data.units),
        conversions: minimum.conversions.saturating_sub(data.conversions.unwrap_or(0)),
    };
    (missing.units > 0 || missing.conversions > 0).then_some(missing)
}

fn small(sum: &Exact) -> Result<i128, Unavailable> {
    sum.to_i128().ok_or(Unavailable::Overflow)
}

pub(super) fn estimate(kind: MetricKind, sums: &Sums) -> Result<ArmEstimate, Unavailable> {
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
