//! The answer: what a flag gives, and why.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use serde_json::value::RawValue;

use crate::packed::Packed;
use crate::reason::Reason;

/// A variation's value, borrowed from the snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FlagValue<'a> {
    /// Of a `bool` flag.
    Bool(bool),
    /// Of a `string` flag: the text, and its RFC 8785 form.
    Text(&'a str, &'a str),
    /// Of an `int` flag: the integer, and its RFC 8785 form.
    Int(i64, &'a str),
    /// Of a `float` flag: the double, and its RFC 8785 form.
    Float(f64, &'a str),
    /// Of a `json` flag, in RFC 8785 form.
    Json(&'a str),
}

impl<'a> FlagValue<'a> {
    /// The value in RFC 8785 form: the bytes that are compared, and that cross to a caller.
    pub fn json(&self) -> &'a str {
        match self {
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Text(_, json) | Self::Int(_, json) | Self::Float(_, json) | Self::Json(json) => json,
        }
    }

    /// The value of a `bool` flag.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The value of a `string` flag.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::Text(text, _) => Some(text),
            _ => None,
        }
    }

    /// The value of an `int` flag.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(integer, _) => Some(*integer),
            _ => None,
        }
    }

    /// The value of a `float` or `int` flag.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number, _) => Some(*number),
            // Exact: an int lies within ±(2^53 - 1).
            Self::Int(integer, _) => Some(*integer as f64),
            _ => None,
        }
    }
}

impl Serialize for FlagValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The snapshot wrote this text itself, from JSON it had read.
        let raw: &RawValue = serde_json::from_str(self.json()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// A decision, its strings borrowed from the snapshot that made it (and the flag's key from the caller).
///
/// In JSON it is `{"flag","variation","value","reason","rule","experiment","phase","epoch","bucket"}`; the manifest's version
/// stands beside decisions, not in each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision<'a> {
    /// The key that was asked for.
    pub flag: &'a str,
    /// The variation's key; none where the caller's default counts.
    pub variation: Option<&'a str>,
    /// The variation's value; none where the caller's default counts.
    pub value: Option<FlagValue<'a>>,
    /// Why.
    pub reason: Reason,
    /// The rule that decided.
    pub rule: Option<&'a str>,
    /// The experiment it belongs to.
    pub experiment: Option<&'a str>,
    /// The experiment's phase.
    pub phase: Option<u32>,
    /// The epoch inside the phase.
    pub epoch: Option<u32>,
    /// The split's basis point, 0 to 9999.
    pub bucket: Option<u16>,
    /// The version of the manifest; none when there is none.
    pub manifest_version: Option<u64>,
    /// The same in one number.
    pub packed: Packed,
}

impl<'a> Decision<'a> {
    /// A decision that leaves the caller its default.
    pub fn callers_default(flag: &'a str, reason: Reason, manifest_version: Option<u64>) -> Self {
        Self {
            flag,
            variation: None,
            value: None,
            reason,
            rule: None,
            experiment: None,
            phase: None,
            epoch: None,
            bucket: None,
            manifest_version,
            packed: Packed::bare(reason),
        }
    }

    /// There is no usable manifest.
    pub fn no_manifest(flag: &'a str) -> Self {
        Self::callers_default(flag, Reason::NoManifest, None)
    }

    /// The first manifest is still awaited.
    pub fn not_ready(flag: &'a str) -> Self {
        Self::callers_default(flag, Reason::NotReady, None)
    }

    /// An internal fault was caught at a boundary.
    pub fn error(flag: &'a str) -> Self {
        Self::callers_default(flag, Reason::Error, None)
    }

    /// Whether an exposure goes with it: SPLIT, STICKY, or OVERRIDE with an experiment.
    pub fn has_exposure(&self) -> bool {
        match self.reason {
            Reason::Split | Reason::Sticky => true,
            Reason::Override => self.experiment.is_some(),
            _ => false,
        }
    }
}

impl Serialize for Decision<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Decision", 9)?;
        object.serialize_field("flag", self.flag)?;
        object.serialize_field("variation", &self.variation)?;
        object.serialize_field("value", &self.value)?;
        object.serialize_field("reason", &self.reason)?;
        object.serialize_field("rule", &self.rule)?;
        object.serialize_field("experiment", &self.experiment)?;
        object.serialize_field("phase", &self.phase)?;
        object.serialize_field("epoch", &self.epoch)?;
        object.serialize_field("bucket", &self.bucket)?;
        object.end()
    }
}

/// Which arm of a holdout a unit is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// Kept out of the rule.
    Held,
    /// Given what the rule gives.
    Open,
}

/// The exposure of a holdout that goes with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HoldoutExposure<'a> {
    /// The holdout's id.
    pub holdout: &'a str,
    /// The unit's arm.
    pub arm: Arm,
    /// The attribute that gives the holdout's unit id.
    pub unit: &'a str,
}

/// What the exposure of a decision says beside the unit's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Exposure<'a> {
    /// The experiment's id.
    pub experiment: &'a str,
    /// The variation's key.
    pub variation: &'a str,
    /// The phase.
    pub phase: u32,
    /// The epoch.
    pub epoch: u32,
    /// The attribute that gives the experiment's unit id.
    pub unit: &'a str,
}
