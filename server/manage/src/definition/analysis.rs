//! How an experiment is read: planned with it, before the first look.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the intervals and p-values of an experiment promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisMethod {
    /// Anytime-valid: true however often one looks, and whenever one stops.
    #[default]
    Sequential,
    /// Welch's test, true at the planned end only and not shown before it.
    FixedHorizon,
    /// A few looks on the way to `planned_units`, which the server takes by itself: true at all of them together, and at no other moment.
    GroupSequential,
}

/// How a group-sequential experiment spends its α over the looks (Lan and DeMets).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spending {
    /// Next to nothing early, nearly the fixed test's bound at the end.
    #[default]
    ObrienFleming,
    /// Bounds of nearly one height, for stopping early at the cost of the end.
    Pocock,
}

/// Looks of a group-sequential experiment that names no number.
pub const USUAL_LOOKS: u32 = 5;

/// What is done about many primary metrics and variations, each of which may look significant by chance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Each comparison of a primary metric gets its share of the error. Controls the chance of any false finding.
    #[default]
    Bonferroni,
    /// Holm's steps: the same promise, never less powerful. Intervals are Bonferroni's.
    Holm,
    /// Benjamini and Hochberg: bounds the expected share of false findings among the findings instead.
    BenjaminiHochberg,
    /// Nothing.
    None,
}

/// How an experiment is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// What its intervals promise.
    #[serde(default)]
    pub method: AnalysisMethod,
    /// 1 − α of its intervals, at least 0.5 and at most 0.999.
    #[serde(default = "usual_confidence")]
    pub confidence: f64,
    /// Units planned in all variations together: the anytime-valid interval is narrowest about there (none: 10,000), and looks of a group-sequential
    /// experiment are shares of them (which can't do without).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_units: Option<u64>,
    /// Of a group-sequential experiment: its looks, 2 to 20, at equal shares of the planned units. None: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks: Option<u32>,
    /// Of a group-sequential experiment: how α is spent. None: `obrien_fleming`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spending: Option<Spending>,
    /// What is done about many comparisons of primary metrics.
    #[serde(default)]
    pub correction: Correction,
}

fn usual_confidence() -> f64 {
    0.95
}

impl Analysis {
    /// The looks that are planned; none: it is not read by looks.
    pub fn planned_looks(&self) -> Option<PlannedLooks> {
        let units = self.planned_units.filter(|units| *units > 0)?;
        (self.method == AnalysisMethod::GroupSequential).then(|| PlannedLooks {
            units,
            looks: self.looks.unwrap_or(USUAL_LOOKS),
            spending: self.spending.unwrap_or_default(),
        })
    }
}

/// The looks of a group-sequential experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedLooks {
    /// Units of all variations at the last of them.
    pub units: u64,
    /// How many.
    pub looks: u32,
    /// How α is spent.
    pub spending: Spending,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            method: AnalysisMethod::default(),
            confidence: usual_confidence(),
            planned_units: None,
            looks: None,
            spending: None,
            correction: Correction::default(),
        }
    }
}

/// What each compared variation must have before an interval or a verdict is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MinimumSample {
    /// Units.
    #[serde(default = "usual_units")]
    pub units: u64,
    /// Units with an event; of sums, the effective number (Σx)²/Σx², which no number of units with a value falls below.
    #[serde(default = "usual_conversions")]
    pub conversions: u64,
}

fn usual_units() -> u64 {
    100
}

fn usual_conversions() -> u64 {
    10
}

impl Default for MinimumSample {
    fn default() -> Self {
        Self {
            units: usual_units(),
            conversions: usual_conversions(),
        }
    }
}
