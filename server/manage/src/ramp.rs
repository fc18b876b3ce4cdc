//! A ramp under way: how it begins, what people do to it, what is to come. It is grown by `steward`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::definition::{Experiment, Ramp};
use crate::edit::Edit;
use crate::problem::{ManageError, Result};
use crate::state::ExperimentState;
use crate::stewardship::{RampState, RampStatus, keep, of};

/// The traffic that an experiment starts with; its ramp begins.
pub fn begin(edit: &mut Edit, environment: &str, definition: &Experiment) -> Result<u32> {
    let Some(ramp) = &definition.ramp else {
        return Ok(definition.traffic);
    };
    let mut kept = of(edit, environment, &definition.key);
    kept.ramp = Some(RampState {
        status: RampStatus::Climbing,
        step: 1,
        since_ms: edit.now_ms,
        units: 0,
    });
    keep(edit, environment, kept)?;
    let first = ramp.steps.first().copied().unwrap_or(definition.traffic);
    Ok(if ramp.dry_run { definition.traffic } else { first })
}

/// Changes a ramp that is there.
pub fn change(edit: &mut Edit, environment: &str, key: &str, change: impl FnOnce(&mut RampState)) -> Result<()> {
    let mut kept = of(edit, environment, key);
    let Some(ramp) = &mut kept.ramp else { return Ok(()) };
    change(ramp);
    keep(edit, environment, kept)
}

/// A person set the traffic, or drew everybody anew: the ramp no longer knows what it would grow from.
pub fn overrule(edit: &mut Edit, environment: &str, key: &str) -> Result<()> {
    change(edit, environment, key, |ramp| {
        if ramp.status != RampStatus::Done {
            ramp.status = RampStatus::Aborted;
        }
    })
}

/// What was off is on again: a step is waited out anew.
pub fn restart_step(edit: &mut Edit, environment: &str, key: &str) -> Result<()> {
    let now_ms = edit.now_ms;
    change(edit, environment, key, |ramp| ramp.since_ms = now_ms)
}

/// Pauses, resumes or aborts a ramp.
pub fn steer(edit: &mut Edit, environment: &str, state: &ExperimentState, to: RampStatus) -> Result<()> {
    let key = &state.key;
    let Some(ramp) = of(edit, environment, key).ramp else {
        return Err(ManageError::conflict(
            "no_ramp",
            format!("experiment `{key}` has no ramp in `{environment}`: give it one before it is started"),
        ));
    };
    let (allowed, name): (&[RampStatus], _) = match to {
        RampStatus::Paused => (&[RampStatus::Climbing], "pause_ramp"),
        RampStatus::Climbing => (&[RampStatus::Paused, RampStatus::RolledBack], "resume_ramp"),
        _ => (
            &[RampStatus::Climbing, RampStatus::Paused, RampStatus::RolledBack],
            "abort_ramp",
        ),
    };
    if !allowed.contains(&ramp.status) {
        return Err(ManageError::conflict(
            "wrong_state",
            format!(
                "the ramp of `{key}` is {}, and `{name}` has nothing to do with it; set the traffic with `change_traffic`",
                word(ramp.status)
            ),
        ));
    }
    if to == RampStatus::Climbing && state.killed {
        return Err(ManageError::conflict(
            "wrong_state",
            format!("experiment `{key}` is killed: `unkill` it first, then its ramp can go on"),
        ));
    }
    let now_ms = edit.now_ms;
    change(edit, environment, key, |ramp| {
        ramp.status = to;
        ramp.since_ms = now_ms;
    })
}

fn word(status: RampStatus) -> &'static str {
    match status {
        RampStatus::Climbing => "climbing",
        RampStatus::Paused => "paused",
        RampStatus::RolledBack => "rolled back",
        RampStatus::Aborted => "aborted",
        RampStatus::Done => "done",
    }
}

/// A step that is to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedStep {
    /// The step, from 1.
    pub step: u32,
    /// The share of traffic, in basis points.
    pub traffic: u32,
    /// The share of units that come in with it.
    pub entering: f64,
    /// The earliest moment (milliseconds since 1970), if nothing is harmed and enough units come.
    pub earliest_ms: i64,
    /// Units that must have come in during the step before.
    pub after_units: u64,
}

/// What a ramp would do and when, from `state` on, or if the experiment were started at `now_ms`. An hour lasts `hour_ms`.
pub fn plan(ramp: &Ramp, state: Option<&RampState>, now_ms: i64, hour_ms: i64) -> Vec<PlannedStep> {
    let waits = (ramp.min_hours * hour_ms as f64) as i64;
    let (from, mut at_ms) = match state {
        None => (0, now_ms),
        Some(state) if state.status == RampStatus::Climbing => (state.step, (state.since_ms + waits).max(now_ms)),
        Some(_) => return Vec::new(),
    };
    let mut planned = Vec::new();
    let mut before = (from.checked_sub(1))
        .and_then(|at| ramp.steps.get(at as usize))
        .copied();
    for (step, traffic) in (1..).zip(&ramp.steps).skip(from as usize) {
        planned.push(PlannedStep {
            step,
            traffic: *traffic,
            entering: f64::from(traffic.saturating_sub(before.unwrap_or(0))) / 10_000.0,
            earliest_ms: at_ms,
            after_units: if before.is_some() { ramp.min_units } else { 0 },
        });
        before = Some(*traffic);
        at_ms += waits;
    }
    planned
}
