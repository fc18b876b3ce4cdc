//! A context from JSON: what arrives over HTTP, on a command line, in a test vector (`docs/contract/context.md`).
//!
//! Nothing is dropped or coerced silently: an attribute that no operator can use stays in the context as unusable and is
//! reported; a text that is no JSON object, or in which a name stands twice, is an error of the whole context.

mod error;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use error::{ContextError, ContextErrorCode, Unusable};

use crate::context::{Context, MAX_LIST_ELEMENTS, MAX_STRING_BYTES, OwnedValue, StickyRecord};

/// The longest JSON text, in bytes.
pub const MAX_CONTEXT_BYTES: usize = 1 << 20;
/// The most attributes of a context.
pub const MAX_ATTRIBUTES: usize = 10_000;
/// The most sticky assignments of a context, and the most forced variations.
pub const MAX_RECORDS: usize = 2_000;
/// The longest name of an attribute, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// A context, and what in it no operator can use.
#[derive(Clone, Debug, Default)]
pub struct ParsedContext {
    /// The context.
    pub context: Context,
    /// Attributes that are there and unusable, by name: to be reported, for they will match nothing.
    pub unusable: Vec<(String, Unusable)>,
}

/// Reads a JSON object of attributes.
///
/// An attribute that is null is missing. A number is the double nearest to its text. Sticky assignments and forced
/// variations are no part of it: see [`add_sticky`] and [`add_forced`].
pub fn parse_context(bytes: &[u8]) -> Result<ParsedContext, ContextError> {
    let members = members(bytes, "", MAX_ATTRIBUTES)?;
    let mut parsed = ParsedContext::default();
    for (name, text) in members {
        let value = if (1..=MAX_NAME_BYTES).contains(&name.len()) {
            value(text.get())
        } else {
            // No rule can name it: it is reported, and there is nowhere to keep it.
            parsed.unusable.push((name.into_owned(), Unusable::Name));
            continue;
        };
        match value {
            Ok(None) => {}
            Ok(Some(value)) => {
                parsed.context.set(&name, value);
            }
            Err(reason) => {
                parsed.context.set(&name, OwnedValue::Unusable);
                parsed.unusable.push((name.into_owned(), reason));
            }
        }
    }
    Ok(parsed)
}

/// Adds sticky assignments to a context: a list of `{"experiment","phase","unit","variation"}`, or an object from
/// experiment to the rest of its record. One experiment must not stand twice.
pub fn add_sticky(context: &mut Context, bytes: &[u8]) -> Result<(), ContextError> {
    let is_list = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let records: Vec<StickyRecord> = if is_list {
        check_size(bytes)?;
        let records: Bounded<&RawValue, MAX_RECORDS> = read(bytes, bytes, "")?;
        if records.beyond {
            return Err(ContextError::too_many("", "sticky assignments", MAX_RECORDS));
        }
        let mut all = Vec::with_capacity(records.items.len());
        for (index, text) in records.items.into_iter().enumerate() {
            let path = format!("/{index}");
            let record: StickyWire<'_> = read_object(bytes, text.get().as_bytes(), &path)?;
            let experiment = record.experiment.as_deref();
            let experiment = experiment.ok_or_else(|| {
                ContextError::invalid(&path, "the field `experiment` is missing; write the experiment's id")
            })?;
            all.push(record.with(experiment, &path)?);
        }
        all.sort_by(|a, b| a.experiment.cmp(&b.experiment));
        if let Some((twice, _)) = all
            .iter()
            .zip(all.iter().skip(1))
            .find(|(a, b)| a.experiment == b.experiment)
        {
            return Err(ContextError::invalid(
                "",
                &format!(
                    "the experiment `{}` stands twice; give at most one record for each",
                    twice.experiment
                ),
            ));
        }
        all
    } else {
        let mut all = Vec::new();
        for (experiment, text) in members(bytes, "", MAX_RECORDS)? {
            let path = error::pointer("", &experiment);
            let record: StickyWire<'_> = read_object(bytes, text.get().as_bytes(), &path)?;
            if record.experiment.is_some() {
                return Err(ContextError::invalid(
                    &path,
                    "the experiment is named twice; it is the name of this member, remove the field",
                ));
            }
            all.push(record.with(&experiment, &path)?);
        }
        all
    };
    for record in records {
        context.set_sticky(record);
    }
    Ok(())
}

/// Adds forced variations to a context: an object from flag to variation. The caller has verified the tokens they come
/// from (or is a test).
pub fn add_forced(context: &mut Context, bytes: &[u8]) -> Result<(), ContextError> {
    for (flag, text) in members(bytes, "", MAX_RECORDS)? {
        let path = error::pointer("", &flag);
        let variation: Text<'_> = read(bytes, text.get().as_bytes(), &path)?;
        context.set_forced(&flag, &variation.0);
    }
    Ok(())
}

/// A sticky assignment as it stands in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StickyWire<'a> {
    #[serde(borrow, default)]
    experiment: Option<Cow<'a, str>>,
    phase: u32,
    #[serde(borrow)]
    unit: Cow<'a, str>,
    #[serde(borrow)]
    variation: Cow<'a, str>,
}

