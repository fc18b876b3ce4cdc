//! What whoever looks at results asks to be done. Each request names what it saw; it is judged again inside the change, on what is stored then, so that it is done at
//! most once, whoever else asks and whatever a person did meanwhile.

use serde_json::Value;

use crate::act;
use crate::decision::Grounds;
use crate::definition::{Arm, Experiment};
use crate::edit::Edit;
use crate::lifecycle::ExperimentAction;
use crate::looks::{self, LookFigures};
use crate::manage::Manage;
use crate::problem::Result;
use crate::state::{ExperimentState, ExperimentStatus, Phase};
use crate::stewardship::{self, Cause, Entry, RampState, RampStatus, Round, RoundArm, StewardAct};
use crate::writer::Deed;

/// The actor of what is done by itself.
pub const STEWARD: &str = "steward";

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Harm, a broken split or a winner was found.
    Found {
        /// What.
        cause: Cause,
        /// What is to be done.
        act: StewardAct,
        /// Only write down what would be done.
        dry_run: bool,
        /// The metric it is about.
        metric: Option<String>,
        /// The variation it is about.
        variation: Option<String>,
    },
    /// A step of the ramp was waited out.
    Step {
        /// The step that is over.
        step: u32,
        /// Units that have come in so far.
        units: u64,
    },
    /// A bandit has learned.
    Weights {
        /// The epoch it learned in.
        epoch: u32,
        /// The variations with their next weights.
        arms: Vec<RoundArm>,
    },
    /// A planned share of the units of a group-sequential experiment is there, and this is what results say.
    Look(LookFigures),
}

/// A request about a running phase.
#[derive(Debug, Clone)]
pub struct StewardOrder {
    /// The environment's key.
    pub environment: String,
    /// The experiment's key.
    pub experiment: String,
    /// The phase that was looked at.
    pub phase: u32,
    /// What is asked for.
    pub request: Request,
    /// Why, in a sentence.
    pub because: String,
}

impl Manage {
    /// Does it where it still fits. False: nothing was to be done.
    pub async fn steward(&self, order: StewardOrder) -> Result<bool> {
        let deed = Deed {
            actor: STEWARD.to_owned(),
            action: format!("experiment.{}", order.request.action()),
            target: format!("experiment/{}", order.experiment),
            project: None,
            environment: Some(order.environment.clone()),
        };
        self.change(deed, move |edit| {
            let done = answer(edit, &order)?;
            if done {
                edit.note("reason", Value::from(order.because.as_str()));
            }
            Ok(done)
        })
        .await
    }

    /// The experiments that run in an environment now, with their definitions.
    pub fn running(&self, environment: &str) -> Vec<Running> {
        let model = self.model();
        let Ok(project) = model.project_of(environment) else {
            return Vec::new();
        };
        let states = model.experiment_states.scope(environment);
        states
            .filter(|state| runs(&state.body))
            .filter_map(|stored| {
                let state = &stored.body;
                Some(Running {
                    version: stored.version,
                    definition: model.experiments.get(project, &state.key)?.body.clone(),
                    phase: state.phase()?.clone(),
                    ramp: model
                        .stewardships
                        .get(environment, &state.key)
                        .and_then(|kept| kept.body.ramp.clone()),
                })
            })
            .collect()
    }
}

/// An experiment that decides now.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its definition.
    pub definition: Experiment,
    /// The version of its state.
    pub version: u64,
    /// Its phase.
    pub phase: Phase,
    /// Its ramp.
    pub ramp: Option<RampState>,
}

impl Request {
    /// As what it stands in the audit log.
    fn action(&self) -> &'static str {
        match self {
            Self::Found { dry_run: true, .. } => "guard_dry_run",
            Self::Found { act, .. } => match act {
                StewardAct::Kill => ExperimentAction::Kill.name(),
                StewardAct::Pause => ExperimentAction::Pause.name(),
                StewardAct::Notify | StewardAct::Traffic => "guard_notify",
            },
            Self::Step { .. } => "ramp_step",
            Self::Weights { .. } => "change_weights",
            Self::Look(_) => "look",
        }
    }
}

fn runs(state: &ExperimentState) -> bool {
    state.state == ExperimentStatus::Running && !state.killed
}

