//! A decision, its texts borrowed.

use evenhand_core::{Arm, Decision as Decided, FlagValue, Packed, Reason as CoreReason};

use crate::guard::{get, get_mut, guard, guard_or};
use crate::snapshot::{Snapshot, ValueType};
use crate::status::Status;
use crate::text::Text;

/// Why a decision is what it is. The numbers are those of the packed form and never change.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no usable manifest.
    NoManifest = 0,
    /// An id list the flag needs has not been supplied, or the first manifest is still awaited.
    NotReady = 1,
    /// The manifest has no such flag.
    FlagUnknown = 2,
    /// The flag is archived.
    Archived = 3,
    /// The flag, or the experiment that would have decided, is killed.
    Killed = 4,
    /// The experiment that would have decided is paused.
    Paused = 5,
    /// A forced variation, or the flag's own override of this unit.
    Override = 6,
    /// The unit is held back by a holdout.
    Holdout = 7,
    /// A targeted rule.
    Targeted = 8,
    /// A rollout rule.
    Rollout = 9,
    /// An experiment's split.
    Split = 10,
    /// The host's sticky assignment.
    Sticky = 11,
    /// No rule decided.
    Default = 12,
    /// No rule decided, and at least one was skipped for want of its unit.
    NoUnit = 13,
    /// The flag did not compile.
    Unsupported = 14,
    /// The caller asked for a type the flag does not have.
    TypeMismatch = 15,
    /// An internal fault.
    Error = 16,
}

impl Reason {
    /// One arm a reason: a new one of the core does not compile here.
    fn of(reason: CoreReason) -> Self {
        match reason {
            CoreReason::NoManifest => Self::NoManifest,
            CoreReason::NotReady => Self::NotReady,
            CoreReason::FlagUnknown => Self::FlagUnknown,
            CoreReason::Archived => Self::Archived,
            CoreReason::Killed => Self::Killed,
            CoreReason::Paused => Self::Paused,
            CoreReason::Override => Self::Override,
            CoreReason::Holdout => Self::Holdout,
            CoreReason::Targeted => Self::Targeted,
            CoreReason::Rollout => Self::Rollout,
            CoreReason::Split => Self::Split,
            CoreReason::Sticky => Self::Sticky,
            CoreReason::Default => Self::Default,
            CoreReason::NoUnit => Self::NoUnit,
            CoreReason::Unsupported => Self::Unsupported,
            CoreReason::TypeMismatch => Self::TypeMismatch,
            CoreReason::Error => Self::Error,
        }
    }
}

/// A decision. Its texts are borrowed from the snapshot that made it; `flag` from the caller where it handed in a key.
///
/// Where `variation` is no text, the caller's own default counts. Otherwise the value is there twice: native, by `value_type`, and as
/// RFC 8785 JSON.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// The key that was asked for.
    pub flag: Text,
    /// The variation's key; none where the caller's default counts.
    pub variation: Text,
    /// The value as RFC 8785 JSON; none where the caller's default counts.
    pub value_json: Text,
    /// The value of a `string` flag.
    pub value_text: Text,
    /// The value of an `int` flag.
    pub value_int: i64,
    /// The value of a `float` or `int` flag.
    pub value_float: f64,
    /// The value of a `bool` flag.
    pub value_bool: bool,
    /// Which of them is the value; none where the caller's default counts.
    pub value_type: ValueType,
    /// Why.
    pub reason: Reason,
    /// The rule that decided, or none.
    pub rule: Text,
    /// The experiment it belongs to, or none.
    pub experiment: Text,
    /// The experiment's phase, from 1; 0 when there is none.
    pub phase: u32,
    /// The epoch inside the phase, from 1; 0 when there is none.
    pub epoch: u32,
    /// The split's basis point, 0 to 9999; -1 when there is none.
    pub bucket: i32,
    /// The flag's index in the snapshot; `UINT32_MAX` when it has none.
    pub flag_index: u32,
    /// Whether `manifest_version` counts: not without a manifest.
    pub has_manifest_version: bool,
    /// Whether an exposure of its own goes with the decision.
    pub has_exposure: bool,
    /// The version of the manifest.
    pub manifest_version: u64,
    /// The same in one number below 2^53.
    pub packed: u64,
}

