//! Decisions for a caller, straight from the snapshot's own strings; for client keys under opaque ids. As JSON for HTTP; gRPC reads what they tell.

use std::cell::RefCell;
use std::sync::Arc;

use evenhand_core::exposure_attributes::CarriedAttributes;
use evenhand_core::obfuscate::OpaqueIds;
use evenhand_core::{Decision, FlagId, Packed, Reason, Slots, Snapshot};
use evenhand_manage::Published;
use evenhand_pipeline::decided::{self, SamplePlace};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::platform::Platform;

/// Under which ids a caller sees things.
pub struct Names {
    opaque: Option<Arc<Published>>,
    client: bool,
}

impl Names {
    /// Server and sidecar keys: the real ones.
    pub fn real() -> Names {
        Names {
            opaque: None,
            client: false,
        }
    }

    /// Client keys: the stored random ones, and of flags only those that clients may see.
    pub fn opaque(published: Option<Arc<Published>>) -> Names {
        Names {
            opaque: published,
            client: true,
        }
    }

    fn ids(&self) -> Option<&OpaqueIds> {
        self.opaque.as_deref().map(|p| &p.opaque_ids)
    }

    /// Whether the caller may see a flag.
    fn shows(&self, flag: &str) -> bool {
        !self.client || self.opaque.as_deref().is_some_and(|p| p.client_keys.contains_key(flag))
    }

    /// A flag's key in a list that the caller did not name it for: hashed for clients, as in their manifest; none when the caller may not see it.
    fn listed<'n>(&'n self, flag: &'n str) -> Option<&'n str> {
        match (self.client, self.opaque.as_deref()) {
            (false, _) => Some(flag),
            (true, Some(published)) => published.client_keys.get(flag).map(String::as_str),
            (true, None) => None,
        }
    }

    /// Sticky records as the core knows them, from records with the caller's ids. What is not understood is left for the core to refuse.
    pub fn real_sticky(&self, json: &str) -> String {
        let Some(ids) = self.ids() else { return json.to_owned() };
        let Ok(mut records) = serde_json::from_str::<Value>(json) else {
            return json.to_owned();
        };
        let experiment = |opaque: &str| {
            ids.experiments
                .iter()
                .find(|(_, o)| *o == opaque)
                .map(|(real, _)| real.clone())
        };
        let variation = |opaque: &str| {
            ids.variations
                .values()
                .flat_map(|v| v.iter())
                .find(|(_, o)| *o == opaque)
                .map(|(real, _)| real.clone())
        };
        for record in records.as_array_mut().into_iter().flatten() {
            for (field, real) in [
                ("experiment", &experiment as &dyn Fn(&str) -> Option<String>),
                ("variation", &variation),
            ] {
                if let Some(real) = record.get(field).and_then(Value::as_str).and_then(real) {
                    record[field] = Value::String(real);
                }
            }
        }
        records.to_string()
    }
}

/// The decisions of one request: an object from flag to decision. A decision is made while it is written.
pub struct Answers<'a> {
    pub(super) published: Option<&'a Published>,
    names: &'a Names,
    context: &'a Slots,
    pub(super) now_ms: i64,
    pub(super) flags: Option<&'a [String]>,
    /// Where it is noted who was decided; none: nowhere.
    pub(super) platform: Option<&'a Platform>,
    /// Decisions to pass on when all are made.
    pub(super) noted: RefCell<Vec<(FlagId, Packed)>>,
    /// Unit ids already read from the context, by unit type: most rules share one.
    units: RefCell<Vec<(Box<str>, Option<UnitId>)>>,
}

