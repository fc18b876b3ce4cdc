//! What results pipelines need to know of experiments: plain data, by environment, one entry a phase.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::definition::{
    Aggregation, Analysis, Arm, Direction, EventSelector, Experiment, ExperimentMetric, Metric, MetricKind, MetricRole,
    MinimumSample,
};
use crate::model::{INSTALLATION, Model};
use crate::state::{ExperimentState, FlagState, Phase};

/// The reserved event by which applications say that something failed, and the guardrail that every experiment has on it: the share of units with one.
pub const ERROR: &str = "error";
/// How long after a unit's first exposure an error counts: a day.
pub const ERROR_WINDOW_SECONDS: u32 = 86_400;

/// Environment → its phases.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    /// Phases of experiments and holdouts, by environment.
    pub environments: BTreeMap<String, Vec<CatalogPhase>>,
}

/// One phase of an experiment, or a holdout (one phase, variations `open` and `held`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogPhase {
    /// The experiment's or holdout's key.
    pub experiment: String,
    /// Whether it is a holdout.
    pub is_holdout: bool,
    /// The phase, from 1.
    pub phase: u32,
    /// The unit type.
    pub unit: String,
    /// When the phase began (milliseconds since 1970).
    pub started_ms: i64,
    /// When it ended; none: it has not.
    pub ended_ms: Option<i64>,
    /// When the experiment is planned to be read.
    pub planned_end_ms: Option<i64>,
    /// The id that client keys know it by.
    pub alias: String,
    /// The variations, in the order of the definition.
    pub variations: Vec<CatalogVariation>,
    /// Epoch → weights in basis points in the order of `variations`. All epochs of the phase.
    pub epoch_weights: BTreeMap<u32, Vec<u32>>,
    /// How it is read.
    pub analysis: Analysis,
    /// The attributes that its exposures carry, as named now. A holdout has those that each of its exposures carries: what every started
    /// experiment that uses it names, and nothing when rules that are no experiments use it too.
    pub dimensions: Vec<String>,
    /// The metrics in their roles. A holdout has those of the experiments that use it.
    pub metrics: Vec<CatalogMetric>,
}

/// A variation of a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogVariation {
    /// Its key.
    pub variation: String,
    /// The key that client keys know it by.
    pub alias: String,
    /// Its weight in the newest epoch, in basis points.
    pub weight: u32,
    /// Whether the others are compared with it.
    pub is_control: bool,
}

/// A metric of a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogMetric {
    /// Its key.
    pub metric: String,
    /// What it is to the experiment.
    pub role: MetricRole,
    /// How much worse it may be, in basis points of control's value.
    pub margin: u32,
    /// Whether more is better.
    pub direction: Direction,
    /// What each variation must have before an interval is shown.
    pub minimum: MinimumSample,
    /// How events become a number.
    pub kind: MetricKind,
    /// The events that count; of a ratio, the numerator; of a funnel, its last step.
    pub event: EventSelector,
    /// The steps of a funnel before its last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps_before: Vec<EventSelector>,
    /// The denominator of a ratio.
    pub denominator: Option<EventSelector>,
    /// Seconds after the first exposure from which on an event counts.
    pub from_seconds: u32,
    /// Seconds after the first exposure in which an event counts; `u32::MAX` (136 years): for good.
    pub window_seconds: u32,
    /// The most one unit's value may be.
    pub cap_micros: Option<i64>,
    /// The percentile that values are drawn in to, in basis points.
    pub cap_bp: Option<u32>,
    /// The quantile that is compared, in basis points.
    pub quantile_bp: Option<u32>,
    /// Seconds before the first exposure whose events give the unit's pre-period value.
    pub pre_period_seconds: Option<u32>,
}

/// The catalog of a model.
pub fn of(model: &Model) -> Catalog {
    let environments = model.environments.scope(INSTALLATION).map(|environment| {
        let (environment, project) = (&environment.body.key, &environment.body.project);
        (environment.clone(), of_environment(model, project, environment))
    });
    Catalog {
        environments: environments.collect(),
    }
}

