//! How results are read: plans that change no sum, only what is shown of it.

use evenhand_stats::{Better, MinimumData, Quantile};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What intervals and p-values promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// An asymptotic confidence sequence: true however often one looks.
    #[default]
    Sequential,
    /// Welch's test, true once, at the planned end; nothing is shown before it.
    FixedHorizon,
    /// True at all planned looks together, which are taken at shares of the planned units; in between the last one stands.
    GroupSequential,
}

/// How α is spent over the looks (Lan and DeMets).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spending {
    /// Next to nothing early, nearly the fixed test's bound at the end.
    #[default]
    ObrienFleming,
    /// Bounds of nearly one height.
    Pocock,
}

/// The looks of [`Method::GroupSequential`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLooks {
    /// How many, at equal shares of the planned units; at most 20.
    pub looks: u32,
    /// How α is spent.
    pub spending: Spending,
}

/// What is done about many comparisons of primary metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Each comparison gets an equal share of α.
    #[default]
    Bonferroni,
    /// Holm's steps.
    Holm,
    /// The false discovery rate, by Benjamini and Hochberg.
    BenjaminiHochberg,
    /// Nothing.
    None,
}

/// How an experiment's phase is read. Fixed before the first look, or no promise holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// What its intervals promise.
    pub method: Method,
    /// 1 − α.
    pub confidence: f64,
    /// Units planned in all variations together.
    pub planned_units: Option<u64>,
    /// Looks at shares of the planned units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks: Option<PlannedLooks>,
    /// What is done about many comparisons.
    pub correction: Correction,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            method: Method::default(),
            confidence: 0.95,
            planned_units: None,
            looks: None,
            correction: Correction::default(),
        }
    }
}

/// What a metric is to an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What the decision hangs on.
    Primary,
    /// What helps to understand it.
    #[default]
    Secondary,
    /// What must not get worse.
    Guardrail,
}

/// How a metric is read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// What it is to the experiment.
    pub role: Role,
    /// Which direction is better.
    pub better: Better,
    /// How much worse it may be and still be as good as control, as a share of control's value.
    pub margin: f64,
    /// What both compared arms must have before an interval or verdict.
    pub minimum: MinimumData,
    /// The quantile that is compared; of quantile metrics only.
    #[serde(default)]
    pub quantile: Option<Quantile>,
    /// Values beyond this percentile, of the units of all variations together, count as it.
    #[serde(default)]
    pub cap: Option<Quantile>,
    /// Whether it is counted for another metric's sake, and shown nowhere.
    #[serde(default)]
    pub part: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            role: Role::default(),
            better: Better::Higher,
            margin: 0.0,
            minimum: MinimumData::default(),
            quantile: None,
            cap: None,
            part: false,
        }
    }
}
