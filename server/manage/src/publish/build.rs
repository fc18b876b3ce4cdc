//! From definitions and an environment's state to the manifest of docs/contract/manifest.md.

use std::collections::BTreeSet;

use evenhand_core::bucket::bound;
use evenhand_core::{exposure_attributes, wire};
use serde_json::Value;

use crate::definition::{Experiment, Flag, FlagRule, Requirement, RolloutRule, RuleGuards, Segment, ValueType};
use crate::model::Model;
use crate::problem::{ManageError, Problem, Result};
use crate::slots::SLOTS;
use crate::state::{ExperimentState, ExperimentStatus, FlagState, Phase};
use crate::validate::References;

/// What stands on a manifest.
#[derive(Debug, Clone, Copy)]
pub struct Imprint {
    /// See [`crate::state::PublishState`].
    pub generation: u64,
    /// See [`crate::state::PublishState`].
    pub version: u64,
    /// When it is published.
    pub issued_at_ms: i64,
}

/// The full manifest of an environment: every flag under its own name, and the layers, holdouts, segments and lists that their rules use.
pub fn server_manifest(model: &Model, environment: &str, imprint: Imprint) -> Result<wire::Manifest> {
    let project = model.project_of(environment)?;
    let mut builder = Builder {
        model,
        project,
        environment,
        problems: Vec::new(),
        layers: BTreeSet::new(),
        holdouts: BTreeSet::new(),
        references: References::default(),
    };
    let flags = model
        .flags
        .scope(project)
        .map(|flag| (flag.body.key.clone(), builder.flag(&flag.body)))
        .collect();
    let layers = builder.layers();
    let holdouts = builder.holdouts();
    let (segments, lists) = builder.segments();
    if !builder.problems.is_empty() {
        return Err(ManageError::Invalid(builder.problems));
    }
    Ok(wire::Manifest {
        schema: 1,
        environment: environment.to_owned(),
        audience: wire::Audience::Server,
        generation: imprint.generation,
        version: imprint.version,
        issued_at_ms: imprint.issued_at_ms,
        flags,
        segments,
        layers,
        holdouts,
        lists,
        obfuscation: None,
        meta: None,
    })
}

/// The ranges of a share in basis points.
pub fn share_ranges(share: u32) -> Vec<wire::HashRange> {
    if share == 0 {
        Vec::new()
    } else {
        vec![wire::HashRange(0, bound(share, 10_000))]
    }
}

/// The ranges of slots of a layer.
pub fn slot_ranges(slots: &[(u32, u32)]) -> Vec<wire::HashRange> {
    slots
        .iter()
        .map(|&(from, to)| wire::HashRange(bound(from, SLOTS), bound(to, SLOTS)))
        .collect()
}

/// The ranges of a phase's current split.
pub fn split_ranges(phase: &Phase) -> Vec<wire::SplitRange> {
    let split = phase.epoch().map_or(&[][..], |epoch| &epoch.split);
    split
        .iter()
        .map(|range| {
            wire::SplitRange(
                bound(range.from, 10_000),
                bound(range.to, 10_000),
                range.variation.clone(),
            )
        })
        .collect()
}

struct Builder<'a> {
    model: &'a Model,
    project: &'a str,
    environment: &'a str,
    problems: Vec<Problem>,
    layers: BTreeSet<String>,
    holdouts: BTreeSet<String>,
    references: References,
}