impl StickyWire<'_> {
    fn with(&self, experiment: &str, path: &str) -> Result<StickyRecord, ContextError> {
        if self.phase == 0 {
            return Err(ContextError::invalid(path, "`phase` is 0; phases are counted from 1"));
        }
        Ok(StickyRecord {
            experiment: experiment.to_owned(),
            phase: self.phase,
            unit: self.unit.clone().into_owned(),
            variation: self.variation.clone().into_owned(),
        })
    }
}

/// An attribute's value: `None` when it is null.
fn value(text: &str) -> Result<Option<OwnedValue>, Unusable> {
    if text.starts_with('[') {
        // The text has been read as JSON before: only its elements' kinds and number are open.
        let list: Bounded<&RawValue, MAX_LIST_ELEMENTS> =
            serde_json::from_str(text).map_err(|_| Unusable::ListElement)?;
        if list.beyond {
            return Err(Unusable::LongList);
        }
        let mut elements = Vec::with_capacity(list.items.len());
        for element in list.items {
            match scalar(element.get()) {
                Ok(Some(value)) => elements.push(value),
                Ok(None) | Err(_) => return Err(Unusable::ListElement),
            }
        }
        return Ok(Some(OwnedValue::List(elements)));
    }
    scalar(text)
}

fn scalar(text: &str) -> Result<Option<OwnedValue>, Unusable> {
    match text.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b't') => Ok(Some(OwnedValue::Bool(true))),
        Some(b'f') => Ok(Some(OwnedValue::Bool(false))),
        Some(b'"') => string(text).map(|text| Some(OwnedValue::Str(text))),
        Some(b'-' | b'0'..=b'9') => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(OwnedValue::Num(number))),
            _ => Err(Unusable::Number),
        },
        Some(b'[') => Err(Unusable::ListElement),
        _ => Err(Unusable::Object),
    }
}

/// A JSON string. Read as bytes, because as text a lone surrogate would be an error of the whole context.
fn string(text: &str) -> Result<String, Unusable> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Result<String, Unusable>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            if bytes.len() > MAX_STRING_BYTES {
                return Ok(Err(Unusable::LongString));
            }
            Ok(std::str::from_utf8(bytes)
                .map(str::to_owned)
                .map_err(|_| Unusable::Surrogate))
        }
    }
    serde_json::Deserializer::from_str(text)
        .deserialize_bytes(Bytes)
        .unwrap_or(Err(Unusable::Surrogate))
}

/// The members of a JSON object in ascending order of their names, none of which stands twice.
fn members<'a>(bytes: &'a [u8], path: &str, limit: usize) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, ContextError> {
    check_size(bytes)?;
    let Members(mut members) = read(bytes, bytes, path)?;
    if members.len() > limit {
        return Err(ContextError::too_many(path, "members", limit));
    }
    // Stable: of two equal names the later one stands second.
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    let twice = members
        .iter()
        .zip(members.iter().skip(1))
        .find(|((a, _), (b, _))| a == b);
    match twice {
        None => Ok(members),
        Some((_, (name, text))) => Err(ContextError::twice(bytes, text.get(), &error::pointer(path, name))),
    }
}

fn check_size(bytes: &[u8]) -> Result<(), ContextError> {
    if bytes.len() > MAX_CONTEXT_BYTES {
        Err(ContextError::too_large(bytes.len()))
    } else {
        Ok(())
    }
}

/// Reads a part of `whole`; an error's place is that in the whole.
fn read<'a, T: Deserialize<'a>>(whole: &[u8], part: &'a [u8], path: &str) -> Result<T, ContextError> {
    serde_json::from_slice(part).map_err(|error| ContextError::from_json(&error, whole, part, path))
}

/// As [`read`], for a derived struct: serde's derive would also take its fields in an array.
fn read_object<'a, T: Deserialize<'a>>(whole: &[u8], part: &'a [u8], path: &str) -> Result<T, ContextError> {
    if part.first() != Some(&b'{') {
        return Err(ContextError::invalid(
            path,
            "not an object; write the record as {\"phase\":1,\"unit\":\"…\",\"variation\":\"…\"}",
        ));
    }
    read(whole, part, path)
}

/// Text, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Text(name)) = map.next_key()? {
                    members.push((name, map.next_value::<&RawValue>()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A list of at most `LIMIT` items; those beyond are counted as being there, and not kept.
struct Bounded<T, const LIMIT: usize> {
    items: Vec<T>,
    beyond: bool,
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Bounded<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const LIMIT: usize>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for List<T, LIMIT> {
            type Value = Bounded<T, LIMIT>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Bounded {
                    items: Vec::new(),
                    beyond: false,
                };
                while list.items.len() < LIMIT {
                    match seq.next_element()? {
                        Some(item) => list.items.push(item),
                        None => return Ok(list),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.beyond = true;
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(List(std::marker::PhantomData))
    }
}
