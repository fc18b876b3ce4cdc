//! Unit histories in memory: the facts of a unit, and what they come to below an offset.

use std::collections::{BTreeMap, HashMap};

use evenhand_clickhouse::HistoryRow;
use evenhand_core::event::EventId;
use evenhand_pipeline::process::{Exposure, UnitEvent, UnitKey, names::Names};

/// A unit of an environment (its number) on a partition.
pub(crate) type Place = (u32, i64, UnitKey);

/// A record as it stands in the log.
#[derive(Debug)]
pub(crate) struct Fact {
    offset: u64,
    digest: [u8; 32],
    event: UnitEvent,
}

impl Fact {
    pub fn of(row: &HistoryRow<'_>, names: &mut Names) -> Self {
        let exposure = (!row.experiment.is_empty()).then(|| Exposure {
            experiment: names.of(row.experiment),
            variation: names.of(row.variation),
            phase: row.phase,
            epoch: row.epoch,
            overridden: row.overridden != 0,
        });
        Self {
            offset: row.offset(),
            digest: row.digest,
            event: UnitEvent {
                time: row.time,
                id: EventId::from_bytes(row.event_id),
                name: names.of(row.event_name),
                unit_type: names.of(row.unit_type),
                key_kind: row.key_kind,
                exposure,
                value: row.value,
                properties: (!row.properties.is_empty()).then(|| row.properties.to_owned()),
            },
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.event.properties.as_ref().map_or(0, String::capacity)
    }

    /// Facts of one event stand together, the one that counts first.
    fn rank(&self) -> (EventId, i64, &[u8; 32]) {
        (self.event.id, self.event.time, &self.digest)
    }
}

/// The facts of one unit.
#[derive(Debug, Default)]
pub(crate) struct History {
    facts: Vec<Fact>,
    bytes: usize,
}

/// Below which offset an event is taken out of a unit by erasures, by event id.
pub(crate) type Erased = HashMap<[u8; 16], u64>;

impl History {
    /// Takes facts in; of equal ones the least offset stays. True when anything is new.
    pub fn add(&mut self, facts: Vec<Fact>) -> bool {
        let mut is_new = false;
        for fact in facts {
            match self.facts.binary_search_by(|known| known.rank().cmp(&fact.rank())) {
                Ok(at) => {
                    if let Some(known) = self.facts.get_mut(at).filter(|known| known.offset > fact.offset) {
                        *known = fact;
                        is_new = true;
                    }
                }
                Err(at) => {
                    self.bytes += fact.bytes();
                    self.facts.insert(at, fact);
                    is_new = true;
                }
            }
        }
        is_new
    }

    /// Takes in what was read: sorted at once, since a unit may have much.
    pub fn read(mut facts: Vec<Fact>) -> Self {
        facts.sort_by(|a, b| a.rank().cmp(&b.rank()).then(a.offset.cmp(&b.offset)));
        facts.dedup_by(|later, kept| later.rank() == kept.rank());
        let bytes = facts.iter().map(Fact::bytes).sum();
        Self { facts, bytes }
    }

    /// The events that count, in order of (time, event id): of each event id the least record that is not erased.
    pub fn events(&self, erased: Option<&Erased>) -> Vec<&UnitEvent> {
        let mut events: Vec<&UnitEvent> = Vec::with_capacity(self.facts.len());
        let mut last: Option<EventId> = None;
        for fact in &self.facts {
            let id = fact.event.id;
            if last == Some(id) {
                continue;
            }
            let gone = erased.and_then(|erased| erased.get(id.as_bytes()));
            if gone.is_some_and(|below| fact.offset < *below) {
                continue;
            }
            last = Some(id);
            events.push(&fact.event);
        }
        events.sort_unstable_by_key(|event| (event.time, event.id));
        events
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of::<Place>() * 3 + self.bytes
    }
}

/// The histories that were used last, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct Histories {
    entries: HashMap<Place, (u64, History)>,
    by_use: BTreeMap<u64, Place>,
    tick: u64,
    bytes: usize,
    limit: usize,
    /// Histories dropped for want of memory.
    pub evicted: u64,
}

