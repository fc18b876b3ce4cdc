//! The fastest context: values already at the places a snapshot asks for.

use compact_str::CompactString;

use crate::context::{
    AttributeKey, Attributes, Context, Forced, ListHandle, MAX_STRING_BYTES, OwnedValue, Sticky, StickyRecord, Value,
};
use crate::snapshot::Snapshot;

/// Slots inside the struct itself.
const INLINE_SLOTS: usize = 6;
/// Bytes of text inside a slot: what a [`CompactString`] holds without an allocation.
const INLINE_BYTES: usize = size_of::<CompactString>();

/// A context made for one snapshot: each value stands in the slot of its attribute.
///
/// With another snapshot the same slots mean other attributes: make a new one when the snapshot is swapped.
///
/// The first attributes, and texts of up to 24 bytes, lie inside the struct, in the order they are looked at: the context
/// of a unit that has not been seen for a while costs one trip to memory, not four (measured: more than half of a decision).
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub struct Slots {
    records: Option<Box<Records>>,
    first: [Slot; INLINE_SLOTS],
    more: Box<[Slot]>,
    /// Longer texts.
    text: String,
}

/// What few contexts have.
#[derive(Clone, Debug, Default)]
struct Records {
    lists: Vec<Vec<OwnedValue>>,
    sticky: Vec<StickyRecord>,
    forced: Vec<(Box<str>, Box<str>)>,
}

/// 24 bytes: the compiler keeps the other variants' marks where no text of a [`CompactString`] can be.
#[derive(Clone, Debug, Default)]
enum Slot {
    #[default]
    Missing,
    /// At most [`INLINE_BYTES`]. Known to be UTF-8: bytes of our own would have to be checked at every look (a fifth of a decision).
    Short(CompactString),
    Long {
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
        let more = snapshot.attributes().len().saturating_sub(INLINE_SLOTS);
        Self {
            more: vec![Slot::Missing; more].into(),
            ..Self::default()
        }
    }

    /// The slots of a context: for many decisions of one snapshot in a row.
    pub fn of(snapshot: &Snapshot, context: &Context) -> Self {
        let mut slots = Self::new(snapshot);
        for (name, value) in context.attributes() {
            let Some(key) = snapshot.attribute(name) else { continue };
            match value {
                OwnedValue::List(elements) => slots.set_list(key.index, elements.clone()),
                OwnedValue::Str(text) => slots.set(key.index, Value::Str(text)),
                OwnedValue::Num(number) => slots.set(key.index, Value::Num(*number)),
                OwnedValue::Bool(bool) => slots.set(key.index, Value::Bool(*bool)),
                OwnedValue::Unusable => slots.set(key.index, Value::Unusable),
            };
        }
        for record in context.sticky_records() {
            slots.set_sticky(record.clone());
        }
        for (flag, variation) in context.forced_variations() {
            slots.set_forced(flag, variation);
        }
        slots
    }

    /// Sets an attribute by its index in [`Snapshot::attributes`]. An index beyond them is ignored: nobody asks for it.
    pub fn set(&mut self, index: usize, value: Value<'_>) -> &mut Self {
        let value = match value {
            Value::Missing => Slot::Missing,
            Value::Num(number) => Slot::Num(number),
            Value::Bool(bool) => Slot::Bool(bool),
            // A list is set with `set_list`: a handle means nothing here.
            Value::List(_) | Value::Unusable => Slot::Unusable,
            Value::Str(text) => self.text_slot(text),
        };
        self.put(index, value);
        self
    }

    fn text_slot(&mut self, text: &str) -> Slot {
        if text.len() <= INLINE_BYTES {
            return Slot::Short(CompactString::new(text));
        }
        match (u32::try_from(self.text.len()), u32::try_from(text.len())) {
            (Ok(at), Ok(len)) if text.len() <= MAX_STRING_BYTES => {
                self.text.push_str(text);
                Slot::Long { at, len }
            }
            _ => Slot::Unusable,
        }
    }