/// The phases of one environment.
pub fn of_environment(model: &Model, project: &str, environment: &str) -> Vec<CatalogPhase> {
    let mut phases: Vec<CatalogPhase> = model
        .experiments
        .scope(project)
        .filter_map(|experiment| {
            Some((
                &experiment.body,
                &model.experiment_states.get(environment, &experiment.body.key)?.body,
            ))
        })
        .flat_map(|(experiment, state)| {
            state
                .phases
                .iter()
                .map(move |phase| experiment_phase(model, project, environment, experiment, state, phase))
        })
        .collect();
    phases.extend(holdouts(model, project, environment));
    phases
}

fn experiment_phase(
    model: &Model,
    project: &str,
    environment: &str,
    experiment: &Experiment,
    state: &ExperimentState,
    phase: &Phase,
) -> CatalogPhase {
    let flag = model.flags.get(project, &experiment.flag).map(|flag| &flag.body);
    let flag_state: Option<&FlagState> = model
        .flag_states
        .get(environment, &experiment.flag)
        .map(|state| &state.body);
    let control = experiment.control.as_ref().or(flag.map(|flag| &flag.off));
    let weight_of = |weights: &[Arm], variation: &str| {
        weights
            .iter()
            .find(|arm| arm.variation == variation)
            .map_or(0, |arm| arm.weight)
    };
    let newest = phase.epoch().map_or(&[][..], |epoch| &epoch.weights);
    let variations = experiment.variations.iter().map(|arm| CatalogVariation {
        variation: arm.variation.clone(),
        alias: flag_state
            .and_then(|state| state.variation_aliases.get(&arm.variation))
            .cloned()
            .unwrap_or_default(),
        weight: weight_of(newest, &arm.variation),
        is_control: control == Some(&arm.variation),
    });
    let epochs = phase.epochs.iter().map(|epoch| {
        (
            epoch.epoch,
            experiment
                .variations
                .iter()
                .map(|arm| weight_of(&epoch.weights, &arm.variation))
                .collect(),
        )
    });
    CatalogPhase {
        experiment: experiment.key.clone(),
        is_holdout: false,
        phase: phase.phase,
        unit: experiment.unit.clone(),
        started_ms: phase.started_ms,
        ended_ms: phase.ended_ms,
        planned_end_ms: experiment.planned_end_ms,
        alias: state.alias.clone(),
        variations: variations.collect(),
        epoch_weights: epochs.collect(),
        analysis: experiment.analysis.clone(),
        dimensions: experiment.dimensions.clone(),
        metrics: with_errors(metrics(model, project, experiment)),
    }
}

/// Every experiment is guarded against errors, unless it has its own idea of them.
fn with_errors(mut metrics: Vec<CatalogMetric>) -> Vec<CatalogMetric> {
    if metrics.iter().all(|metric| metric.metric != ERROR) {
        metrics.push(CatalogMetric {
            metric: ERROR.to_owned(),
            role: MetricRole::Guardrail,
            margin: 0,
            direction: Direction::Decrease,
            minimum: MinimumSample::default(),
            kind: MetricKind::ConversionRate,
            event: EventSelector {
                event_name: ERROR.to_owned(),
                filters: Vec::new(),
                value_property: None,
                aggregation: Aggregation::default(),
            },
            steps_before: Vec::new(),
            denominator: None,
            window_seconds: ERROR_WINDOW_SECONDS,
            cap_micros: None,
            cap_bp: None,
            from_seconds: 0,
            quantile_bp: None,
            pre_period_seconds: None,
        });
    }
    metrics
}

fn metrics(model: &Model, project: &str, experiment: &Experiment) -> Vec<CatalogMetric> {
    let used = experiment
        .metrics
        .iter()
        .filter_map(|used| Some(metric(&model.metrics.get(project, &used.metric)?.body, used)));
    used.collect()
}

/// The percentile cap of a metric whose definition names none.
const USUAL_CAP_BP: u32 = 9_990;
const NO_CAP_BP: u32 = 10_000;