impl Histories {
    pub fn new(limit: usize) -> Self {
        Self {
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            tick: 0,
            bytes: 0,
            limit,
            evicted: 0,
        }
    }

    #[cfg(test)]
    fn holds(&self, place: &Place) -> bool {
        self.entries.contains_key(place)
    }

    /// Takes a history out, to be put back when it was worked on: what is in work is never dropped.
    pub fn take(&mut self, place: &Place) -> Option<History> {
        let (tick, history) = self.entries.remove(place)?;
        self.by_use.remove(&tick);
        self.bytes = self.bytes.saturating_sub(history.bytes());
        Some(history)
    }

    pub fn put(&mut self, place: Place, history: History) {
        self.tick += 1;
        self.bytes += history.bytes();
        self.by_use.insert(self.tick, place);
        self.entries.insert(place, (self.tick, history));
        while self.bytes > self.limit {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            if let Some((_, gone)) = self.entries.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(gone.bytes());
                self.evicted += 1;
            }
        }
    }

    /// Forgets a partition.
    pub fn forget(&mut self, partition: u32) {
        let gone: Vec<Place> = self
            .entries
            .keys()
            .filter(|place| place.0 == partition)
            .copied()
            .collect();
        for place in gone {
            self.take(&place);
        }
    }

    pub fn clear(&mut self) {
        let (tick, evicted) = (self.tick, self.evicted);
        *self = Self {
            tick,
            evicted,
            ..Self::new(self.limit)
        };
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(id: u8, time: i64, digest: u8, offset: u64) -> Fact {
        Fact {
            offset,
            digest: [digest; 32],
            event: UnitEvent {
                time,
                id: EventId::from_bytes([id; 16]),
                name: 1,
                unit_type: 1,
                key_kind: 0,
                exposure: None,
                value: None,
                properties: None,
            },
        }
    }

    fn shown(history: &History, erased: Option<&Erased>) -> Vec<(u8, i64)> {
        history
            .events(erased)
            .iter()
            .map(|e| (e.id.as_bytes()[0], e.time))
            .collect()
    }

    #[test]
    fn the_least_record_of_an_event_counts_and_an_erased_one_does_not_come_back() {
        let mut history = History::read(vec![fact(1, 9, 5, 3), fact(1, 9, 5, 2), fact(2, 4, 1, 7)]);
        assert_eq!(shown(&history, None), [(2, 4), (1, 9)]);
        assert!(!history.add(vec![fact(1, 9, 5, 8)]), "a resend is nothing new");
        assert!(history.add(vec![fact(1, 3, 9, 8)]), "a lesser record is");
        assert_eq!(shown(&history, None), [(1, 3), (2, 4)]);
        let erased = Erased::from([([1; 16], 8)]);
        assert_eq!(
            shown(&history, Some(&erased)),
            [(1, 3), (2, 4)],
            "the record at offset 8 came after the erasure"
        );
        let erased = Erased::from([([1; 16], 9)]);
        assert_eq!(shown(&history, Some(&erased)), [(2, 4)]);
    }

    #[test]
    fn memory_is_bounded_and_the_least_used_goes_first() {
        let one = History::read(vec![fact(1, 1, 1, 1)]).bytes();
        let mut all = Histories::new(3 * one);
        let place = |n: u8| (u32::from(n % 2), 1, UnitKey([n; 16]));
        for n in 0..3 {
            all.put(place(n), History::read(vec![fact(1, 1, 1, 1)]));
        }
        let first = all.take(&place(0)).unwrap();
        all.put(place(0), first);
        all.put(place(3), History::read(vec![fact(1, 1, 1, 1)]));
        assert_eq!(
            (all.holds(&place(0)), all.holds(&place(1)), all.holds(&place(3))),
            (true, false, true)
        );
        assert_eq!((all.evicted, all.bytes()), (1, 3 * one));
        all.forget(0);
        assert_eq!((all.holds(&place(0)), all.bytes()), (false, one));
    }
}
