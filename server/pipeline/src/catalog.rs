//! What the pipeline knows of experiments: plain data, handed over whole whenever it changes.

use std::collections::{BTreeMap, BTreeSet};

mod reading;

use evenhand_core::event::PropertyValue;
use evenhand_stats::MetricKind;
use serde::{Deserialize, Serialize};

pub use evenhand_stats::Better;
pub use reading::{Analysis, Correction, Method, PlannedLooks, Reading, Role, Spending};

/// All phases of all experiments (and holdouts) that have results.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// One entry a phase; `(id, phase)` is unique.
    pub experiments: Vec<CatalogExperiment>,
}

/// One phase of an experiment. A holdout is an experiment with its own id and the variations `held` and `open`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogExperiment {
    /// The experiment's real id.
    pub id: String,
    /// The phase, from 1.
    pub phase: u32,
    /// The unit type that is randomised, such as `user_id`.
    pub unit_type: String,
    /// When the phase started, milliseconds since 1970. Shown; it filters nothing.
    pub start_ms: Option<i64>,
    /// When the phase is planned to end; before it nothing of a fixed horizon is shown. None: no end is planned, so nothing ever is.
    pub planned_end_ms: Option<i64>,
    /// How the phase is read.
    #[serde(default)]
    pub analysis: Analysis,
    /// Opaque ids that client keys know this experiment by; applied when events are processed.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The variations, at least one, at most one of them control.
    pub variations: Vec<CatalogVariation>,
    /// Weights of epochs whose weights differ from [`CatalogVariation::weight`]: epoch → weights in the order of `variations`.
    #[serde(default)]
    pub epoch_weights: BTreeMap<u32, Vec<u32>>,
    /// Properties of the counting exposure that results can be cut by, at most [`MOST_DIMENSIONS`]; no name has `=` in it.
    #[serde(default)]
    pub dimensions: Vec<String>,
    /// The metrics computed for this phase.
    pub metrics: Vec<CatalogMetric>,
}

/// A phase has at most this many dimensions: each value of one costs a cell a day, variation and metric.
pub const MOST_DIMENSIONS: usize = 5;

/// One variation of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogVariation {
    /// The variation's real id.
    pub id: String,
    /// Share of the traffic in basis points; what SRM expects.
    pub weight: u32,
    /// Whether lifts are measured against this one.
    pub is_control: bool,
    /// Opaque ids that client keys know this variation by.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// A metric of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogMetric {
    /// Unique inside the experiment's phase.
    pub id: String,
    /// How events become one number per unit.
    pub definition: MetricDefinition,
    /// How it is read; changes no sum.
    #[serde(default)]
    pub reading: Reading,
}

/// How events become one number per unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MetricDefinition {
    /// From the unit's events directly.
    Events(EventMetric),
    /// One metric of the same phase over another; both must be [`MetricDefinition::Events`].
    Ratio {
        /// The id of the metric above the line.
        numerator: String,
        /// The id of the metric below it.
        denominator: String,
    },
    /// Two metrics of the same phase side by side, each in one of its periods; both must be [`MetricDefinition::Events`]. What adjusting a ratio
    /// by its pre-period needs beside the ratio and its halves; shown nowhere.
    Joint {
        /// Whose value comes first.
        first: InPeriod,
        /// Whose value is the paired one.
        second: InPeriod,
    },
}

/// An event metric in one of its periods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InPeriod {
    /// The metric's id.
    pub metric: String,
    /// Whether its pre-period is meant, not its window.
    pub before: bool,
}

impl InPeriod {
    /// In its window.
    #[must_use]
    pub fn during(metric: &str) -> Self {
        Self {
            metric: metric.to_owned(),
            before: false,
        }
    }

    /// In its pre-period.
    #[must_use]
    pub fn before(metric: &str) -> Self {
        Self {
            metric: metric.to_owned(),
            before: true,
        }
    }
}

/// An event metric in one of its periods, as units are measured by it.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The metric.
    pub events: &'a EventMetric,
    /// Whether its pre-period is meant, not its window.
    pub before: bool,
}

impl Measured<'_> {
    /// The period, in milliseconds from the unit's first exposure: its beginning, which is inside, and its end, which is not.
    #[must_use]
    pub fn period_ms(&self) -> (i64, i64) {
        let ms = |seconds: u32| i64::from(seconds) * 1_000;
        let events = self.events;
        if self.before {
            (-ms(events.pre_period_seconds.unwrap_or(0)), 0)
        } else {
            (ms(events.from_seconds), ms(events.window_seconds))
        }
    }
}

