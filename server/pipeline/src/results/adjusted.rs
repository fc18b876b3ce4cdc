//! A metric's arms after adjustment for what its units did before (CUPED).

use evenhand_stats::{
    ArmEstimate, CupedMoments, CupedRatioMoments, MetricKind, PrePeriodAdjusted, adjust_by_pre_period,
    adjust_ratio_by_pre_period,
};

use super::metric::Frame;
use crate::{
    analytics::NamedCell,
    catalog::{CatalogMetric, InPeriod, MetricDefinition},
    process::aggregate::{Standing, Sums},
};

/// The slope and the adjusted arms; None where the metric has no pre-period, or an arm too little for it.
pub(super) fn adjust(
    metric: &CatalogMetric,
    frame: &Frame<'_>,
    shown: &impl Fn(&NamedCell) -> bool,
    sums: &[Sums],
) -> Option<(f64, Vec<ArmEstimate>)> {
    let adjusted = match &metric.definition {
        MetricDefinition::Events(events) if events.pre_period_seconds.unwrap_or(0) > 0 => match events.kind {
            MetricKind::Quantile => None,
            _ => mean(sums),
        },
        MetricDefinition::Ratio { numerator, denominator } => ratio(sums, (numerator, denominator), frame, shown),
        MetricDefinition::Events(_) | MetricDefinition::Joint { .. } => None,
    }?;
    Some((adjusted.theta, adjusted.arms))
}

fn mean(sums: &[Sums]) -> Option<PrePeriodAdjusted> {
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
    adjust_by_pre_period(&moments?).ok()
}

/// A ratio's sums hold (numerator, denominator); each half's its own two periods; what crosses from one half to the other has metrics of its own.
fn ratio(
    sums: &[Sums],
    (numerator, denominator): (&str, &str),
    frame: &Frame<'_>,
    shown: &impl Fn(&NamedCell) -> bool,
) -> Option<PrePeriodAdjusted> {
    let joint = |one: InPeriod, other: InPeriod| frame.experiment.joint(&one, &other);
    let before = joint(InPeriod::before(numerator), InPeriod::before(denominator))?;
    let down = joint(InPeriod::during(numerator), InPeriod::before(denominator))?;
    let up = joint(InPeriod::during(denominator), InPeriod::before(numerator))?;
    let moments: Option<Vec<CupedRatioMoments>> = sums
        .iter()
        .zip(&frame.experiment.variations)
        .map(|(now, variation)| {
            // One metric may be behind the others for a moment: then the sums are not of the same units.
            let of = |metric: &str| {
                let of_arm = |cell: &NamedCell| {
                    shown(cell)
                        && cell.standing == Standing::Counted
                        && cell.variation.as_deref() == Some(variation.id.as_str())
                };
                let sums = frame.aggregates.metrics.get(metric)?.total(of_arm);
                (sums.n == now.n).then_some(sums)
            };
            let (above, below) = (of(numerator)?, of(denominator)?);
            let before = of(before)?;
            Some(CupedRatioMoments {
                n: super::units(now.n),
                sum: now.sum.to_i128()?,
                sum_sq: now.sum_sq.to_i128()?,
                sum_den: now.pair_sum.to_i128()?,
                sum_den_sq: now.pair_sum_sq.to_i128()?,
                sum_cross: now.pair_cross.to_i128()?,
                sum_pre: before.sum.to_i128()?,
                sum_pre_sq: before.sum_sq.to_i128()?,
                sum_pre_den: before.pair_sum.to_i128()?,
                sum_pre_den_sq: before.pair_sum_sq.to_i128()?,
                sum_pre_cross: before.pair_cross.to_i128()?,
                sum_num_pre: above.pair_cross.to_i128()?,
                sum_num_pre_den: of(down)?.pair_cross.to_i128()?,
                sum_den_pre: of(up)?.pair_cross.to_i128()?,
                sum_den_pre_den: below.pair_cross.to_i128()?,
            })
        })
        .collect();
    adjust_ratio_by_pre_period(&moments?).ok()
}
