//! Flags: what code asks for.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The type of all values of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// `true` or `false`.
    Bool,
    /// Text.
    String,
    /// An integral number within ±(2^53−1).
    Int,
    /// A finite number.
    Float,
    /// Any JSON, at most 64 KiB.
    Json,
}

impl ValueType {
    /// Its name in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::String => "string",
            Self::Int => "int",
            Self::Float => "float",
            Self::Json => "json",
        }
    }
}

/// One possible answer of a flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Variation {
    /// Its key, unique in the flag.
    pub key: String,
    /// What code gets; of the flag's type.
    pub value: Value,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// A flag with typed variations and ordered rules. The rules are asked in order and the first that matches decides; when none does, the answer is `default`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    /// What code asks for; never changes.
    pub key: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Who answers for it.
    #[serde(default)]
    pub owner: String,
    /// Free words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The type of its values; never changes.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// 1 to 250 possible answers.
    pub variations: Vec<Variation>,
    /// The answer when the flag is killed or archived, when an experiment on it is paused, and to held-out units. The control of its experiments.
    pub off: String,
    /// The answer when no rule matches. An environment may have its own, after an experiment was shipped there.
    pub default: String,
    /// Ordered rules. An experiment that is not placed here by a rule of kind `experiment` stands before the first rollout rule, or at the end when
    /// there is none; several stand by the time they were created.
    #[serde(default)]
    pub rules: Vec<FlagRule>,
    /// Whether client keys may see it.
    #[serde(default)]
    pub client_visible: bool,
    /// Whether it is left out of client manifests, so that client keys get it from the assignment API only (secret values, id lists, per-unit overrides).
    #[serde(default)]
    pub remote: bool,
    /// An archived flag answers `off` everywhere.
    #[serde(default)]
    pub archived: bool,
}

/// "That flag gives one of these."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The other flag.
    pub flag: String,
    /// Keys of its variations, at least one.
    pub variations: Vec<String>,
}

/// A rule that gives everybody it matches one variation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetedRule {
    /// Its id, unique in the flag.
    pub id: String,
    /// The variation it gives.
    pub serve: String,
    /// An expression of the contract (docs/contract/operators.md); none: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub when: Option<Value>,
    /// From when on it works (milliseconds since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// Until when it works, that instant left out (milliseconds since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
    /// Prerequisites, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// Holdouts whose held units get `off`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holdouts: Vec<String>,
    /// The environments it works in; none named: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
}

/// A rule that gives a stable share of units one variation. Growing the share moves nobody who is already in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutRule {
    /// Its id, unique in the flag.
    pub id: String,
    /// The variation it gives.
    pub serve: String,
    /// The attribute whose value is the unit id.
    pub unit: String,
    /// The share of units in basis points, 0 to 10000.
    pub traffic: u32,
    /// An expression of the contract (docs/contract/operators.md); none: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub when: Option<Value>,
    /// From when on it works (milliseconds since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// Until when it works, that instant left out (milliseconds since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<i64>,
    /// Prerequisites, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// Holdouts whose held units get `off`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holdouts: Vec<String>,
    /// The environments it works in; none named: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
}

/// What guards a rule of either kind.
#[derive(Debug, Clone, Copy)]
pub struct RuleGuards<'a> {
    /// The expression.
    pub when: Option<&'a Value>,
    /// From when on it works.
    pub start_ms: Option<i64>,
    /// Until when it works.
    pub end_ms: Option<i64>,
    /// Prerequisites.
    pub requires: &'a [Requirement],
    /// Holdouts.
    pub holdouts: &'a [String],
    /// Environments; none named: all.
    pub environments: &'a [String],
}

/// One entry of a flag's ordered rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum FlagRule {
    /// Everybody it matches.
    Targeted(TargetedRule),
    /// A stable share of units.
    Rollout(RolloutRule),
    /// The place of an experiment among the rules.
    Experiment {
        /// The experiment's key.
        experiment: String,
    },
}

impl FlagRule {
    /// The rule's id; an experiment's is its key.
    pub fn id(&self) -> &str {
        match self {
            Self::Targeted(rule) => &rule.id,
            Self::Rollout(rule) => &rule.id,
            Self::Experiment { experiment } => experiment,
        }
    }

    /// The variation it gives and what guards it; an experiment has its own elsewhere.
    pub fn guards(&self) -> Option<RuleGuards<'_>> {
        match self {
            Self::Targeted(rule) => Some(RuleGuards {
                when: rule.when.as_ref(),
                start_ms: rule.start_ms,
                end_ms: rule.end_ms,
                requires: &rule.requires,
                holdouts: &rule.holdouts,
                environments: &rule.environments,
            }),
            Self::Rollout(rule) => Some(RuleGuards {
                when: rule.when.as_ref(),
                start_ms: rule.start_ms,
                end_ms: rule.end_ms,
                requires: &rule.requires,
                holdouts: &rule.holdouts,
                environments: &rule.environments,
            }),
            Self::Experiment { .. } => None,
        }
    }

    /// The variation it gives; none for an experiment.
    pub fn serve(&self) -> Option<&str> {
        match self {
            Self::Targeted(rule) => Some(&rule.serve),
            Self::Rollout(rule) => Some(&rule.serve),
            Self::Experiment { .. } => None,
        }
    }
}

impl RuleGuards<'_> {
    /// Whether the rule works in this environment.
    pub fn works_in(&self, environment: &str) -> bool {
        self.environments.is_empty() || self.environments.iter().any(|named| named == environment)
    }
}

impl Flag {
    /// Whether the flag stands in client manifests.
    pub fn in_client_manifest(&self) -> bool {
        self.client_visible && !self.remote
    }

    /// Whether it has this variation.
    pub fn has_variation(&self, key: &str) -> bool {
        self.variations.iter().any(|variation| variation.key == key)
    }
}