    /// Sets an attribute to a list.
    pub fn set_list(&mut self, index: usize, elements: Vec<OwnedValue>) -> &mut Self {
        let lists = &mut self.records.get_or_insert_default().lists;
        let at = u32::try_from(lists.len()).map_or(Slot::Unusable, Slot::List);
        lists.push(elements);
        self.put(index, at);
        self
    }

    /// Adds a stored assignment.
    pub fn set_sticky(&mut self, record: StickyRecord) -> &mut Self {
        let sticky = &mut self.records.get_or_insert_default().sticky;
        sticky.retain(|other| other.experiment != record.experiment);
        sticky.push(record);
        self
    }

    /// Forces a variation of a flag. The host has verified the token it came from.
    pub fn set_forced(&mut self, flag: &str, variation: &str) -> &mut Self {
        let forced = &mut self.records.get_or_insert_default().forced;
        forced.retain(|(other, _)| **other != *flag);
        forced.push((flag.into(), variation.into()));
        self
    }

    /// Empties all slots and keeps their memory: for the next unit.
    pub fn clear(&mut self) {
        self.first.fill(Slot::Missing);
        self.more.fill(Slot::Missing);
        self.text.clear();
        self.records = None;
    }

    #[inline(never)]
    fn rare<'a>(&'a self, slot: &'a Slot) -> Value<'a> {
        match slot {
            Slot::Missing => Value::Missing,
            Slot::Short(text) => Value::Str(text),
            Slot::Long { at, len } => {
                let at = *at as usize;
                let text = self.text.get(at..at.wrapping_add(*len as usize));
                text.map_or(Value::Unusable, Value::Str)
            }
            Slot::Num(number) => Value::Num(*number),
            Slot::Bool(bool) => Value::Bool(*bool),
            Slot::List(list) => {
                let lists = self.records.as_ref().map(|records| &records.lists);
                let len = lists.and_then(|lists| lists.get(*list as usize)).map_or(0, Vec::len);
                Value::List(ListHandle {
                    token: u64::from(*list),
                    len,
                })
            }
            Slot::Unusable => Value::Unusable,
        }
    }

    fn put(&mut self, index: usize, value: Slot) {
        let slot = match self.first.get_mut(index) {
            Some(slot) => Some(slot),
            None => self.more.get_mut(index.wrapping_sub(INLINE_SLOTS)),
        };
        if let Some(slot) = slot {
            *slot = value;
        }
    }
}

impl Attributes for Slots {
    #[inline(always)]
    fn get(&self, key: AttributeKey<'_>) -> Value<'_> {
        let slot = match self.first.get(key.index) {
            Some(slot) => Some(slot),
            None => self.more.get(key.index.wrapping_sub(INLINE_SLOTS)),
        };
        match slot {
            // Most are: no table of jumps on the way to them.
            Some(Slot::Short(text)) => Value::Str(text),
            Some(slot) => self.rare(slot),
            None => Value::Missing,
        }
    }

    fn element(&self, list: ListHandle, index: usize) -> Value<'_> {
        let lists = self.records.as_ref().map(|records| &records.lists);
        let list = lists
            .zip(usize::try_from(list.token).ok())
            .and_then(|(lists, list)| lists.get(list));
        match list.and_then(|list| list.get(index)) {
            Some(OwnedValue::Str(text)) => Value::Str(text),
            Some(OwnedValue::Num(number)) => Value::Num(*number),
            Some(OwnedValue::Bool(bool)) => Value::Bool(*bool),
            Some(OwnedValue::List(_) | OwnedValue::Unusable) | None => Value::Unusable,
        }
    }

    #[inline]
    fn sticky(&self, experiment: &str) -> Option<Sticky<'_>> {
        let mut records = self.records.as_ref()?.sticky.iter();
        let record = records.find(|record| record.experiment == experiment)?;
        Some(Sticky {
            phase: record.phase,
            unit: &record.unit,
            variation: &record.variation,
        })
    }

    #[inline(always)]
    fn forced(&self, index: usize) -> Option<Forced<'_>> {
        let forced = &self.records.as_ref()?.forced;
        forced.get(index).map(|(flag, variation)| Forced { flag, variation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_of_a_usual_context_fill_three_cache_lines() {
        assert_eq!((size_of::<Slot>(), size_of::<Slots>()), (24, 192));
    }
}