impl<'a> Answers<'a> {
    /// `context` holds the slots of the published snapshot.
    pub fn new(
        published: Option<&'a Published>,
        names: &'a Names,
        context: &'a Slots,
        now_ms: i64,
        flags: Option<&'a [String]>,
    ) -> Answers<'a> {
        Answers {
            published,
            names,
            context,
            now_ms,
            flags,
            platform: None,
            noted: RefCell::new(Vec::new()),
            units: RefCell::new(Vec::new()),
        }
    }

    /// The same, with a sample of the decided units noted: what they get comes back as exposures, or is found to be lost.
    pub fn noted_by(mut self, platform: &'a Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// How many decisions will be made.
    pub fn count(&self) -> usize {
        let all = || self.published.map_or(0, |p| p.snapshot.flags().len());
        self.flags.map_or_else(all, <[String]>::len)
    }

    /// The manifest, and whether a client asks, when all flags are asked for.
    pub fn whole(&self) -> Option<(&'a Published, bool)> {
        self.published
            .filter(|_| self.flags.is_none())
            .map(|p| (p, self.names.client))
    }

    /// The key under which a flag stands in the whole list; none when the caller may not see it.
    pub fn listed(&self, flag: &'a str) -> Option<&'a str> {
        self.names.listed(flag)
    }

    /// The decision of a flag of the manifest.
    pub fn packed(&self, flag: FlagId) -> Option<Packed> {
        self.published
            .map(|p| p.snapshot.evaluate_packed(flag, self.context, self.now_ms))
    }

    /// What a packed decision says.
    pub fn read(&self, flag: FlagId, key: &'a str, packed: Packed) -> Option<Assignment<'_, 'a>> {
        let snapshot = &*self.published?.snapshot;
        let decision = snapshot.decision(flag, packed);
        Some(Assignment {
            answers: self,
            key,
            snapshot: Some((snapshot, flag, packed)),
            decision,
            id_mark: None,
        })
    }

    /// What a decision's exposures carry of the context.
    pub fn carried(&self, flag: FlagId, packed: Packed) -> CarriedAttributes<'a> {
        self.published.map_or_else(CarriedAttributes::default, |p| {
            p.snapshot.carried_attributes(flag, packed, self.context)
        })
    }

    /// Writes the context's id of a unit type, as JSON text; whether the unit is in the sample of those noted.
    pub fn write_id(&self, unit: &str, out: &mut Vec<u8>) -> bool {
        self.published.is_some_and(|published| {
            self.with_unit_id(&published.snapshot, unit, |known| {
                out.extend_from_slice(known.map_or(b"null", |k| k.json.as_bytes()));
                known.is_some_and(|known| known.place.is_some())
            })
        })
    }

    fn decide(&self, snapshot: &'a Snapshot, flag: FlagId, key: &'a str) -> Assignment<'_, 'a> {
        let packed = snapshot.evaluate_packed(flag, self.context, self.now_ms);
        self.note(flag, packed);
        let decision = snapshot.decision(flag, packed);
        Assignment {
            answers: self,
            key,
            id_mark: None,
            snapshot: Some((snapshot, flag, packed)),
            decision,
        }
    }

    /// The decision of one flag, whether there is such a flag or not.
    pub fn named(&self, key: &'a str) -> Assignment<'_, 'a> {
        let Some(published) = self.published else {
            return Assignment {
                answers: self,
                key,
                id_mark: None,
                snapshot: None,
                decision: Decision::no_manifest(key),
            };
        };
        let snapshot = &*published.snapshot;
        match snapshot.flag(key).filter(|_| self.names.shows(key)) {
            Some(flag) => self.decide(snapshot, flag, key),
            None => {
                let decision = Decision::callers_default(key, Reason::FlagUnknown, Some(snapshot.version()));
                Assignment {
                    answers: self,
                    key,
                    id_mark: None,
                    snapshot: None,
                    decision,
                }
            }
        }
    }

    pub(super) fn with_unit_id<T>(
        &self,
        snapshot: &Snapshot,
        unit: &str,
        use_it: impl FnOnce(Option<&UnitId>) -> T,
    ) -> T {
        let mut known = self.units.borrow_mut();
        let at = known.iter().position(|(name, _)| **name == *unit).unwrap_or_else(|| {
            let id = snapshot.unit_id(unit, self.context);
            let id = id.and_then(|text| {
                Some(UnitId {
                    json: serde_json::to_string(&text).ok()?,
                    place: decided::place(&text),
                    text,
                })
            });
            known.push((unit.into(), id));
            known.len() - 1
        });
        use_it(known.get(at).and_then(|(_, id)| id.as_ref()))
    }

    fn unit_id(&self, snapshot: &Snapshot, unit: &str) -> Option<String> {
        self.with_unit_id(snapshot, unit, |id| id.map(|id| id.text.clone()))
    }
}

