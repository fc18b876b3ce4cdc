//! Which action is allowed in which state, as one table.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::definition::Arm;
use crate::problem::{ManageError, Result};
use crate::state::{ExperimentState, ExperimentStatus};

/// What can be done to an experiment in an environment.
#[derive(Debug, Clone, PartialEq)]
pub enum ExperimentAction {
    /// Takes its slots and begins phase 1.
    Start,
    /// Gives `off` to everybody it would decide for, without exposures; keeps phase, salts and slots.
    Pause,
    /// Goes on where it was paused.
    Resume,
    /// Ends it: the rule is gone, the slots cool down, the results stay.
    Stop,
    /// Ends it and makes a variation the flag's default in this environment.
    Ship {
        /// The variation.
        variation: String,
    },
    /// Switches it off in an emergency: like a pause, with the reason KILLED.
    Kill,
    /// Takes the emergency switch back.
    Unkill,
    /// Begins a new phase with new salts: everybody is drawn anew, the analysis starts again.
    NewPhase {
        /// Other weights; none: as they are.
        variations: Option<Vec<Arm>>,
        /// Another share, in basis points; none: as it is.
        traffic: Option<u32>,
        /// Another audience; none: as it is.
        targeting: Option<Value>,
    },
    /// Other weights: a new phase, or in a sticky experiment a new epoch with the same salts.
    ChangeWeights {
        /// The weights, all variations of the experiment named.
        variations: Vec<Arm>,
    },
    /// Another share of units with the same salts. Growing it moves nobody who is in; shrinking it takes units out.
    ChangeTraffic {
        /// Basis points, 0 to 10000.
        traffic: u32,
    },
    /// More or fewer slots of its layer. Growing takes free slots; shrinking frees the highest, which then cool down.
    Resize {
        /// How many of 1,000.
        slots: u32,
    },
    /// Keeps the ramp at its step.
    PauseRamp,
    /// Lets a ramp go on that was paused or rolled back.
    ResumeRamp,
    /// Ends the ramp; the traffic stays where it is.
    AbortRamp,
    /// Puts it away.
    Archive,
}

/// The parameters of an action, as a request body. Each action takes its own and refuses the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionParameters {
    /// `ship`: the variation that becomes the flag's default in this environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variation: Option<String>,
    /// `change_weights` (needed), `new_phase`: all variations of the experiment with weights in basis points, 10000 together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variations: Option<Vec<Arm>>,
    /// `change_traffic` (needed), `new_phase`: the share that takes part, in basis points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<u32>,
    /// `new_phase`: another audience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub targeting: Option<Value>,
    /// `resize`: how many of the layer's 1,000 slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Every action: why, in at most 2,000 bytes; kept in the audit log, and of an end in its decision record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The names of all actions.
pub const ACTIONS: [&str; 15] = [
    "start",
    "pause",
    "resume",
    "stop",
    "ship",
    "kill",
    "unkill",
    "new_phase",
    "change_weights",
    "change_traffic",
    "resize",
    "pause_ramp",
    "resume_ramp",
    "abort_ramp",
    "archive",
];