fn answer(edit: &mut Edit, order: &StewardOrder) -> Result<bool> {
    let StewardOrder {
        environment,
        experiment: key,
        phase,
        request,
        because,
    } = order;
    let state = edit.model.find::<ExperimentState>(environment, key)?.body.clone();
    if !runs(&state) || state.phase().is_none_or(|current| current.phase != *phase) {
        return Ok(false);
    }
    match request {
        Request::Found {
            cause,
            act,
            dry_run,
            metric,
            variation,
        } => {
            let entry = Entry {
                at_ms: edit.now_ms,
                phase: *phase,
                cause: *cause,
                act: *act,
                done: !dry_run,
                metric: metric.clone(),
                variation: variation.clone(),
                because: because.clone(),
            };
            found(edit, environment, key, entry)
        }
        Request::Step { step, units } => grow(edit, environment, state, (*step, *units), because),
        Request::Weights { epoch, arms } => learn(edit, environment, &state, *epoch, arms, because),
        Request::Look(seen) => {
            let project = edit.model.project_of(environment)?.to_owned();
            let definition = edit.model.find::<Experiment>(&project, key)?.body.clone();
            looks::take(edit, environment, &definition, *phase, seen)
        }
    }
}

fn found(edit: &mut Edit, environment: &str, key: &str, entry: Entry) -> Result<bool> {
    let mut kept = stewardship::of(edit, environment, key);
    if kept.knows(&entry) {
        return Ok(false);
    }
    if entry.done {
        let action = match entry.act {
            StewardAct::Kill => Some(ExperimentAction::Kill),
            StewardAct::Pause => Some(ExperimentAction::Pause),
            StewardAct::Notify | StewardAct::Traffic => None,
        };
        if let Some(action) = action {
            act::act(edit, environment, key, &action, &Grounds::none(STEWARD))?;
            kept.ramp.iter_mut().for_each(|ramp| {
                if matches!(ramp.status, RampStatus::Climbing | RampStatus::Paused) && entry.act == StewardAct::Kill {
                    ramp.status = RampStatus::RolledBack;
                }
            });
        }
    }
    kept.note(entry);
    stewardship::keep(edit, environment, kept)?;
    Ok(true)
}

fn grow(
    edit: &mut Edit,
    environment: &str,
    mut state: ExperimentState,
    (step, units): (u32, u64),
    because: &str,
) -> Result<bool> {
    let project = edit.model.project_of(environment)?.to_owned();
    let definition = edit.model.find::<Experiment>(&project, &state.key)?;
    let mut kept = stewardship::of(edit, environment, &state.key);
    let (Some(plan), Some(ramp)) = (definition.body.ramp.clone(), &mut kept.ramp) else {
        return Ok(false);
    };
    // The steps are numbered from 1: the next one stands at this one's number.
    let next = plan.steps.get(step as usize).copied();
    let (Some(traffic), true) = (next, ramp.status == RampStatus::Climbing && ramp.step == step) else {
        return Ok(false);
    };
    ramp.step = step + 1;
    (ramp.since_ms, ramp.units) = (edit.now_ms, units);
    if ramp.step as usize == plan.steps.len() {
        ramp.status = RampStatus::Done;
    }
    let Some(phase) = state.phases.last_mut() else {
        return Ok(false);
    };
    if !plan.dry_run {
        phase.traffic = traffic;
    }
    kept.note(Entry {
        at_ms: edit.now_ms,
        phase: phase.phase,
        cause: Cause::Ramp,
        act: StewardAct::Traffic,
        done: !plan.dry_run,
        metric: None,
        variation: None,
        because: because.to_owned(),
    });
    stewardship::keep(edit, environment, kept)?;
    edit.update(environment, state)?;
    Ok(true)
}

fn learn(
    edit: &mut Edit,
    environment: &str,
    state: &ExperimentState,
    epoch: u32,
    arms: &[RoundArm],
    because: &str,
) -> Result<bool> {
    let current = state.phase().and_then(Phase::epoch);
    let weights: Vec<Arm> = arms
        .iter()
        .map(|arm| Arm {
            variation: arm.variation.clone(),
            weight: arm.weight,
        })
        .collect();
    if current.is_none_or(|current| current.epoch != epoch || current.weights == weights) {
        return Ok(false);
    }
    let action = ExperimentAction::ChangeWeights { variations: weights };
    act::act(edit, environment, &state.key, &action, &Grounds::none(STEWARD))?;
    let mut kept = stewardship::of(edit, environment, &state.key);
    kept.turn(Round {
        at_ms: edit.now_ms,
        phase: state.phase().map_or(0, |phase| phase.phase),
        epoch: epoch + 1,
        arms: arms.to_vec(),
        because: because.to_owned(),
    });
    stewardship::keep(edit, environment, kept)?;
    Ok(true)
}
