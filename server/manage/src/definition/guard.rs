//! What is done by itself when an experiment does harm.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is done. Each does more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardAct {
    /// Nothing.
    Ignore,
    /// It is written down: in the audit log, the server's log and `stewardship`.
    Notify,
    /// The experiment is paused.
    Pause,
    /// The experiment is killed.
    Kill,
}

/// What the server does by itself about a running experiment's guardrails and split, and how sure it must be. May be changed at any time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// When the guardrail `error` is harmed.
    #[serde(default = "kill")]
    pub on_error: GuardAct,
    /// When another guardrail is harmed; none: `kill` while a ramp climbs, else `notify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_harm: Option<GuardAct>,
    /// When units do not split as the weights say.
    #[serde(default = "notify")]
    pub on_mismatch: GuardAct,
    /// 1 − α of acting on harm, at least 0.5 and at most 0.9999: of sound experiments at most a share α is ever acted on, however many guardrails and
    /// variations they have and however often one looks.
    #[serde(default = "usual_confidence")]
    pub confidence: f64,
    /// Only write down what would have been done.
    #[serde(default)]
    pub dry_run: bool,
}

fn kill() -> GuardAct {
    GuardAct::Kill
}

fn notify() -> GuardAct {
    GuardAct::Notify
}

fn usual_confidence() -> f64 {
    0.99
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            on_error: kill(),
            on_harm: None,
            on_mismatch: notify(),
            confidence: usual_confidence(),
            dry_run: false,
        }
    }
}