/// A unit id of the context, the same as JSON, and its place in the sample of noted units.
pub(super) struct UnitId {
    pub(super) text: String,
    json: String,
    pub(super) place: Option<SamplePlace>,
}

impl<'a> Answers<'a> {
    /// Makes the decisions one after the other, in the order asked for or that of the flags' keys. Stops at the first error.
    pub fn try_each<E>(&self, mut visit: impl FnMut(Assignment<'_, 'a>) -> Result<(), E>) -> Result<(), E> {
        match (self.flags, self.published) {
            (Some(flags), _) => {
                let mut written: Vec<&str> = Vec::with_capacity(flags.len().min(64));
                for key in flags {
                    // A flag named twice is answered once: JSON objects have each name once.
                    if flags.len() > 1 {
                        if written.contains(&key.as_str()) {
                            continue;
                        }
                        written.push(key);
                    }
                    visit(self.named(key))?;
                }
            }
            (None, Some(published)) => {
                let snapshot = &*published.snapshot;
                for flag in snapshot.flags() {
                    if let Some(key) = self.names.listed(flag.key) {
                        visit(self.decide(snapshot, flag.id, key))?;
                    }
                }
            }
            (None, None) => {}
        }
        Ok(())
    }
}

impl Serialize for Answers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        self.try_each(|assignment| object.serialize_entry(assignment.key, &assignment))?;
        object.end()
    }
}

/// One decision with what is to be sent when the unit sees it.
pub struct Assignment<'s, 'a> {
    answers: &'s Answers<'a>,
    /// The flag's key as the caller sees it; the decision has the real one.
    key: &'a str,
    snapshot: Option<(&'a Snapshot, FlagId, Packed)>,
    decision: Decision<'a>,
    /// What stands for the unit id, when only the shape of the text is wanted: then nothing of the context stands in it.
    id_mark: Option<&'static str>,
}

impl<'s, 'a> Assignment<'s, 'a> {
    /// The flag's key, as the caller sees it.
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// The unit type of the exposure that goes along.
    pub fn unit(&self) -> Option<&'a str> {
        let (snapshot, flag, packed) = self.snapshot?;
        snapshot.exposure(flag, packed).map(|exposure| exposure.unit)
    }

    /// The same with marks in the places that differ from user to user.
    pub fn marked(&self, bucket: u16, id: &'static str) -> Assignment<'s, 'a> {
        let mut decision = self.decision;
        decision.bucket = decision.bucket.map(|_| bucket);
        Assignment {
            answers: self.answers,
            key: self.key,
            snapshot: self.snapshot,
            decision,
            id_mark: Some(id),
        }
    }

    /// Whether it tells a bucket.
    pub fn has_bucket(&self) -> bool {
        self.decision.bucket.is_some()
    }

    fn opaque_rule(&self) -> Option<&'a str> {
        let ids = self.answers.names.ids()?;
        ids.rules
            .get(self.decision.flag)?
            .get(self.decision.rule?)
            .map(String::as_str)
    }

    fn opaque_variation(&self) -> Option<&'a str> {
        let ids = self.answers.names.ids()?;
        ids.variations
            .get(self.decision.flag)?
            .get(self.decision.variation?)
            .map(String::as_str)
    }

    fn opaque_experiment(&self) -> Option<&'a str> {
        self.answers
            .names
            .ids()?
            .experiments
            .get(self.decision.experiment?)
            .map(String::as_str)
    }

    /// The decision under the caller's ids. An id without an opaque twin is left out: a real one must not slip through.
    pub fn shown(&self) -> Decision<'a> {
        let mut decision = self.decision;
        if self.answers.names.client {
            decision.rule = self.opaque_rule();
            decision.variation = self.opaque_variation();
            decision.experiment = self.opaque_experiment();
        }
        decision
    }
}

impl Serialize for Assignment<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = self.shown();
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("flag", self.key)?;
        object.serialize_entry("variation", &shown.variation)?;
        object.serialize_entry("value", &shown.value)?;
        object.serialize_entry("reason", &shown.reason)?;
        if shown.rule.is_some() {
            object.serialize_entry("rule", &shown.rule)?;
        }
        if shown.experiment.is_some() {
            object.serialize_entry("experiment", &shown.experiment)?;
            object.serialize_entry("phase", &shown.phase)?;
            object.serialize_entry("epoch", &shown.epoch)?;
        }
        if shown.bucket.is_some() {
            object.serialize_entry("bucket", &shown.bucket)?;
        }
        if let Some(exposure) = self.exposure() {
            object.serialize_entry("exposure", &exposure)?;
        }
        if self.exposes_holdouts() {
            object.serialize_entry("holdout_exposures", &self.holdout_exposures())?;
        }
        object.end()
    }
}

