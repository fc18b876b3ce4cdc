//! Looks of group-sequential experiments: what results said when a planned share of the units was there. Each is written once, by the steward, and never changed:
//! results show the last of them until the next. When they come follows from the number of units alone, not from who asks or from what the effect looks like.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::definition::Experiment;
use crate::edit::Edit;
use crate::model::Model;
use crate::problem::{ManageError, Result};

/// Comparisons that all looks of a phase may keep: metrics times treatments times looks. The last of 20 looks takes some 0.1 s for each of its 100.
pub const MOST_COMPARISONS: usize = 2_000;
/// The least that the share of the planned units must have grown since the look before: closer ones can't be told apart.
pub const LEAST_STEP: f64 = 1e-4;
/// The greatest share of the planned units that a look counts, however many more came.
pub const GREATEST_FRACTION: f64 = 10.0;

/// A look, as it was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Look {
    /// `experiment/phase/number`.
    pub key: String,
    /// The experiment's key.
    pub experiment: String,
    /// Its phase.
    pub phase: u32,
    /// When it was taken (milliseconds since 1970).
    pub at_ms: i64,
    /// What was seen.
    #[serde(flatten)]
    pub seen: LookFigures,
}

/// What results said at a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LookFigures {
    /// Its number among the planned ones, from 1. One that was not taken in time is skipped, which changes no promise.
    pub number: u32,
    /// Units that counted, of all variations.
    pub units: u64,
    /// The same over the planned units, at most 10. The split is fixed, so it is the information fraction of every comparison.
    pub fraction: f64,
    /// Whether none comes after it: the planned units are there, or the planned end was reached.
    pub is_last: bool,
    /// Its bound for primary metrics, in standard errors.
    pub bound: f64,
    /// α spent up to and with it.
    pub spent: f64,
    /// Each metric of each variation against control; those of all looks are at most 2,000.
    pub comparisons: Vec<LookComparison>,
}

/// A metric of a variation at a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LookComparison {
    /// The metric's key.
    pub metric: String,
    /// The variation.
    pub variation: String,
    /// 1 − α of its intervals, after the metric's share of a correction.
    pub confidence: f64,
    /// Against control.
    pub lift: Option<LookLift>,
    /// The same after adjustment for the pre-period, where there is one.
    pub adjusted_lift: Option<LookLift>,
    /// The p-value in the light of all comparisons, where they are corrected.
    pub adjusted_p_value: Option<f64>,
    /// What could be said.
    pub verdict: Option<LookVerdict>,
}

/// What could be said of a variation at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LookVerdict {
    /// Better than control.
    Better,
    /// Worse; of a guardrail, by more than its margin.
    Worse,
    /// Not beyond the margin.
    WithinMargin,
    /// Neither.
    Undecided,
    /// Data were missing.
    TooEarly,
}

/// A lift at a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LookLift {
    /// Difference in the metric's units.
    pub absolute: LookEffect,
    /// Difference over the size of control's value.
    pub relative: LookEffect,
}

/// An effect at a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LookEffect {
    /// The point estimate.
    pub estimate: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// Lower end of the interval.
    pub lower: Option<f64>,
    /// Upper end of the interval.
    pub upper: Option<f64>,
    /// The values that were not refused.
    pub region: Option<LookRegion>,
    /// The repeated p-value of "no effect".
    pub p_value: Option<f64>,
    /// Whether it was refused at the interval's level.
    pub significant: Option<bool>,
    /// Why something is missing.
    pub unavailable: Option<String>,
}

/// Values that were not refused; ends that do not exist are absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LookRegion {
    /// `between`, `at_least`, `at_most`, `outside` or `everything`.
    pub shape: String,
    /// Lower end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// Of `outside`: upper end of the lower part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Of `outside`: lower end of the upper part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
}

/// Keys begin with the place of their phase, and stand in the order of their numbers.
fn place(experiment: &str, phase: u32) -> String {
    format!("{experiment}/{phase:010}/")
}

/// The looks taken in a phase, in their order.
pub fn of_phase(model: &Model, environment: &str, experiment: &str, phase: u32) -> Vec<Look> {
    let place = place(experiment, phase);
    let looks = model.looks.page(environment, &place);
    looks
        .take_while(|look| look.body.key.starts_with(&place))
        .map(|look| look.body.clone())
        .collect()
}

/// Writes a look down where it is due by what is stored. False: it is not, or another was heard first.
pub(crate) fn take(
    edit: &mut Edit,
    environment: &str,
    definition: &Experiment,
    phase: u32,
    seen: &LookFigures,
) -> Result<bool> {
    let Some(plan) = definition.analysis.planned_looks() else {
        return Ok(false);
    };
    let taken = of_phase(&edit.model, environment, &definition.key, phase);
    let before = taken.last().map(|look| &look.seen);
    let follows = before.is_none_or(|before| {
        !before.is_last && seen.number > before.number && seen.fraction >= before.fraction + LEAST_STEP
    });
    let reached = u128::from(seen.units) * u128::from(plan.looks) / u128::from(plan.units);
    let reached = u32::try_from(reached).unwrap_or(u32::MAX).min(plan.looks);
    let over = definition.planned_end_ms.is_some_and(|end| edit.now_ms >= end);
    let due = seen.number > 0 && (seen.number == reached || (over && seen.number == plan.looks));
    let fraction = (seen.units as f64 / plan.units as f64).min(GREATEST_FRACTION);
    let fits = seen.is_last == (seen.number == plan.looks) && (seen.fraction - fraction).abs() < 1e-9;
    if !(follows && due && fits) {
        return Ok(false);
    }
    if seen.comparisons.len().saturating_mul(plan.looks as usize) > MOST_COMPARISONS {
        return Err(ManageError::invalid(
            "comparisons",
            format!("{} comparisons at each of {} looks", seen.comparisons.len(), plan.looks),
            format!("all looks of a phase keep at most {MOST_COMPARISONS}: use fewer metrics"),
        ));
    }
    let look = Look {
        key: format!("{}{:02}", place(&definition.key, phase), seen.number),
        experiment: definition.key.clone(),
        phase,
        at_ms: edit.now_ms,
        seen: seen.clone(),
    };
    edit.create(environment, look)?;
    Ok(true)
}
