//! The fastest context: values already at the places a snapshot asks for.

use crate::context::{AttributeKey, Attributes, Forced, ListHandle, OwnedValue, Sticky, StickyRecord, Value};
use crate::snapshot::Snapshot;

/// A context made for one snapshot: each value stands in the slot of its attribute, all texts stand in one buffer.
///
/// With another snapshot the same slots mean other attributes: make a new one when the snapshot is swapped.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    slots: Box<[Slot]>,
    text: String,
    lists: Vec<Vec<OwnedValue>>,
    sticky: Vec<StickyRecord>,
    forced: Vec<(Box<str>, Box<str>)>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Slot {
    #[default]
    Missing,
    Str {
        at: u32,
        len: u32,
    },
    Num(f64),
    Bool(bool),
    List(u32),
    Unusable,
}

impl Slots {
    /// Empty slots for the attributes of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            slots: vec![Slot::Missing; snapshot.attributes().len()].into(),
            ..Self::default()
        }
    }

    /// Sets an attribute by its index in [`Snapshot::attributes`]. An index beyond them is ignored: nobody asks for it.
    pub fn set(&mut self, index: usize, value: Value<'_>) -> &mut Self {
        let value = match value {
            Value::Missing => Slot::Missing,
            Value::Num(number) => Slot::Num(number),
            Value::Bool(bool) => Slot::Bool(bool),
            // A list is set with `set_list`: a handle means nothing here.
            Value::List(_) | Value::Unusable => Slot::Unusable,
            Value::Str(text) => match (u32::try_from(self.text.len()), u32::try_from(text.len())) {
                (Ok(at), Ok(len)) if text.len() <= crate::context::MAX_STRING_BYTES => {
                    self.text.push_str(text);
                    Slot::Str { at, len }
                }
                _ => Slot::Unusable,
            },
        };
        self.put(index, value);
        self
    }

    /// Sets an attribute to a list.
    pub fn set_list(&mut self, index: usize, elements: Vec<OwnedValue>) -> &mut Self {
        let at = u32::try_from(self.lists.len()).map_or(Slot::Unusable, Slot::List);
        self.lists.push(elements);
        self.put(index, at);
        self
    }

    /// Adds a stored assignment.
    pub fn set_sticky(&mut self, record: StickyRecord) -> &mut Self {
        self.sticky.retain(|other| other.experiment != record.experiment);
        self.sticky.push(record);
        self
    }

    /// Forces a variation of a flag. The host has verified the token it came from.
    pub fn set_forced(&mut self, flag: &str, variation: &str) -> &mut Self {
        self.forced.retain(|(other, _)| **other != *flag);
        self.forced.push((flag.into(), variation.into()));
        self
    }

    /// Empties all slots and keeps their memory: for the next unit.
    pub fn clear(&mut self) {
        self.slots.fill(Slot::Missing);
        self.text.clear();
        self.lists.clear();
        self.sticky.clear();
        self.forced.clear();
    }

    fn put(&mut self, index: usize, value: Slot) {
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = value;
        }
    }
}

impl Attributes for Slots {
    #[inline(always)]
    fn get(&self, key: AttributeKey<'_>) -> Value<'_> {
        match self.slots.get(key.index) {
            Some(Slot::Str { at, len }) => {
                let at = *at as usize;
                self.text
                    .get(at..at.wrapping_add(*len as usize))
                    .map_or(Value::Unusable, Value::Str)
            }
            Some(Slot::Num(number)) => Value::Num(*number),
            Some(Slot::Bool(bool)) => Value::Bool(*bool),
            Some(Slot::List(list)) => {
                let len = self.lists.get(*list as usize).map_or(0, Vec::len);
                Value::List(ListHandle {
                    token: u64::from(*list),
                    len,
                })
            }
            Some(Slot::Unusable) => Value::Unusable,
            Some(Slot::Missing) | None => Value::Missing,
        }
    }

    fn element(&self, list: ListHandle, index: usize) -> Value<'_> {
        let list = usize::try_from(list.token).ok().and_then(|list| self.lists.get(list));
        match list.and_then(|list| list.get(index)) {
            Some(OwnedValue::Str(text)) => Value::Str(text),
            Some(OwnedValue::Num(number)) => Value::Num(*number),
            Some(OwnedValue::Bool(bool)) => Value::Bool(*bool),
            Some(OwnedValue::List(_) | OwnedValue::Unusable) | None => Value::Unusable,
        }
    }

    #[inline]
    fn sticky(&self, experiment: &str) -> Option<Sticky<'_>> {
        let record = self.sticky.iter().find(|record| record.experiment == experiment)?;
        Some(Sticky {
            phase: record.phase,
            unit: &record.unit,
            variation: &record.variation,
        })
    }

    #[inline(always)]
    fn forced(&self, index: usize) -> Option<Forced<'_>> {
        self.forced
            .get(index)
            .map(|(flag, variation)| Forced { flag, variation })
    }
}
