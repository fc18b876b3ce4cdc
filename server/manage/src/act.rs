//! What an action does to an experiment. Salts of a next phase lie ready in the state, so doing it and previewing it are the same computation.

use crate::decision::{self, Grounds};
use crate::definition::{AnalysisMethod, Arm, Experiment, Flag, Layer};
use crate::edit::Edit;
use crate::lifecycle::ExperimentAction;
use crate::problem::{ManageError, Problems, Result};
use crate::state::{CoolingSlots, Epoch, ExperimentState, ExperimentStatus, FlagState, LayerState, Phase, PhaseSalts};
use crate::stewardship::RampStatus;
use crate::validate::{BANDIT_GRAIN, check_share, check_weights};
use crate::{ramp, slots, split};

const DAY_MS: i64 = 86_400_000;

/// Does `action` to experiment `key` in `environment`, in the model of `edit`. An end is written down with its `grounds`.
pub fn act(edit: &mut Edit, environment: &str, key: &str, action: &ExperimentAction, grounds: &Grounds) -> Result<()> {
    let project = edit.model.project_of(environment)?.to_owned();
    let definition = edit.model.find::<Experiment>(&project, key)?.body.clone();
    let mut state = edit.model.find::<ExperimentState>(environment, key)?.body.clone();
    action.check(&state)?;
    let now_ms = edit.now_ms;
    match action {
        ExperimentAction::Start => start(edit, environment, &project, &definition, &mut state)?,
        ExperimentAction::Pause => state.state = ExperimentStatus::Paused,
        ExperimentAction::Resume => {
            state.state = ExperimentStatus::Running;
            ramp::restart_step(edit, environment, key)?;
        }
        ExperimentAction::PauseRamp => ramp::steer(edit, environment, &state, RampStatus::Paused)?,
        ExperimentAction::ResumeRamp => ramp::steer(edit, environment, &state, RampStatus::Climbing)?,
        ExperimentAction::AbortRamp => ramp::steer(edit, environment, &state, RampStatus::Aborted)?,
        ExperimentAction::Stop => stop(edit, environment, &project, &definition, &mut state)?,
        ExperimentAction::Ship { variation } => {
            let flag = &edit.model.find::<Flag>(&project, &definition.flag)?.body;
            if !flag.has_variation(variation) {
                let keys: Vec<_> = flag.variations.iter().map(|variation| variation.key.as_str()).collect();
                return Err(ManageError::invalid(
                    "variation",
                    format!("flag `{}` has no variation `{variation}`", flag.key),
                    format!("ship one of {}", keys.join(", ")),
                ));
            }
            stop(edit, environment, &project, &definition, &mut state)?;
            state.shipped = Some(variation.clone());
            edit.modify(environment, &definition.flag, |flag: &mut FlagState| {
                flag.default = Some(variation.clone())
            })?;
        }
        ExperimentAction::Kill => state.killed = true,
        ExperimentAction::Unkill => {
            state.killed = false;
            ramp::restart_step(edit, environment, key)?;
        }
        ExperimentAction::Archive => state.state = ExperimentStatus::Archived,
        ExperimentAction::NewPhase {
            variations,
            traffic,
            targeting,
        } => {
            let current = current_phase(&state)?;
            let weights = match variations {
                Some(weights) => weights.clone(),
                None => current_epoch(&current)?.weights.clone(),
            };
            let traffic = traffic.unwrap_or(current.traffic);
            let mut problems = Problems::default();
            check_same_arms(&definition, &weights, &mut problems);
            check_share("traffic", traffic, &mut problems);
            problems.finish()?;
            let targeting = targeting.clone().or(current.targeting);
            begin_phase(edit, &mut state, weights, traffic, targeting);
            ramp::overrule(edit, environment, key)?;
        }
        ExperimentAction::ChangeWeights { variations } => change_weights(edit, &definition, &mut state, variations)?,
        ExperimentAction::ChangeTraffic { traffic } => {
            let mut problems = Problems::default();
            check_share("traffic", *traffic, &mut problems);
            problems.finish()?;
            let phase = state.phases.last_mut().ok_or_else(|| no_phase(key))?;
            if phase.traffic == *traffic {
                return Err(nothing_to_do(format!("the traffic is {traffic} basis points already")));
            }
            phase.traffic = *traffic;
            ramp::overrule(edit, environment, key)?;
        }
        ExperimentAction::Resize { slots: wanted } => {
            resize(edit, environment, &project, &definition, &mut state, *wanted)?
        }
    }
    if action.ends() {
        decision::record(edit, environment, &definition, &state, action.name(), grounds)?;
        end_phase(&mut state, now_ms);
    }
    edit.update(environment, state)
}

