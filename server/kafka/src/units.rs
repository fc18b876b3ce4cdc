//! The units of a stored event, and the keys they have in Kafka.

use std::{borrow::Cow, fmt};

use evenhand_core::event::{EventError, USER_ID};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// Unit type and stored id; borrowed where the text has no escapes.
pub type Unit<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The units (type, stored id) of an event from its canonical bytes, in the order of their types.
///
/// Canonical bytes need no second validation: their fields are spelled one way, in one order, null nowhere, ids as strings. So this reads
/// two fields and skips the rest, in a third of the time that [`evenhand_core::event::Event::parse_stored`] takes; a property test holds
/// the two to each other.
///
/// # Errors
/// The bytes are no event that carries a unit.
pub fn units_of(canonical: &str) -> Result<Vec<Unit<'_>>, EventError> {
    use evenhand_core::event::EventErrorCode as Code;
    let ids: Ids<'_> = serde_json::from_str(canonical)
        .map_err(|e| EventError::new(Code::InvalidJson, "", format!("Not a stored event: {e}.")))?;
    let mut units = ids.units.0;
    if let Some(Text(user_id)) = ids.user_id {
        units.push((Cow::Borrowed(USER_ID), user_id));
    }
    if units.is_empty() {
        return Err(EventError::new(Code::MissingUnit, "", "A stored event without a unit."));
    }
    units.sort_unstable();
    Ok(units)
}

/// What Kafka's key of an event is: its user, else the first of its units.
pub(crate) fn event_key<'u>(units: &'u [Unit<'_>]) -> &'u str {
    units
        .iter()
        .find(|(unit_type, _)| unit_type == USER_ID)
        .or(units.first())
        .map_or("", |(_, id)| id.as_ref())
}

#[derive(Deserialize)]
struct Ids<'a> {
    #[serde(borrow)]
    user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    units: Pairs<'a>,
}

/// A string that borrows where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Default)]
struct Pairs<'a>(Vec<Unit<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of unit ids")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((Text(unit_type), Text(id))) = map.next_entry()? {
                    pairs.push((unit_type, id));
                }
                Ok(Pairs(pairs))
            }
            fn visit_none<E>(self) -> Result<Pairs<'de>, E> {
                Ok(Pairs::default())
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The key of a record in the units topic: `<environment>/<unit type>/<stored id>`.
///
/// `%` and `/` in the first two are written `%25` and `%2F`, so that a key means one unit; the id stands as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitKey {
    /// The environment.
    pub environment: String,
    /// The unit type, such as `user_id`.
    pub unit_type: String,
    /// The id as stored.
    pub id: String,
}

impl UnitKey {
    /// The bytes of the key.
    #[must_use]
    pub fn encode(environment: &str, unit_type: &str, id: &str) -> String {
        let mut key = String::with_capacity(environment.len() + unit_type.len() + id.len() + 2);
        for part in [environment, unit_type] {
            for character in part.chars() {
                match character {
                    '%' => key.push_str("%25"),
                    '/' => key.push_str("%2F"),
                    other => key.push(other),
                }
            }
            key.push('/');
        }
        key.push_str(id);
        key
    }

    /// Reads a key back; None if it is none.
    #[must_use]
    pub fn decode(key: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(key).ok()?.splitn(3, '/');
        let plain = |part: &str| part.replace("%2F", "/").replace("%25", "%");
        let unit = Self {
            environment: plain(parts.next()?),
            unit_type: plain(parts.next()?),
            id: parts.next()?.to_owned(),
        };
        (!unit.environment.is_empty() && !unit.unit_type.is_empty() && !unit.id.is_empty()).then_some(unit)
    }
}

/// Anything at all in JSON.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use evenhand_core::event::Event;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The short reading of canonical bytes finds what the core's own reading finds, whatever stands in them.
        #[test]
        fn short_and_full_reading_agree(
            user in proptest::option::of(".{1,12}"),
            units in proptest::collection::btree_map("[^\0]{1,6}", ".{1,12}", 0..4),
            name in ".{1,8}",
            text in ".{0,12}",
        ) {
            let units: std::collections::BTreeMap<_, _> = units.into_iter().filter(|(key, _)| key != "user_id").collect();
            prop_assume!(user.is_some() || !units.is_empty());
            let json = serde_json::json!({
                "event_id": "0190a000-0000-7000-8000-000000000001", "event_name": format!("e{name}"), "timestamp": 5,
                "user_id": user, "units": units,
                "properties": {"user_id": text, "units": {"x": text}, "n": 1.5, "a": [null, true]},
            });
            let event = Event::parse(json.to_string().as_bytes());
            prop_assume!(event.is_ok());
            let canonical = String::from_utf8(event.unwrap().canonical_bytes().unwrap()).unwrap();
            let full = Event::parse_stored(canonical.as_bytes()).unwrap();
            let short = units_of(&canonical).unwrap();
            let expected: Vec<_> = full.units.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let found: Vec<_> = short.iter().map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
            prop_assert_eq!(&found, &expected);
            let key = full.units.get("user_id").or(full.units.values().next()).unwrap();
            prop_assert_eq!(event_key(&short), key);
        }

        #[test]
        fn a_key_means_one_unit(environment in "[a-z/%2F5]{1,6}", unit_type in "[a-z/%2F5]{1,6}", id in ".{1,8}") {
            let key = UnitKey::encode(&environment, &unit_type, &id);
            prop_assert_eq!(UnitKey::decode(key.as_bytes()), Some(UnitKey { environment, unit_type, id }));
        }
    }

    #[test]
    fn ordinary_keys_stand_as_they_are() {
        assert_eq!(
            UnitKey::encode("production", "user_id", "~6dc6/x%"),
            "production/user_id/~6dc6/x%"
        );
        for bad in ["", "a", "a/b", "a/b/", "/b/c", "a//c"] {
            assert_eq!(UnitKey::decode(bad.as_bytes()), None, "{bad}");
        }
        assert!(units_of("{\"event_name\":\"x\"}").is_err());
        assert!(units_of("[1]").is_err());
    }
}