impl Builder<'_> {
    fn flag(&mut self, flag: &Flag) -> wire::Flag {
        let state = self
            .model
            .flag_states
            .get(self.environment, &flag.key)
            .map(|stored| &stored.body);
        let own = |state: &FlagState| {
            wire::UniqueMap(
                state
                    .overrides
                    .iter()
                    .map(|(unit, ids)| (unit.clone(), wire::UniqueMap(ids.clone())))
                    .collect(),
            )
        };
        let wire_state = if flag.archived {
            wire::FlagState::Archived
        } else if state.is_some_and(|state| state.killed) {
            wire::FlagState::Killed
        } else {
            wire::FlagState::Live
        };
        wire::Flag {
            schema: None,
            value_type: match flag.value_type {
                ValueType::Bool => wire::FlagType::Bool,
                ValueType::String => wire::FlagType::String,
                ValueType::Int => wire::FlagType::Int,
                ValueType::Float => wire::FlagType::Float,
                ValueType::Json => wire::FlagType::Json,
            },
            variations: flag
                .variations
                .iter()
                .map(|variation| wire::Variation {
                    key: variation.key.clone(),
                    value: variation.value.clone().into(),
                })
                .collect(),
            off: flag.off.clone(),
            default: state
                .and_then(|state| state.default.clone())
                .unwrap_or_else(|| flag.default.clone()),
            state: wire_state,
            overrides: state.map(own).unwrap_or_default(),
            rules: self.rules(flag, state),
            meta: None,
        }
    }

    /// The flag's rules in order, its live experiments at their places (see [`Flag::rules`]).
    fn rules(&mut self, flag: &Flag, state: Option<&FlagState>) -> Vec<wire::Rule> {
        let mut unplaced = self.live_experiments(flag);
        let placed: Vec<_> = flag
            .rules
            .iter()
            .map(|rule| match rule {
                FlagRule::Experiment { experiment } => unplaced
                    .iter()
                    .position(|(definition, _)| definition.key == *experiment)
                    .map(|index| unplaced.remove(index)),
                FlagRule::Targeted(_) | FlagRule::Rollout(_) => None,
            })
            .collect();
        let mut rules = Vec::with_capacity(flag.rules.len() + unplaced.len());
        for (index, (rule, placed)) in flag.rules.iter().zip(placed).enumerate() {
            let at = format!("flags.{}.rules[{index}]", flag.key);
            if matches!(rule, FlagRule::Rollout(_)) {
                self.experiments(std::mem::take(&mut unplaced), &mut rules);
            }
            if let Some(placed) = placed {
                self.experiments(vec![placed], &mut rules);
            }
            let Some(guards) = rule.guards().filter(|guards| guards.works_in(self.environment)) else {
                continue;
            };
            let rule = match rule {
                FlagRule::Targeted(targeted) => wire::Rule {
                    serve: Some(targeted.serve.clone()),
                    ..self.guarded(&targeted.id, wire::Kind::Targeted, guards, &at)
                },
                FlagRule::Rollout(rollout) => self.rollout(rollout, guards, state, &at),
                FlagRule::Experiment { .. } => continue,
            };
            rules.push(rule);
        }
        self.experiments(unplaced, &mut rules);
        rules
    }

    /// Oldest first.
    fn live_experiments(&self, flag: &Flag) -> Vec<(Experiment, ExperimentState)> {
        let mut found: Vec<_> = self
            .model
            .experiments
            .scope(self.project)
            .filter(|experiment| experiment.body.flag == flag.key)
            .filter_map(|experiment| {
                let state = self
                    .model
                    .experiment_states
                    .get(self.environment, &experiment.body.key)?;
                state
                    .body
                    .state
                    .is_live()
                    .then(|| (experiment.created_ms, experiment.body.clone(), state.body.clone()))
            })
            .collect();
        found.sort_by(|(a_ms, a, _), (b_ms, b, _)| (a_ms, &a.key).cmp(&(b_ms, &b.key)));
        found
            .into_iter()
            .map(|(_, definition, state)| (definition, state))
            .collect()
    }

    fn rollout(
        &mut self,
        rollout: &RolloutRule,
        guards: RuleGuards<'_>,
        state: Option<&FlagState>,
        at: &str,
    ) -> wire::Rule {
        let salt = state
            .and_then(|state| state.rollout_salts.get(&rollout.id))
            .cloned()
            .unwrap_or_default();
        wire::Rule {
            serve: Some(rollout.serve.clone()),
            unit: Some(rollout.unit.clone()),
            traffic: Some(wire::Draw {
                hash: wire::Hash::Murmur3,
                salt,
                ranges: share_ranges(rollout.traffic),
            }),
            ..self.guarded(&rollout.id, wire::Kind::Rollout, guards, at)
        }
    }

    fn experiments(&mut self, experiments: Vec<(Experiment, ExperimentState)>, rules: &mut Vec<wire::Rule>) {
        for (definition, state) in experiments {
            let Some(phase) = state.phase() else { continue };
            let guards = RuleGuards {
                when: phase.targeting.as_ref(),
                start_ms: definition.schedule.start_ms,
                end_ms: definition.schedule.end_ms,
                requires: &definition.requires,
                holdouts: &definition.holdouts,
                environments: &[],
            };
            let at = format!("experiments.{}", definition.key);
            let layer = definition.layer.as_ref().map(|share| share.layer.clone());
            self.layers.extend(layer.clone());
            rules.push(wire::Rule {
                unit: Some(definition.unit.clone()),
                traffic: Some(wire::Draw {
                    hash: wire::Hash::Murmur3,
                    salt: phase.salts.traffic.clone(),
                    ranges: share_ranges(phase.traffic),
                }),
                experiment: Some(definition.key.clone()),
                phase: Some(u64::from(phase.phase)),
                epoch: phase.epoch().map(|epoch| u64::from(epoch.epoch)),
                state: Some(match (state.killed, state.state) {
                    (true, _) => wire::ExperimentState::Killed,
                    (false, ExperimentStatus::Paused) => wire::ExperimentState::Paused,
                    (false, _) => wire::ExperimentState::Running,
                }),
                slots: layer.is_some().then(|| slot_ranges(&state.slots)),
                layer,
                sticky: Some(definition.sticky),
                split: Some(wire::Split {
                    hash: wire::Hash::Murmur3,
                    salt: phase.salts.split.clone(),
                    ranges: split_ranges(phase),
                }),
                meta: exposure_attributes::meta(&definition.dimensions),
                ..self.guarded(&definition.key, wire::Kind::Experiment, guards, &at)
            });
        }
    }

    /// A rule of which only what guards it is filled in.
    fn guarded(&mut self, id: &str, kind: wire::Kind, guards: RuleGuards<'_>, at: &str) -> wire::Rule {
        self.holdouts.extend(guards.holdouts.iter().cloned());
        self.references
            .flags
            .extend(guards.requires.iter().map(|requirement| requirement.flag.clone()));
        wire::Rule {
            id: id.to_owned(),
            kind,
            start_ms: guards.start_ms,
            end_ms: guards.end_ms,
            requires: guards.requires.iter().map(require).collect(),
            holdouts: guards.holdouts.to_vec(),
            when: guards
                .when
                .and_then(|when| self.expression(when, &format!("{at}.when"))),
            serve: None,
            unit: None,
            traffic: None,
            experiment: None,
            phase: None,
            epoch: None,
            state: None,
            layer: None,
            slots: None,
            sticky: None,
            split: None,
            meta: None,
        }
    }

    fn expression(&mut self, value: &Value, at: &str) -> Option<wire::Expression> {
        match serde_json::from_value::<wire::Expression>(value.clone()) {
            Ok(expression) => {
                crate::validate::collect(&expression, &mut self.references);
                Some(expression)
            }
            Err(error) => {
                self.problems.push(Problem {
                    field: at.to_owned(),
                    message: error.to_string(),
                    remedy: "write it as docs/contract/operators.md says".into(),
                });
                None
            }
        }
    }

    fn layers(&self) -> wire::UniqueMap<wire::Layer> {
        let used = self.layers.iter().filter_map(|key| {
            let unit = self.model.layers.get(self.project, key)?.body.unit.clone();
            let salt = self.model.layer_states.get(self.environment, key)?.body.salt.clone();
            Some((
                key.clone(),
                wire::Layer {
                    unit,
                    hash: wire::Hash::Murmur3,
                    salt,
                },
            ))
        });
        used.collect()
    }

    fn holdouts(&mut self) -> wire::UniqueMap<wire::Holdout> {
        let keys: Vec<_> = self.holdouts.iter().cloned().collect();
        let used = keys.into_iter().filter_map(|key| {
            let holdout = self.model.holdouts.get(self.project, &key)?.body.clone();
            let salt = self.model.holdout_states.get(self.environment, &key)?.body.salt.clone();
            let when = holdout
                .when
                .as_ref()
                .and_then(|when| self.expression(when, &format!("holdouts.{key}.when")));
            Some((
                key,
                wire::Holdout {
                    unit: holdout.unit,
                    hash: wire::Hash::Murmur3,
                    salt,
                    ranges: share_ranges(holdout.share),
                    when,
                },
            ))
        });
        used.collect()
    }

    /// The segments that rules and holdouts name, those that these name, and so on; and their lists, each under its segment's key.
    fn segments(&mut self) -> (wire::UniqueMap<wire::Expression>, wire::UniqueMap<wire::IdListRef>) {
        let mut segments = wire::UniqueMap::default();
        let mut lists = wire::UniqueMap::default();
        while let Some(key) = self.references.segments.pop() {
            if segments.contains_key(&key) {
                continue;
            }
            let Some(segment) = self
                .model
                .segments
                .get(self.project, &key)
                .map(|stored| stored.body.clone())
            else {
                continue;
            };
            let expression = match &segment {
                Segment { list: Some(list), .. } => {
                    lists.insert(
                        key.clone(),
                        wire::IdListRef {
                            salt: list.salt.clone(),
                            sha256: list.sha256.clone(),
                            count: list.count,
                        },
                    );
                    Some(wire::Expression::InList(wire::ListTest {
                        unit: list.unit.clone(),
                        list: key.clone(),
                    }))
                }
                Segment {
                    expression: Some(expression),
                    ..
                } => self.expression(expression, &format!("segments.{key}")),
                Segment {
                    expression: None,
                    list: None,
                    ..
                } => None,
            };
            if let Some(expression) = expression {
                segments.insert(key, expression);
            }
        }
        (segments, lists)
    }
}

fn require(requirement: &Requirement) -> wire::Require {
    wire::Require {
        flag: requirement.flag.clone(),
        variations: requirement.variations.clone(),
    }
}