/// A metric over the events of a unit in `[t0 + from, t0 + window)`, t0 being the unit's first exposure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventMetric {
    /// Proportion: 1 with any matching event (of a funnel: one after [`Self::steps_before`]). Count: how many. Sum and Mean: the sum of [`Self::number`] (they differ in the
    /// figure shown). Ratio is not allowed here.
    pub kind: MetricKind,
    /// Only events with this name match.
    pub event_name: String,
    /// Only events whose properties equal all of these match.
    #[serde(default)]
    pub filter: Vec<PropertyFilter>,
    /// The steps of a funnel before this event, each later than the one before by (time, event id); only of a Proportion, at most
    /// [`MOST_STEPS_BEFORE`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps_before: Vec<Step>,
    /// What Sum and Mean add up.
    #[serde(default)]
    pub number: NumberSource,
    /// Seconds after the first exposure from which on an event counts (0: at once).
    #[serde(default)]
    pub from_seconds: u32,
    /// Seconds after the first exposure in which an event counts; more than [`Self::from_seconds`].
    pub window_seconds: u32,
    /// A unit's value is at most this many micro-units (winsorisation).
    #[serde(default)]
    pub cap_micros: Option<i64>,
    /// Seconds before the first exposure whose events give the unit's pre-period value (CUPED); None or 0: none.
    #[serde(default)]
    pub pre_period_seconds: Option<u32>,
    /// Whether units are counted by bands of their values too: what quantiles and percentile caps are read from.
    #[serde(default)]
    pub bands: bool,
}

/// A funnel has at most this many steps before its last.
pub const MOST_STEPS_BEFORE: usize = 9;

/// Events that take a unit one step on in a funnel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Only events with this name match.
    pub event_name: String,
    /// Only events whose properties equal all of these match.
    #[serde(default)]
    pub filter: Vec<PropertyFilter>,
}

/// One equality on a top-level property, compared as JSON (a number equals the same number however written).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PropertyFilter {
    /// The key in `properties`.
    pub property: String,
    /// The value it must have.
    pub equals: serde_json::Value,
}

/// Where the number of an event comes from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum NumberSource {
    /// The event's `value`.
    #[default]
    Value,
    /// A numeric top-level property (a whole number of millionths; other values count as absent).
    Property {
        /// Its key.
        name: String,
    },
}

impl Catalog {
    /// Checks what the types can't say.
    ///
    /// # Errors
    /// The first fault, naming the experiment and the remedy.
    pub fn check(&self) -> Result<(), String> {
        let mut phases = BTreeSet::new();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for experiment in &self.experiments {
            let at = format!("experiment {:?} phase {}", experiment.id, experiment.phase);
            if !phases.insert((&experiment.id, experiment.phase)) {
                return Err(format!("{at} stands twice in the catalog"));
            }
            for alias in experiment.aliases.iter().chain([&experiment.id]) {
                if *owners.entry(alias).or_insert(&experiment.id) != experiment.id {
                    return Err(format!("{at}: the id {alias:?} already belongs to another experiment"));
                }
            }
            experiment.check().map_err(|fault| format!("{at}: {fault}"))?;
        }
        Ok(())
    }
}

impl CatalogExperiment {
    fn check(&self) -> Result<(), String> {
        if self.phase == 0 || self.variations.is_empty() {
            return Err("needs a phase of at least 1 and at least one variation".into());
        }
        if self.variations.iter().filter(|v| v.is_control).count() > 1 {
            return Err("has more than one control".into());
        }
        if !(0.5..1.0).contains(&self.analysis.confidence) {
            return Err("the confidence is at least 0.5 and below 1".into());
        }
        let mut names = BTreeSet::new();
        for name in self.variations.iter().flat_map(|v| v.aliases.iter().chain([&v.id])) {
            if !names.insert(name) {
                return Err(format!("two variations share the id {name:?}"));
            }
        }
        if let Some((epoch, _)) = self
            .epoch_weights
            .iter()
            .find(|(_, w)| w.len() != self.variations.len())
        {
            return Err(format!("epoch {epoch} needs one weight a variation"));
        }
        let mut dimensions = BTreeSet::new();
        if let Some(dimension) = self
            .dimensions
            .iter()
            .find(|name| name.is_empty() || name.starts_with('$') || name.contains('=') || !dimensions.insert(*name))
        {
            return Err(format!(
                "dimension {dimension:?} stands twice, or its name is empty, begins with `$` or has `=` in it"
            ));
        }
        if dimensions.len() > MOST_DIMENSIONS {
            return Err(format!("has more than {MOST_DIMENSIONS} dimensions"));
        }
        let mut metrics = BTreeSet::new();
        for metric in &self.metrics {
            if metric.id.is_empty() || !metrics.insert(&metric.id) {
                return Err(format!("metric {:?} has no name or stands twice", metric.id));
            }
            self.check_metric(metric)
                .map_err(|fault| format!("metric {:?}: {fault}", metric.id))?;
        }
        Ok(())
    }