fn start(
    edit: &mut Edit,
    environment: &str,
    project: &str,
    definition: &Experiment,
    state: &mut ExperimentState,
) -> Result<()> {
    let mut problems = Problems::default();
    let flag = &edit.model.find::<Flag>(project, &definition.flag)?.body;
    problems.check(
        !flag.archived,
        "flag",
        || format!("flag `{}` is archived", flag.key),
        "take it out of the archive, or use another flag",
    );
    if let Some(end) = definition.schedule.end_ms {
        problems.check(
            end > edit.now_ms,
            "schedule.end_ms",
            || format!("the schedule ended at {end}, before now"),
            "set a later end, or none",
        );
    }
    problems.finish()?;
    if let Some(share) = &definition.layer {
        state.slots = take_slots(edit, environment, project, &share.layer, &definition.key, share.slots)?;
    }
    let traffic = ramp::begin(edit, environment, definition)?;
    begin_phase(
        edit,
        state,
        definition.variations.clone(),
        traffic,
        definition.targeting.clone(),
    );
    state.state = ExperimentStatus::Running;
    state.started_ms = Some(edit.now_ms);
    Ok(())
}

fn stop(
    edit: &mut Edit,
    environment: &str,
    project: &str,
    definition: &Experiment,
    state: &mut ExperimentState,
) -> Result<()> {
    state.state = ExperimentStatus::Stopped;
    state.stopped_ms = Some(edit.now_ms);
    if let Some(share) = &definition.layer {
        let freed = std::mem::take(&mut state.slots);
        cool(edit, environment, project, &share.layer, &definition.key, &freed)?;
    }
    Ok(())
}

fn begin_phase(
    edit: &mut Edit,
    state: &mut ExperimentState,
    weights: Vec<Arm>,
    traffic: u32,
    targeting: Option<serde_json::Value>,
) {
    let number = state.phases.last().map_or(0, |phase| phase.phase) + 1;
    end_phase(state, edit.now_ms);
    let next = PhaseSalts {
        traffic: edit.draw_salt(),
        split: edit.draw_salt(),
    };
    let salts = std::mem::replace(&mut state.next_salts, next);
    let split = split::deal(&weights);
    let epoch = Epoch {
        epoch: 1,
        started_ms: edit.now_ms,
        ended_ms: None,
        weights,
        split,
    };
    state.phases.push(Phase {
        phase: number,
        started_ms: edit.now_ms,
        ended_ms: None,
        salts,
        traffic,
        targeting,
        epochs: vec![epoch],
    });
}

fn end_phase(state: &mut ExperimentState, now_ms: i64) {
    if let Some(phase) = state.phases.last_mut().filter(|phase| phase.ended_ms.is_none()) {
        phase.ended_ms = Some(now_ms);
        if let Some(epoch) = phase.epochs.last_mut() {
            epoch.ended_ms = Some(now_ms);
        }
    }
}

fn change_weights(
    edit: &mut Edit,
    definition: &Experiment,
    state: &mut ExperimentState,
    weights: &[Arm],
) -> Result<()> {
    let mut problems = Problems::default();
    check_same_arms(definition, weights, &mut problems);
    problems.finish()?;
    let current = current_phase(state)?;
    let epoch = current_epoch(&current)?;
    if epoch.weights == weights {
        return Err(nothing_to_do("these are the weights already".into()));
    }
    if !definition.sticky {
        begin_phase(edit, state, weights.to_vec(), current.traffic, current.targeting);
        return Ok(());
    }
    if definition.analysis.method == AnalysisMethod::GroupSequential {
        return Err(ManageError::conflict(
            "looks_of_one_split",
            format!(
                "`{}` is group-sequential: its looks are planned for one split, and an epoch of other weights would void them. Begin a `new_phase` with these weights: its looks start again",
                definition.key
            ),
        ));
    }
    let split = split::redeal(&epoch.split, weights).ok_or_else(|| {
        ManageError::conflict(
            "split_fragmented",
            format!("after this change the split of `{}` would have more than {} ranges: begin a `new_phase` with these weights", definition.key, split::MAX_RANGES),
        )
    })?;
    let next = Epoch {
        epoch: epoch.epoch + 1,
        started_ms: edit.now_ms,
        ended_ms: None,
        weights: weights.to_vec(),
        split,
    };
    if let Some(phase) = state.phases.last_mut() {
        if let Some(epoch) = phase.epochs.last_mut() {
            epoch.ended_ms = Some(edit.now_ms);
            if definition.bandit.is_some() {
                // It follows from the weights before it, and hundreds of them would be most of the state.
                epoch.split.clear();
            }
        }
        phase.epochs.push(next);
    }
    Ok(())
}

fn resize(
    edit: &mut Edit,
    environment: &str,
    project: &str,
    definition: &Experiment,
    state: &mut ExperimentState,
    wanted: u32,
) -> Result<()> {
    let Some(share) = &definition.layer else {
        return Err(ManageError::conflict(
            "no_layer",
            format!(
                "experiment `{}` is in no layer and has no slots: use `change_traffic`",
                definition.key
            ),
        ));
    };
    if !(1..=slots::SLOTS).contains(&wanted) {
        return Err(ManageError::invalid(
            "slots",
            format!("{wanted} is not a number of slots"),
            "give 1 to 1000",
        ));
    }
    let held = slots::count(&state.slots);
    match wanted.cmp(&held) {
        std::cmp::Ordering::Equal => Err(nothing_to_do(format!("it has {held} slots already"))),
        std::cmp::Ordering::Greater => {
            let more = take_slots(edit, environment, project, &share.layer, &definition.key, wanted - held)?;
            state.slots = slots::merge(state.slots.iter().copied().chain(more).collect());
            Ok(())
        }
        std::cmp::Ordering::Less => {
            let (kept, freed) = slots::give_back(&state.slots, held - wanted);
            state.slots = kept;
            cool(edit, environment, project, &share.layer, &definition.key, &freed)
        }
    }
}

