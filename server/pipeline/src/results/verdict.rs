//! One variation on one metric: better, worse, as good as control, or not yet known.

use evenhand_stats::{Alternative, ArmEstimate, Margin, NullValue, Unavailable, non_inferiority, test_against};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::effect::{Judge, ShownLift};
use crate::catalog::{Better, Reading, Role};

/// What may be said of a variation on a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// "No effect" is refused, in the direction that is better.
    Better,
    /// "No effect" is refused, in the direction that is worse. Of a guardrail: "worse by no more than the margin" is refused.
    Worse,
    /// The whole interval lies within the margin. Of a guardrail: "worse by the margin or more" is refused.
    WithinMargin,
    /// Neither yet.
    Undecided,
    /// Nothing may be said yet: the minimum data, the planned end, a planned look or a variance is missing.
    TooEarly,
}

/// Of a primary or secondary metric, from its interval.
pub(super) fn of_interval(lift: &ShownLift, reading: &Reading) -> Verdict {
    let (absolute, relative) = (&lift.absolute, &lift.relative);
    let (Some(significant), Some(estimate)) = (absolute.significant, absolute.estimate) else {
        return Verdict::TooEarly;
    };
    if significant {
        return if (estimate > 0.0) == (reading.better == Better::Higher) {
            Verdict::Better
        } else {
            Verdict::Worse
        };
    }
    match (relative.lower, relative.upper) {
        (Some(lower), Some(upper)) if -reading.margin <= lower && upper <= reading.margin => Verdict::WithinMargin,
        _ => Verdict::Undecided,
    }
}

/// Which way harm lies, and from which relative effect on it is beyond the margin.
pub(super) fn harmful(reading: &Reading) -> (Alternative, f64) {
    match reading.better {
        Better::Higher => (Alternative::Lesser, -reading.margin),
        Better::Lower => (Alternative::Greater, reading.margin),
    }
}

/// Of a guardrail, by one-sided tests against the margin: in one direction for harm, in the other for its absence.
fn of_guardrail(
    control: &ArmEstimate,
    treatment: &ArmEstimate,
    reading: &Reading,
    judge: &Judge,
) -> Result<Verdict, Unavailable> {
    let worse = match reading.better {
        Better::Higher => Better::Lower,
        Better::Lower => Better::Higher,
    };
    let (_, harm) = harmful(reading);
    // A margin of nothing is the same on both scales, and the absolute one knows no control of zero.
    let (null, margin) = if reading.margin == 0.0 {
        (NullValue::Absolute(0.0), Margin::Absolute(0.0))
    } else {
        (NullValue::Relative(harm), Margin::Relative(reading.margin))
    };
    let harmed = test_against(control, treatment, null, judge.one_sided(worse)?.as_ref());
    let Some(harmed) = harmed.interval() else {
        return Ok(Verdict::TooEarly);
    };
    if harmed.significant {
        return Ok(Verdict::Worse);
    }
    let safe = non_inferiority(control, treatment, margin, judge.one_sided(reading.better)?.as_ref());
    Ok(match safe.interval() {
        Some(safe) if safe.superior => Verdict::Better,
        Some(safe) if safe.non_inferior => Verdict::WithinMargin,
        _ => Verdict::Undecided,
    })
}

/// The verdict on what is shown.
pub(super) fn verdict(
    lift: &ShownLift,
    arms: (&ArmEstimate, &ArmEstimate),
    reading: &Reading,
    judge: &Judge,
) -> Verdict {
    if lift.absolute.significant.is_none() {
        return Verdict::TooEarly;
    }
    match reading.role {
        Role::Primary | Role::Secondary => of_interval(lift, reading),
        Role::Guardrail => of_guardrail(arms.0, arms.1, reading, judge).unwrap_or(Verdict::TooEarly),
    }
}