    fn check_metric(&self, metric: &CatalogMetric) -> Result<(), String> {
        match &metric.definition {
            MetricDefinition::Ratio { numerator, denominator } => {
                for part in [numerator, denominator] {
                    self.event_metric(part)
                        .ok_or(format!("{part:?} is no event metric of this phase"))?;
                }
            }
            MetricDefinition::Joint { first, second } => {
                for part in [first, second] {
                    let id = &part.metric;
                    let events = self
                        .event_metric(id)
                        .ok_or(format!("{id:?} is no event metric of this phase"))?;
                    if part.before && events.pre_period_seconds.unwrap_or(0) == 0 {
                        return Err(format!("{id:?} has no pre-period"));
                    }
                }
            }
            MetricDefinition::Events(events) => {
                if events.kind == MetricKind::Ratio {
                    return Err("a ratio names a numerator and a denominator".into());
                }
                if events.window_seconds <= events.from_seconds {
                    return Err("the window ends after it begins, and is at least 1 second".into());
                }
                let reading = &metric.reading;
                if (reading.cap.is_some() || reading.quantile.is_some()) && !events.bands {
                    return Err("a quantile or a percentile cap needs bands".into());
                }
                if (events.kind == MetricKind::Quantile) != reading.quantile.is_some() {
                    return Err("a quantile metric says which quantile, and no other does".into());
                }
                if events.cap_micros.is_some_and(|cap| cap < 0) {
                    return Err("the cap is at least 0".into());
                }
                if !events.steps_before.is_empty() && events.kind != MetricKind::Proportion {
                    return Err("only a proportion has steps before its event".into());
                }
                if events.steps_before.len() > MOST_STEPS_BEFORE {
                    return Err(format!("has more than {MOST_STEPS_BEFORE} steps before its last"));
                }
                for filter in events
                    .filter
                    .iter()
                    .chain(events.steps_before.iter().flat_map(|s| &s.filter))
                {
                    let text = filter.equals.to_string();
                    PropertyValue::try_from(text.as_str())
                        .map_err(|e| format!("filter on {:?}: {e}", filter.property))?;
                }
            }
        }
        Ok(())
    }

    /// The event metric with this id, if it is one.
    #[must_use]
    pub fn event_metric(&self, id: &str) -> Option<&EventMetric> {
        self.metrics
            .iter()
            .find(|m| m.id == id)
            .and_then(|m| match &m.definition {
                MetricDefinition::Events(events) => Some(events),
                MetricDefinition::Ratio { .. } | MetricDefinition::Joint { .. } => None,
            })
    }

    /// What a metric measures of each unit: its value, and where it has one its paired value.
    ///
    /// # Errors
    /// The metric names one that is missing.
    pub fn measured<'a>(&'a self, metric: &'a CatalogMetric) -> Result<(Measured<'a>, Option<Measured<'a>>), String> {
        let of = |id: &str, before| {
            let events = self
                .event_metric(id)
                .ok_or_else(|| format!("metric {:?} needs {id:?}, which is missing", metric.id))?;
            Ok::<_, String>(Measured { events, before })
        };
        Ok(match &metric.definition {
            MetricDefinition::Events(events) => {
                let in_period = |before| Measured { events, before };
                let has_pre_period = events.pre_period_seconds.unwrap_or(0) > 0;
                (in_period(false), has_pre_period.then(|| in_period(true)))
            }
            MetricDefinition::Ratio { numerator, denominator } => {
                (of(numerator, false)?, Some(of(denominator, false)?))
            }
            MetricDefinition::Joint { first, second } => (
                of(&first.metric, first.before)?,
                Some(of(&second.metric, second.before)?),
            ),
        })
    }

    /// The id of the metric that has these two side by side, if there is one.
    #[must_use]
    pub fn joint(&self, one: &InPeriod, other: &InPeriod) -> Option<&str> {
        let found = self.metrics.iter().find(|metric| match &metric.definition {
            MetricDefinition::Joint { first, second } => first == one && second == other,
            MetricDefinition::Events(_) | MetricDefinition::Ratio { .. } => false,
        });
        found.map(|metric| metric.id.as_str())
    }

    /// The weights that hold in an epoch, in the order of the variations.
    #[must_use]
    pub fn weights(&self, epoch: u32) -> Vec<u32> {
        match self.epoch_weights.get(&epoch) {
            Some(weights) => weights.clone(),
            None => self.variations.iter().map(|v| v.weight).collect(),
        }
    }
}