/// Slots that others hold or that rest are never taken: that is what moves nobody.
fn take_slots(
    edit: &Edit,
    environment: &str,
    project: &str,
    layer: &str,
    experiment: &str,
    wanted: u32,
) -> Result<Vec<(u32, u32)>> {
    let definition = &edit.model.find::<Layer>(project, layer)?.body;
    if definition.archived {
        return Err(ManageError::conflict(
            "archived",
            format!("layer `{layer}` is archived: take it out of the archive, or use another layer"),
        ));
    }
    let state = &edit.model.find::<LayerState>(environment, layer)?.body;
    let free = slots::free(
        held_slots(edit, environment, project, layer),
        &state.cooling,
        edit.now_ms,
    );
    slots::take(&free, wanted).map_err(|available| {
        let resting: Vec<_> = state.cooling.iter().filter(|slots| slots.until_ms > edit.now_ms).map(|slots| (slots.from, slots.to)).collect();
        let resting = slots::count(&slots::merge(resting));
        ManageError::conflict(
            "layer_full",
            format!(
                "experiment `{experiment}` needs {wanted} slots of layer `{layer}` in `{environment}`, and {available} of 1000 are free \
                 ({resting} rest after a stopped experiment): ask for fewer slots, stop another experiment, or use another layer"
            ),
        )
    })
}

/// The slots that live experiments hold in a layer.
pub fn held_slots(edit: &Edit, environment: &str, project: &str, layer: &str) -> Vec<(u32, u32)> {
    let experiments = edit.model.experiments.scope(project);
    experiments
        .filter(|experiment| experiment.body.layer.as_ref().is_some_and(|share| share.layer == layer))
        .filter_map(|experiment| edit.model.experiment_states.get(environment, &experiment.body.key))
        .filter(|state| state.body.state.is_live())
        .flat_map(|state| state.body.slots.clone())
        .collect()
}

fn cool(
    edit: &mut Edit,
    environment: &str,
    project: &str,
    layer: &str,
    experiment: &str,
    freed: &[(u32, u32)],
) -> Result<()> {
    let days = edit.model.find::<Layer>(project, layer)?.body.cooldown_days;
    let now_ms = edit.now_ms;
    let until_ms = now_ms + i64::from(days) * DAY_MS;
    edit.modify(environment, layer, |state: &mut LayerState| {
        state.cooling.retain(|slots| slots.until_ms > now_ms);
        if until_ms > now_ms {
            state.cooling.extend(freed.iter().map(|&(from, to)| CoolingSlots {
                from,
                to,
                until_ms,
                experiment: experiment.to_owned(),
            }));
        }
    })
}

/// A change of weights names exactly the experiment's variations: adding one would change what is compared.
fn check_same_arms(definition: &Experiment, weights: &[Arm], problems: &mut Problems) {
    check_weights("variations", weights, problems);
    for (index, arm) in weights.iter().enumerate() {
        problems.check(
            definition
                .variations
                .iter()
                .any(|known| known.variation == arm.variation),
            &format!("variations[{index}].variation"),
            || {
                format!(
                    "`{}` is not a variation of experiment `{}`",
                    arm.variation, definition.key
                )
            },
            "name the experiment's own variations; to compare others, clone it",
        );
        problems.check(
            definition.bandit.is_none() || arm.weight.is_multiple_of(BANDIT_GRAIN),
            &format!("variations[{index}].weight"),
            || format!("{} is no whole per cent, and a bandit's weights are", arm.weight),
            "give a multiple of 100",
        );
    }
    for known in &definition.variations {
        problems.check(
            weights.iter().any(|arm| arm.variation == known.variation),
            "variations",
            || format!("`{}` is missing", known.variation),
            "name all variations of the experiment; weight 0 takes one out",
        );
    }
}

fn current_phase(state: &ExperimentState) -> Result<Phase> {
    state.phase().cloned().ok_or_else(|| no_phase(&state.key))
}

fn current_epoch(phase: &Phase) -> Result<Epoch> {
    phase.epoch().cloned().ok_or_else(|| {
        ManageError::Store(format!(
            "phase {} has no epoch: restore the store from a backup",
            phase.phase
        ))
    })
}

fn no_phase(key: &str) -> ManageError {
    ManageError::Store(format!(
        "experiment `{key}` is live and has no phase: restore the store from a backup"
    ))
}

fn nothing_to_do(message: String) -> ManageError {
    ManageError::conflict("nothing_to_do", format!("{message}: there is nothing to do"))
}
