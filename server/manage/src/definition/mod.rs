//! What people author. A definition belongs to a project and holds no state: salts, slots, phases and switches are in `state`,
//! one for each environment.

mod analysis;
mod bandit;
mod experiment;
mod flag;
mod guard;
mod layer;
mod metric;
mod place;
mod ramp;
mod segment;

pub use analysis::{Analysis, AnalysisMethod, Correction, MinimumSample, PlannedLooks, Spending, USUAL_LOOKS};
pub use bandit::{Bandit, OnWinner};
pub use experiment::{Arm, Experiment, ExperimentMetric, LayerShare, MetricRole, Schedule};
pub use flag::{Flag, FlagRule, Requirement, RolloutRule, RuleGuards, TargetedRule, ValueType, Variation};
pub use guard::{Guard, GuardAct};
pub use layer::{DEFAULT_COOLDOWN_DAYS, Holdout, Layer};
pub use metric::{Aggregation, Direction, EventSelector, Metric, MetricKind, PropertyFilter};
pub use place::{Environment, Project, Workspace};
pub use ramp::Ramp;
pub use segment::{IdList, Segment};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A stored thing with what the store knows about it. `version` starts at 1 and grows by one with every change; an update names the
/// version it is based on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stored<T> {
    /// Grows by one with every change.
    pub version: u64,
    /// When it was created (milliseconds since 1970).
    pub created_ms: i64,
    /// When it was last changed (milliseconds since 1970).
    pub updated_ms: i64,
    /// The thing itself.
    #[serde(flatten)]
    pub body: T,
}