impl<'a> Assignment<'_, 'a> {
    /// The event to send when the unit sees the variation.
    pub fn exposure(&self) -> Option<Exposure<'a>> {
        let (snapshot, flag, packed) = self.snapshot?;
        let exposure = snapshot.exposure(flag, packed)?;
        let id = self.id_mark.map(str::to_owned);
        let id = id.or_else(|| self.answers.unit_id(snapshot, exposure.unit))?;
        let shown = self.shown();
        Some(Exposure {
            experiment: shown.experiment?,
            variation: shown.variation?,
            phase: exposure.phase,
            epoch: exposure.epoch,
            unit: exposure.unit,
            id,
            properties: self.carried(),
            reason: (self.decision.reason == Reason::Override).then_some(Reason::Override),
        })
    }

    fn carried(&self) -> CarriedAttributes<'a> {
        match (self.snapshot, self.id_mark) {
            (Some((_, flag, packed)), None) => self.answers.carried(flag, packed),
            _ => CarriedAttributes::default(),
        }
    }

    /// Whether its exposure may carry attributes of the context.
    pub fn carries_attributes(&self) -> bool {
        let of_rule = |(snapshot, flag, packed): (&Snapshot, _, _)| snapshot.carries_attributes(flag, packed);
        self.snapshot.is_some_and(of_rule) && self.exposure().is_some()
    }

    fn exposes_holdouts(&self) -> bool {
        self.snapshot
            .is_some_and(|(_, _, packed)| packed.exposed_holdouts() != 0)
    }

    /// Those of holdouts, to be sent with it: the holdout stands where an experiment does, its arm where a variation does.
    pub fn holdout_exposures(&self) -> Vec<Exposure<'a>> {
        let Some((snapshot, flag, packed)) = self.snapshot.filter(|_| self.exposes_holdouts()) else {
            return Vec::new();
        };
        let ids = self.answers.names.ids();
        let seen = snapshot.holdout_exposures(flag, packed).filter_map(|exposure| {
            let holdout = match ids {
                Some(ids) => ids.holdouts.get(exposure.holdout)?,
                None => exposure.holdout,
            };
            let arm = match exposure.arm {
                evenhand_core::Arm::Held => "held",
                evenhand_core::Arm::Open => "open",
            };
            Some(Exposure {
                experiment: holdout,
                variation: arm,
                phase: 1,
                epoch: 1,
                unit: exposure.unit,
                id: self.answers.unit_id(snapshot, exposure.unit)?,
                properties: self.carried(),
                reason: None,
            })
        });
        seen.collect()
    }
}

/// The name of exposure events.
pub const EXPOSURE: &str = "$exposure";

/// The event to send: everything but its id and time.
pub struct Exposure<'a> {
    pub experiment: &'a str,
    pub variation: &'a str,
    pub phase: u32,
    pub epoch: u32,
    pub unit: &'a str,
    pub id: String,
    pub properties: CarriedAttributes<'a>,
    pub reason: Option<Reason>,
}

impl Serialize for Exposure<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("event_name", EXPOSURE)?;
        object.serialize_entry("experiment_id", self.experiment)?;
        object.serialize_entry("variation_id", self.variation)?;
        object.serialize_entry("phase", &self.phase)?;
        object.serialize_entry("epoch", &self.epoch)?;
        object.serialize_entry("unit", self.unit)?;
        if self.unit == "user_id" {
            object.serialize_entry("user_id", &self.id)?;
        } else {
            object.serialize_entry("units", &std::collections::BTreeMap::from([(self.unit, &self.id)]))?;
        }
        if let Some(reason) = self.reason {
            object.serialize_entry("reason", &reason)?;
        }
        // Last: fragments are continued with them.
        if !self.properties.is_empty() {
            object.serialize_entry("properties", &self.properties)?;
        }
        object.end()
    }
}
