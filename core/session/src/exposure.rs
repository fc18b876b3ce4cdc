//! Exposures: the events that say "unit U saw variation V", once in a while each.

use evenhand_core::event::{EXPOSURE, USER_ID};
use evenhand_core::exposure_attributes::CarriedAttributes;
use evenhand_core::unit::{DecimalBuffer, unit_id};
use evenhand_core::{Arm, Attributes, FlagId, Packed, Reason, Snapshot};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::to_raw_value;

use crate::Session;
use crate::clock::ms;
use crate::delivery::timestamp;
use crate::event_ids;
use crate::queue::{Kind, Queued};

/// What became of the exposures of one decision: its own, and those of holdouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposed {
    /// Queued.
    pub queued: u8,
    /// The same was queued lately.
    pub deduped: u8,
    /// The context has no id of the unit that was randomised.
    pub without_unit: u8,
}

/// An exposure event, its fields in RFC 8785 order.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(skip_serializing_if = "is_one")]
    epoch: u32,
    event_id: &'a str,
    event_name: &'static str,
    experiment_id: &'a str,
    manifest_version: u64,
    #[serde(skip_serializing_if = "is_one")]
    phase: u32,
    #[serde(skip_serializing_if = "CarriedAttributes::is_empty")]
    properties: CarriedAttributes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdk: Option<&'a str>,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    units: Option<Unit<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    variation_id: &'a str,
}

struct Unit<'a>(&'a str, &'a str);

impl Serialize for Unit<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_one(value: &u32) -> bool {
    *value == 1
}

/// The decision that exposes.
#[derive(Clone, Copy)]
struct Decided<'a> {
    snapshot: &'a Snapshot,
    flag: FlagId,
    packed: Packed,
}

/// What an exposure says, whether an experiment's or a holdout's.
struct Seen<'a> {
    experiment: &'a str,
    variation: &'a str,
    phase: u32,
    epoch: u32,
    unit: &'a str,
    reason: Option<Reason>,
}

impl Session {
    /// Whether a decision has exposures at all: lets a host that guards the session with a lock leave it alone.
    #[inline]
    pub fn has_exposures(packed: Packed) -> bool {
        packed.exposed_holdouts() != 0 || matches!(packed.reason(), Reason::Split | Reason::Sticky | Reason::Override)
    }

    /// Queues the exposures of a decision that `snapshot` made of `flag` for `context`, unless they were queued lately.
    ///
    /// The snapshot need not be the newest, but it must be the one that decided.
    pub fn expose<A: Attributes + ?Sized>(
        &mut self,
        snapshot: &Snapshot,
        flag: FlagId,
        packed: Packed,
        context: &A,
        now_ms: i64,
    ) -> Exposed {
        let mut exposed = Exposed::default();
        if !Self::has_exposures(packed) {
            return exposed;
        }
        self.tick(now_ms);
        let decided = Decided { snapshot, flag, packed };
        if let Some(exposure) = snapshot.exposure(flag, packed) {
            let seen = Seen {
                experiment: exposure.experiment,
                variation: exposure.variation,
                phase: exposure.phase,
                epoch: exposure.epoch,
                unit: exposure.unit,
                reason: Some(packed.reason()),
            };
            self.expose_one(decided, &seen, context, &mut exposed);
        }
        for holdout in snapshot.holdout_exposures(flag, packed) {
            let seen = Seen {
                experiment: holdout.holdout,
                variation: match holdout.arm {
                    Arm::Held => "held",
                    Arm::Open => "open",
                },
                phase: 1,
                epoch: 1,
                unit: holdout.unit,
                reason: None,
            };
            self.expose_one(decided, &seen, context, &mut exposed);
        }
        exposed
    }

    fn expose_one<A: Attributes + ?Sized>(
        &mut self,
        decided: Decided<'_>,
        seen: &Seen<'_>,
        context: &A,
        exposed: &mut Exposed,
    ) {
        let Decided { snapshot, flag, packed } = decided;
        let now = self.clock.now();
        let mut buffer = DecimalBuffer::new();
        let attribute = snapshot.attribute(seen.unit);
        let Some(id) = attribute.and_then(|attribute| unit_id(context.get(attribute), &mut buffer)) else {
            exposed.without_unit = exposed.without_unit.saturating_add(1);
            self.counts.exposures_without_unit = self.counts.exposures_without_unit.saturating_add(1);
            return;
        };
        let forced = seen.reason == Some(Reason::Override);
        let parts = (
            seen.experiment,
            seen.phase,
            seen.epoch,
            seen.variation,
            seen.unit,
            id,
            forced,
        );
        let key = self.dedupe.key(&parts);
        if self.dedupe.holds(key, now, ms(self.options.dedupe_ttl_ms)) {
            exposed.deduped = exposed.deduped.saturating_add(1);
            self.counts.exposures_deduped = self.counts.exposures_deduped.saturating_add(1);
            return;
        }
        let timestamp = timestamp(self.clock.host_ms());
        let event_id = self.ids.draw(timestamp);
        let event_id_text = event_ids::text(&event_id);
        let of_user = seen.unit == USER_ID;
        let event = Event {
            epoch: seen.epoch,
            event_id: core::str::from_utf8(&event_id_text).unwrap_or_default(),
            event_name: EXPOSURE,
            experiment_id: seen.experiment,
            manifest_version: snapshot.version(),
            phase: seen.phase,
            properties: snapshot.carried_attributes(flag, packed, context),
            reason: seen.reason.map(Reason::name),
            sdk: self.sdk(),
            timestamp,
            unit: (!of_user).then_some(seen.unit),
            units: (!of_user).then_some(Unit(seen.unit, id)),
            user_id: of_user.then_some(id),
            variation_id: seen.variation,
        };
        // Text and integers: this does not fail.
        let Ok(json) = to_raw_value(&event) else { return };
        self.last_seq = self.last_seq.saturating_add(1);
        self.dedupe.insert(key, now, self.last_seq);
        let event = Queued {
            id: event_id,
            seq: self.last_seq,
            kind: Kind::Exposure,
            json,
            key: Some(key),
            since: now,
        };
        exposed.queued = exposed.queued.saturating_add(1);
        self.counts.exposures.queued = self.counts.exposures.queued.saturating_add(1);
        self.enqueue(event);
    }

    pub(crate) fn enqueue(&mut self, event: Queued) {
        let dropped = self.queue.push(event, self.limits());
        if !dropped.is_empty() {
            self.count_dropped(&dropped);
        }
    }

    /// The SDK's name, if it is one that an event may carry.
    pub(crate) fn sdk(&self) -> Option<&str> {
        let sdk = self.options.sdk.as_deref()?;
        (1..=evenhand_core::event::MAX_NAME_BYTES)
            .contains(&sdk.len())
            .then_some(sdk)
    }
}