impl Decision {
    pub(crate) fn of(decided: &Decided<'_>, flag_index: Option<u32>) -> Self {
        let value = decided.value;
        let value_type = match value {
            None => ValueType::None,
            Some(FlagValue::Bool(_)) => ValueType::Bool,
            Some(FlagValue::Text(..)) => ValueType::String,
            Some(FlagValue::Int(..)) => ValueType::Int,
            Some(FlagValue::Float(..)) => ValueType::Float,
            Some(FlagValue::Json(_)) => ValueType::Json,
        };
        Self {
            flag: Text::of(decided.flag),
            variation: Text::of_option(decided.variation),
            value_json: Text::of_option(value.map(|value| value.json())),
            value_text: Text::of_option(value.and_then(|value| value.as_str())),
            value_int: value.and_then(|value| value.as_int()).unwrap_or(0),
            value_float: value.and_then(|value| value.as_float()).unwrap_or(0.0),
            value_bool: value.and_then(|value| value.as_bool()).unwrap_or(false),
            value_type,
            reason: Reason::of(decided.reason),
            rule: Text::of_option(decided.rule),
            experiment: Text::of_option(decided.experiment),
            phase: decided.phase.unwrap_or(0),
            epoch: decided.epoch.unwrap_or(0),
            bucket: decided.bucket.map_or(-1, i32::from),
            flag_index: flag_index.unwrap_or(u32::MAX),
            has_manifest_version: decided.manifest_version.is_some(),
            has_exposure: decided.has_exposure(),
            manifest_version: decided.manifest_version.unwrap_or(0),
            packed: decided.packed.to_number(),
        }
    }
}

/// The exposure of a holdout that goes with a decision. Borrowed from the snapshot.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HoldoutExposure {
    /// The holdout's id.
    pub holdout: Text,
    /// The attribute that gives the holdout's unit id.
    pub unit: Text,
    /// Whether the unit is held back; else it is in the open arm.
    pub held: bool,
}

/// Reads a packed decision with the snapshot that made it.
///
/// # Safety
/// `snapshot` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_decision_read(
    snapshot: *const Snapshot,
    flag: u32,
    packed: u64,
    out: *mut Decision,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, out) = unsafe { (&get(snapshot)?.0, get_mut(out)?) };
        let id = snapshot.flag_at(flag as usize).ok_or(Status::NotFound)?;
        let packed = Packed::from_number(packed).ok_or(Status::InvalidArgument)?;
        *out = Decision::of(&snapshot.decision(id, packed), Some(flag));
        Ok(())
    })
}

/// The holdout exposures that go with a decision, from 0, in the order of the rule's holdouts; `EVENHAND_STATUS_NOT_FOUND` behind the last.
///
/// # Safety
/// `snapshot` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_decision_holdout(
    snapshot: *const Snapshot,
    flag: u32,
    packed: u64,
    index: usize,
    out: *mut HoldoutExposure,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (snapshot, out) = unsafe { (&get(snapshot)?.0, get_mut(out)?) };
        let id = snapshot.flag_at(flag as usize).ok_or(Status::NotFound)?;
        let packed = Packed::from_number(packed).ok_or(Status::InvalidArgument)?;
        let exposure = snapshot
            .holdout_exposures(id, packed)
            .nth(index)
            .ok_or(Status::NotFound)?;
        *out = HoldoutExposure {
            holdout: Text::of(exposure.holdout),
            unit: Text::of(exposure.unit),
            held: exposure.arm == Arm::Held,
        };
        Ok(())
    })
}

/// The stable name of a reason, as in `SPLIT`; no text for a number that is none. Lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn evenhand_reason_name(reason: i32) -> Text {
    guard_or(Text::NONE, || {
        let reason = u8::try_from(reason).ok().and_then(CoreReason::from_number);
        Text::of_option(reason.map(CoreReason::name))
    })
}
