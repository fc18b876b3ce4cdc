//! The attributes that exposures carry, so that results can be cut by them (`docs/contract/manifest.md`, "Attributes of exposures"). No
//! decision depends on them: they are looked up when an exposure is made, and at no other time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::compiled::NONE;
use crate::context::{Attributes, Value};
use crate::packed::Packed;
use crate::snapshot::{FlagId, Snapshot};
use crate::wire::RawMap;

/// The most attributes that a rule's exposures carry. Authors may name fewer; manifests of later years may name more than today's.
pub const MAX_EXPOSURE_ATTRIBUTES: usize = 10;
/// The longest text that is carried, in Unicode characters.
pub const MAX_CARRIED_CHARACTERS: usize = 64;

/// A value as an exposure carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Carried<'a> {
    /// Text of at most [`MAX_CARRIED_CHARACTERS`].
    Text(&'a str),
    /// A boolean.
    Bool(bool),
}

impl<'a> Carried<'a> {
    /// Numbers and lists have too many values to cut by, and a longer text is none of a few: those are left out.
    fn of(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Str(text) if text.chars().nth(MAX_CARRIED_CHARACTERS).is_none() => Some(Self::Text(text)),
            Value::Bool(bool) => Some(Self::Bool(bool)),
            _ => None,
        }
    }
}

/// The `properties` of an exposure: a JSON object in RFC 8785 form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarriedAttributes<'a>(Vec<(&'a str, Carried<'a>)>);

impl<'a> CarriedAttributes<'a> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the order of RFC 8785.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, Carried<'a>)> + '_ {
        self.0.iter().copied()
    }
}

impl Serialize for CarriedAttributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

impl Snapshot {
    /// Whether exposures of a decision carry attributes at all.
    pub fn carries_attributes(&self, flag: FlagId, packed: Packed) -> bool {
        self.rule_at(flag, packed)
            .is_some_and(|rule| !self.tables().exposure_attributes_of(rule, 1).is_empty())
    }

    /// What the exposures of a decision carry, its own and those of holdouts: `context` is asked for each attribute once.
    pub fn carried_attributes<'a, A: Attributes + ?Sized>(
        &'a self,
        flag: FlagId,
        packed: Packed,
        context: &'a A,
    ) -> CarriedAttributes<'a> {
        let tables = self.tables();
        let attributes = self
            .rule_at(flag, packed)
            .map(|rule| tables.exposure_attributes_of(rule, 1))
            .unwrap_or_default();
        let ask = |attribute: u32| {
            self.attribute_key(attribute)
                .map_or(Value::Missing, |key| context.get(key))
        };
        let carried = attributes.iter().filter_map(|carried| {
            let mut value = ask(carried.attribute);
            // `geo` stands in for a missing `country`.
            if matches!(value, Value::Missing) && carried.attribute == tables.country && tables.country != NONE {
                value = ask(tables.geo);
            }
            Some((tables.str(carried.name), Carried::of(value)?))
        });
        CarriedAttributes(carried.collect())
    }
}

/// A rule's `meta` that names these attributes, in ascending order; none where there are none.
pub fn meta(names: &[String]) -> Option<Box<RawValue>> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let meta = BTreeMap::from([("exposure_attributes", &names)]);
    // Texts: this does not fail.
    to_raw_value(&meta).ok().filter(|_| !names.is_empty())
}

/// The names in a rule's `meta`, in the order of RFC 8785. Anything that is not exactly such a list counts as none: no flag fails for want
/// of what decides nothing.
pub(crate) fn read(meta: &RawValue) -> Vec<String> {
    let Ok(RawMap(members)) = serde_json::from_str::<RawMap<'_>>(meta.get()) else {
        return Vec::new();
    };
    let found = members.iter().find(|(name, _)| name == "exposure_attributes");
    let Some(mut names) = found.and_then(|(_, list)| serde_json::from_str::<Vec<String>>(list.get()).ok()) else {
        return Vec::new();
    };
    let named = names.len();
    names.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    names.dedup();
    let fine = (1..=MAX_EXPOSURE_ATTRIBUTES).contains(&named)
        && names.len() == named
        && names.iter().all(|name| (1..=256).contains(&name.len()));
    if fine { names } else { Vec::new() }
}
