//! Whether a ramp may take its next step.

use evenhand_manage::steward::{Request, Running};
use evenhand_manage::stewardship::RampStatus;
use evenhand_pipeline::catalog::Role;
use evenhand_pipeline::{ExperimentResults, Verdict};
use evenhand_stats::SequentialSrm;

/// A guardrail's p-value of harm at which a ramp waits; the guard acts at its own level.
const IN_SIGHT: f64 = 0.05;
/// Results that are further behind say nothing of now.
const LONGEST_LAG_S: f64 = 120.0;

/// The request for the next step, and why; none while it is not due, or something speaks against it.
pub fn look(running: &Running, results: &ExperimentResults, now_ms: i64, minute_ms: i64) -> Option<(Request, String)> {
    let (plan, state) = (running.definition.ramp.as_ref()?, running.ramp.as_ref()?);
    if state.status != RampStatus::Climbing {
        return None;
    }
    // All epochs of the phase.
    let units = match results.srm_sequential {
        Some(SequentialSrm::Tested { units, .. }) => units,
        _ => results.variations.iter().map(|variation| variation.units).sum(),
    };
    let came = units.saturating_sub(state.units);
    let waited_ms = now_ms - state.since_ms;
    let wait_ms = plan.min_hours * 60.0 * minute_ms as f64;
    if (waited_ms as f64) < wait_ms || came < plan.min_units || speaks_against(results) {
        return None;
    }
    let guardrails = results.metrics.iter().filter(|metric| metric.role == Role::Guardrail);
    let verdicts = || {
        guardrails
            .clone()
            .flat_map(|metric| &metric.arms)
            .filter_map(|arm| arm.verdict)
    };
    let judged = verdicts().filter(|verdict| *verdict != Verdict::TooEarly).count();
    let next = plan.steps.get(state.step as usize)?;
    let because = format!(
        "step {} was waited out with {came} units more and no harm ({judged} of {} comparisons of guardrails have enough data): {} % of traffic",
        state.step,
        verdicts().count(),
        f64::from(*next) / 100.0
    );
    let request = Request::Step {
        step: state.step,
        units,
    };
    Some((request, because))
}

/// Whether something is wrong or not known: then the ramp stands still.
fn speaks_against(results: &ExperimentResults) -> bool {
    let mismatch = matches!(
        results.srm_sequential,
        Some(SequentialSrm::Tested { mismatch: true, .. })
    );
    let worse = (results.metrics.iter())
        .filter(|metric| metric.role == Role::Guardrail)
        .flat_map(|metric| &metric.arms)
        .any(|arm| arm.verdict == Some(Verdict::Worse) || arm.harm.is_some_and(|harm| harm.p_value <= IN_SIGHT));
    mismatch || worse || !results.complete || results.lag_seconds > LONGEST_LAG_S
}
