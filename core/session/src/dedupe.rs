//! Which exposures were queued lately: a bounded memory, least recently used first out, with a lifetime.

use core::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use crate::clock::Moment;

/// An exposure's identity: 128 bits, keyed by the session's entropy, so that nobody can craft two ids that meet.
pub(crate) type Key = u128;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: Key,
    /// When its event was queued.
    at: Moment,
    /// The event that was queued: forgetting is for that one only.
    seq: u64,
    before: u32,
    after: u32,
}

/// A list over slots, most recently used first, and a table that finds them.
#[derive(Debug)]
pub(crate) struct Dedupe {
    seeds: (FixedState, FixedState),
    table: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    first: u32,
    last: u32,
    capacity: usize,
}

impl Dedupe {
    pub fn new(entropy: &[u8; 16], capacity: u64) -> Self {
        let whole = u128::from_be_bytes(*entropy);
        Self {
            seeds: (
                FixedState::with_seed(whole as u64),
                FixedState::with_seed(whole.wrapping_shr(64) as u64),
            ),
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            first: NONE,
            last: NONE,
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
        }
    }

    pub fn key(&self, parts: &impl Hash) -> Key {
        let (low, high) = (self.seeds.0.hash_one(parts), self.seeds.1.hash_one(parts));
        u128::from(high).wrapping_shl(64) | u128::from(low)
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the exposure was queued less than `ttl` ago. Then it is the most recently used.
    pub fn holds(&mut self, key: Key, now: Moment, ttl: i64) -> bool {
        let Some((at, slot)) = self.find(key) else { return false };
        if now.saturating_sub(slot.at) >= ttl {
            self.remove(at);
            return false;
        }
        self.unlink(at);
        self.link_first(at);
        true
    }

    /// Remembers an exposure that [`Dedupe::holds`] has just denied.
    pub fn insert(&mut self, key: Key, now: Moment, seq: u64) {
        if self.capacity == 0 {
            return;
        }
        if self.table.len() >= self.capacity {
            self.remove(self.last);
        }
        let slot = Slot {
            key,
            at: now,
            seq,
            before: NONE,
            after: NONE,
        };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.slots.get_mut(at as usize) {
                    *place = slot;
                }
                at
            }
            None => {
                // The capacity is at most ten million.
                let at = self.slots.len() as u32;
                self.slots.push(slot);
                at
            }
        };
        let slots = &self.slots;
        self.table.insert_unique(key as u64, at, |at| {
            slots.get(*at as usize).map_or(0, |slot| slot.key as u64)
        });
        self.link_first(at);
    }

    /// Forgets an exposure whose event was dropped, so that the unit's next one is queued. If the exposure was queued anew
    /// since, that one stays.
    pub fn forget(&mut self, key: Key, seq: u64) {
        if let Some((at, slot)) = self.find(key) {
            if slot.seq == seq {
                self.remove(at);
            }
        }
    }

    fn find(&self, key: Key) -> Option<(u32, Slot)> {
        let same = |at: &u32| self.slots.get(*at as usize).is_some_and(|slot| slot.key == key);
        let at = *self.table.find(key as u64, same)?;
        Some((at, *self.slots.get(at as usize)?))
    }

    fn remove(&mut self, at: u32) {
        let Some(key) = self.slots.get(at as usize).map(|slot| slot.key) else {
            return;
        };
        self.unlink(at);
        if let Ok(entry) = self.table.find_entry(key as u64, |other| *other == at) {
            entry.remove();
            self.free.push(at);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize).copied() else {
            return;
        };
        match self.slots.get_mut(slot.before as usize) {
            Some(before) => before.after = slot.after,
            None => self.first = slot.after,
        }
        match self.slots.get_mut(slot.after as usize) {
            Some(after) => after.before = slot.before,
            None => self.last = slot.before,
        }
    }

    fn link_first(&mut self, at: u32) {
        let first = self.first;
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.before = NONE;
            slot.after = first;
        }
        match self.slots.get_mut(first as usize) {
            Some(second) => second.before = at,
            None => self.last = at,
        }
        self.first = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the plainest model: a list searched from the front.
        #[test]
        fn as_a_list_would(
            steps in prop::collection::vec((0u8..12, 0i64..40, 0u8..4), 0..400),
            capacity in 0u64..6,
        ) {
            let mut dedupe = Dedupe::new(&[3; 16], capacity);
            let mut model: Vec<(u8, i64, u64)> = Vec::new();
            let (mut now, mut seq) = (0, 0);
            for (name, passed, kind) in steps {
                now += passed;
                let key = dedupe.key(&name);
                if kind == 0 {
                    let forgotten = model.iter().find(|entry| entry.0 == name).map_or(99, |entry| entry.2);
                    dedupe.forget(key, forgotten);
                    model.retain(|entry| entry.0 != name);
                } else if kind == 1 {
                    dedupe.forget(key, u64::MAX);
                } else {
                    let place = model.iter().position(|entry| entry.0 == name);
                    let fresh = place.is_some_and(|at| now - model[at].1 < 100);
                    prop_assert_eq!(dedupe.holds(key, now, 100), fresh);
                    let entry = place.map(|at| model.remove(at));
                    if fresh {
                        model.insert(0, entry.unwrap());
                    } else {
                        seq += 1;
                        dedupe.insert(key, now, seq);
                        model.insert(0, (name, now, seq));
                        model.truncate(capacity as usize);
                    }
                }
                prop_assert_eq!(dedupe.len(), model.len());
                prop_assert!(dedupe.slots.len() <= capacity as usize);
            }
        }
    }
}