fn percentile_cap(metric: &Metric) -> Option<u32> {
    let cap = match metric.kind {
        MetricKind::Sum | MetricKind::Mean if metric.cap_micros.is_none() => metric.cap_bp.unwrap_or(USUAL_CAP_BP),
        _ => NO_CAP_BP,
    };
    (cap < NO_CAP_BP).then_some(cap)
}

fn metric(metric: &Metric, used: &ExperimentMetric) -> CatalogMetric {
    // Lengths are whole seconds of at most 90 days.
    let seconds = |ms: i64| u32::try_from(ms / 1_000).unwrap_or(u32::MAX);
    CatalogMetric {
        metric: metric.key.clone(),
        role: used.role,
        margin: used.margin.unwrap_or(0),
        direction: metric.direction,
        minimum: metric.minimum,
        kind: metric.kind,
        event: metric.event.clone(),
        steps_before: metric.steps_before.clone(),
        denominator: metric.denominator.clone(),
        from_seconds: metric.window_start_ms.map_or(0, seconds),
        window_seconds: metric.window_ms.map_or(u32::MAX, seconds),
        cap_micros: metric.cap_micros,
        cap_bp: percentile_cap(metric),
        quantile_bp: metric.quantile_bp,
        pre_period_seconds: metric.pre_period_ms.map(seconds),
    }
}

/// Holdouts that an experiment which was started names: what they cost or gain in all is read like an experiment of two variations.
fn holdouts(model: &Model, project: &str, environment: &str) -> Vec<CatalogPhase> {
    let started = |experiment: &Experiment| {
        let state = model.experiment_states.get(environment, &experiment.key)?;
        state.body.started_ms
    };
    let mut phases = Vec::new();
    for holdout in model.holdouts.scope(project).map(|holdout| &holdout.body) {
        let users: Vec<_> = model
            .experiments
            .scope(project)
            .map(|experiment| &experiment.body)
            .filter(|experiment| experiment.holdouts.contains(&holdout.key))
            .collect();
        let Some(started_ms) = users.iter().filter_map(|experiment| started(experiment)).min() else {
            continue;
        };
        let Some(state) = model.holdout_states.get(environment, &holdout.key) else {
            continue;
        };
        let mut measured: BTreeMap<String, CatalogMetric> = BTreeMap::new();
        for used in users.iter().flat_map(|experiment| metrics(model, project, experiment)) {
            measured.entry(used.metric.clone()).or_insert(used);
        }
        let arm = |variation: &str, weight: u32, is_control: bool| CatalogVariation {
            variation: variation.into(),
            alias: variation.into(),
            weight,
            is_control,
        };
        phases.push(CatalogPhase {
            experiment: holdout.key.clone(),
            is_holdout: true,
            phase: 1,
            unit: holdout.unit.clone(),
            started_ms,
            ended_ms: None,
            planned_end_ms: None,
            alias: state.body.alias.clone(),
            variations: vec![
                arm("held", holdout.share, true),
                arm("open", 10_000 - holdout.share, false),
            ],
            epoch_weights: BTreeMap::from([(1, vec![holdout.share, 10_000 - holdout.share])]),
            analysis: Analysis::default(),
            dimensions: if in_plain_rules(model, project, &holdout.key) {
                Vec::new()
            } else {
                common_dimensions(users.iter().filter(|experiment| started(experiment).is_some()))
            },
            metrics: measured.into_values().collect(),
        });
    }
    phases
}

/// Whether a rule that is no experiment's names a holdout: its exposures carry nothing.
fn in_plain_rules(model: &Model, project: &str, holdout: &str) -> bool {
    let mut rules = model.flags.scope(project).flat_map(|flag| &flag.body.rules);
    rules.any(|rule| {
        rule.guards()
            .is_some_and(|guards| guards.holdouts.iter().any(|key| key == holdout))
    })
}

/// The dimensions that all of some experiments name, as the first does.
fn common_dimensions<'e>(mut experiments: impl Iterator<Item = &'e &'e Experiment>) -> Vec<String> {
    let Some(first) = experiments.next() else {
        return Vec::new();
    };
    let mut common = first.dimensions.clone();
    for other in experiments {
        common.retain(|name| other.dimensions.contains(name));
    }
    common
}