impl ExperimentAction {
    /// An action by its name (`-` for `_` is fine) with its parameters; a parameter that is missing, or that it does not take, is a fault.
    pub fn from_parts(name: &str, parameters: ActionParameters) -> Result<Self> {
        let mut left = parameters;
        let missing =
            |field: &str| ManageError::invalid(field, format!("`{name}` needs `{field}`"), "send it in the body");
        let action = match name.replace('-', "_").as_str() {
            "start" => Self::Start,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "stop" => Self::Stop,
            "ship" => Self::Ship {
                variation: left.variation.take().ok_or_else(|| missing("variation"))?,
            },
            "kill" => Self::Kill,
            "unkill" => Self::Unkill,
            "new_phase" => Self::NewPhase {
                variations: left.variations.take(),
                traffic: left.traffic.take(),
                targeting: left.targeting.take(),
            },
            "change_weights" => Self::ChangeWeights {
                variations: left.variations.take().ok_or_else(|| missing("variations"))?,
            },
            "change_traffic" => Self::ChangeTraffic {
                traffic: left.traffic.take().ok_or_else(|| missing("traffic"))?,
            },
            "resize" => Self::Resize {
                slots: left.slots.take().ok_or_else(|| missing("slots"))?,
            },
            "pause_ramp" => Self::PauseRamp,
            "resume_ramp" => Self::ResumeRamp,
            "abort_ramp" => Self::AbortRamp,
            "archive" => Self::Archive,
            _ => {
                return Err(ManageError::NotFound {
                    kind: "action",
                    key: name.to_owned(),
                    place: format!("; there are {}", ACTIONS.join(", ")),
                });
            }
        };
        let surplus = [
            ("variation", left.variation.is_some()),
            ("variations", left.variations.is_some()),
            ("traffic", left.traffic.is_some()),
            ("targeting", left.targeting.is_some()),
            ("slots", left.slots.is_some()),
        ];
        match surplus.iter().find(|(_, there)| *there) {
            Some((field, _)) => Err(ManageError::invalid(
                *field,
                format!("`{name}` takes no `{field}`"),
                "leave it out",
            )),
            None => Ok(action),
        }
    }

    /// Its name, as in requests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Ship { .. } => "ship",
            Self::Kill => "kill",
            Self::Unkill => "unkill",
            Self::NewPhase { .. } => "new_phase",
            Self::ChangeWeights { .. } => "change_weights",
            Self::ChangeTraffic { .. } => "change_traffic",
            Self::Resize { .. } => "resize",
            Self::PauseRamp => "pause_ramp",
            Self::ResumeRamp => "resume_ramp",
            Self::AbortRamp => "abort_ramp",
            Self::Archive => "archive",
        }
    }

    /// The states it is allowed in.
    pub fn allowed_in(&self) -> &'static [ExperimentStatus] {
        use ExperimentStatus::{Draft, Paused, Running, Stopped};
        match self {
            Self::Start => &[Draft],
            Self::Pause => &[Running],
            Self::Resume => &[Paused],
            Self::Stop | Self::Ship { .. } | Self::Kill | Self::Unkill => &[Running, Paused],
            Self::NewPhase { .. } | Self::ChangeWeights { .. } | Self::ChangeTraffic { .. } | Self::Resize { .. } => {
                &[Running, Paused]
            }
            Self::PauseRamp | Self::ResumeRamp | Self::AbortRamp => &[Running, Paused],
            Self::Archive => &[Draft, Stopped],
        }
    }

    /// Whether the experiment is over with it.
    pub fn ends(&self) -> bool {
        matches!(self, Self::Stop | Self::Ship { .. })
    }

    /// Refuses the action where the state does not allow it, and says what to do instead.
    pub fn check(&self, state: &ExperimentState) -> Result<()> {
        if self.allowed_in().contains(&state.state) {
            let idle = match self {
                Self::Kill => state.killed,
                Self::Unkill => !state.killed,
                _ => false,
            };
            return if idle {
                let now = if state.killed { "killed already" } else { "not killed" };
                Err(ManageError::conflict(
                    "wrong_state",
                    format!("experiment `{}` is {now}: there is nothing to do", state.key),
                ))
            } else {
                Ok(())
            };
        }
        let allowed: Vec<_> = self.allowed_in().iter().map(|status| status.as_str()).collect();
        Err(ManageError::conflict(
            "wrong_state",
            format!(
                "experiment `{}` is {}; `{}` is for {} experiments: {}",
                state.key,
                state.state.as_str(),
                self.name(),
                allowed.join(" or "),
                remedy(state.state)
            ),
        ))
    }
}

fn remedy(status: ExperimentStatus) -> &'static str {
    match status {
        ExperimentStatus::Draft => "change the definition, or `start` it first",
        ExperimentStatus::Running => "`pause` or `stop` it first",
        ExperimentStatus::Paused => "`resume` or `stop` it first",
        ExperimentStatus::Stopped => "it is over and keeps its results; clone it to run it again",
        ExperimentStatus::Archived => "it is put away; clone it to run it again",
    }
}
