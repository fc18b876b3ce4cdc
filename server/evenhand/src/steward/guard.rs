//! Harm and broken splits: what the experiment's guard makes of them.

use evenhand_manage::catalog::ERROR;
use evenhand_manage::definition::GuardAct;
use evenhand_manage::steward::{Request, Running};
use evenhand_manage::stewardship::{Cause, RampStatus, StewardAct};
use evenhand_pipeline::ExperimentResults;
use evenhand_pipeline::catalog::Role;
use evenhand_pipeline::results::{ArmResults, Harm, MetricResults};
use evenhand_stats::SequentialSrm;

use super::Found;

/// What is found in these results. What was done already is asked for again; the change itself knows it.
pub fn look(running: &Running, results: &ExperimentResults) -> Vec<Found> {
    let guard = &running.definition.guard;
    let mut found = Vec::new();
    let guardrails: Vec<&MetricResults> = (results.metrics.iter())
        .filter(|metric| metric.role == Role::Guardrail)
        .collect();
    let treatments = results.variations.iter().filter(|v| v.known && !v.is_control).count();
    // All comparisons share the error.
    let level = (1.0 - guard.confidence) / (guardrails.len() * treatments).max(1) as f64;
    for metric in guardrails.iter().filter(|metric| metric.complete) {
        let Some(act) = wanted(running, &metric.id) else {
            continue;
        };
        for arm in &metric.arms {
            if let Some(harm) = arm.harm.filter(|harm| harm.p_value <= level) {
                found.push(Found {
                    request: Request::Found {
                        cause: Cause::Harm,
                        act,
                        dry_run: guard.dry_run,
                        metric: Some(metric.id.clone()),
                        variation: Some(arm.variation_id.clone()),
                    },
                    because: because(metric, arm, &harm),
                });
            }
        }
    }
    if let (
        Some(act),
        Some(SequentialSrm::Tested {
            mismatch: true,
            p_value,
            units,
            ..
        }),
    ) = (as_act(guard.on_mismatch), results.srm_sequential)
    {
        found.push(Found {
            request: Request::Found {
                cause: Cause::SampleRatio,
                act,
                dry_run: guard.dry_run,
                metric: None,
                variation: None,
            },
            because: format!("{units} units do not split as the weights say (p = {p_value:.1e}): no figure is to be believed before the cause is found"),
        });
    }
    // What stops most comes first.
    found.sort_by_key(|found| std::cmp::Reverse(act_of(&found.request)));
    found
}

/// What harm of this metric leads to; none: nothing.
fn wanted(running: &Running, metric: &str) -> Option<StewardAct> {
    let guard = &running.definition.guard;
    let climbs =
        (running.ramp.as_ref()).is_some_and(|ramp| matches!(ramp.status, RampStatus::Climbing | RampStatus::Paused));
    as_act(match (metric, guard.on_harm) {
        (ERROR, _) => guard.on_error,
        (_, Some(act)) => act,
        (_, None) if climbs => GuardAct::Kill,
        (_, None) => GuardAct::Notify,
    })
}

fn as_act(act: GuardAct) -> Option<StewardAct> {
    match act {
        GuardAct::Ignore => None,
        GuardAct::Notify => Some(StewardAct::Notify),
        GuardAct::Pause => Some(StewardAct::Pause),
        GuardAct::Kill => Some(StewardAct::Kill),
    }
}

fn because(metric: &MetricResults, arm: &ArmResults, harm: &Harm) -> String {
    let mut said = format!("{} does harm on the guardrail {}", arm.variation_id, metric.id);
    if let Some([treatment, control]) = harm.conversions {
        said += &format!(": {treatment} units with one, {control} in control");
    }
    if let Some(at_least) = harm.at_least.filter(|at_least| *at_least > 0.0) {
        let direction = if metric.better == evenhand_stats::Better::Lower {
            "more"
        } else {
            "less"
        };
        said += &if metric.margin > 0.0 {
            format!(", at least {:.2} % {direction} than control", at_least * 100.0)
        } else {
            format!(", at least {at_least:.6} per unit {direction} than control")
        };
    }
    said + &format!(" (one-sided, anytime-valid: p = {:.1e})", harm.p_value)
}

fn act_of(request: &Request) -> Option<StewardAct> {
    match request {
        Request::Found {
            act, dry_run: false, ..
        } => Some(*act),
        _ => None,
    }
}

/// Whether nothing runs any more after it.
pub fn stops(request: &Request) -> bool {
    matches!(act_of(request), Some(StewardAct::Kill | StewardAct::Pause))
}

/// As what it is counted.
pub fn acts(request: &Request) -> &'static str {
    match request {
        Request::Found { dry_run: true, .. } => "dry_run",
        Request::Found { act, .. } => match act {
            StewardAct::Kill => "kill",
            StewardAct::Pause => "pause",
            StewardAct::Notify | StewardAct::Traffic => "notify",
        },
        Request::Step { .. } => "ramp_step",
        Request::Weights { .. } => "weights",
        Request::Look(_) => "look",
    }
}
