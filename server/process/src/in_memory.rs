//! A log in memory that behaves as the real one does: ranges with ends that stay, one owner a partition, and old owners that don't know yet.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::source::{Finished, Range, RangeSource, Record, SourceError};

/// The log, shared by those who read it.
#[derive(Debug, Clone, Default)]
pub struct InMemoryLog {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    partitions: BTreeMap<u32, Partition>,
    buried: Vec<(u32, u64, String)>,
    members: u64,
}

#[derive(Debug, Default)]
struct Partition {
    records: Vec<Record>,
    /// Begun and not finished, or finished and not followed by another: `from` and `to` as they are committed.
    committed: (u64, Option<u64>),
    owner: u64,
    outstanding: bool,
}

/// One reader of the log. It owns every partition until another takes over.
#[derive(Debug)]
pub struct InMemorySource {
    log: InMemoryLog,
    member: u64,
    /// Records a range has at most.
    pub range_records: u64,
}

impl InMemoryLog {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record; gives its offset.
    pub fn append(&self, partition: u32, key: &[u8], value: &[u8]) -> u64 {
        let mut shared = self.lock();
        let records = &mut shared.partitions.entry(partition).or_default().records;
        let offset = records.len() as u64;
        records.push(Record {
            offset,
            key: key.to_vec(),
            value: value.to_vec(),
        });
        offset
    }

    /// A new reader, which takes every partition from the one before: as after a rebalance.
    #[must_use]
    pub fn join(&self, range_records: u64) -> InMemorySource {
        let mut shared = self.lock();
        shared.members += 1;
        let member = shared.members;
        for partition in shared.partitions.values_mut() {
            partition.owner = member;
            partition.outstanding = false;
        }
        drop(shared);
        InMemorySource {
            log: self.clone(),
            member,
            range_records,
        }
    }

    /// What was put aside: partition, offset, reason.
    #[must_use]
    pub fn buried(&self) -> Vec<(u32, u64, String)> {
        self.lock().buried.clone()
    }
}

impl RangeSource for InMemorySource {
    fn next_range(&mut self, _wait: Duration) -> Result<Option<Range>, SourceError> {
        let mut shared = self.log.lock();
        for (number, partition) in &mut shared.partitions {
            let end = partition.records.len() as u64;
            if partition.owner == 0 {
                partition.owner = self.member;
            }
            if partition.owner != self.member || partition.outstanding {
                continue;
            }
            let (from, begun) = partition.committed;
            let to = match begun {
                Some(to) => to,
                None if from < end => end.min(from + self.range_records),
                None => continue,
            };
            partition.committed = (from, Some(to));
            partition.outstanding = true;
            let within = |record: &&Record| record.offset >= from && record.offset < to;
            let records = partition.records.iter().filter(within).cloned().collect();
            return Ok(Some(Range {
                partition: *number,
                from,
                to,
                records,
                traces: Vec::new(),
            }));
        }
        Ok(None)
    }

    fn finish(&mut self, partition: u32, to: u64) -> Finished {
        let mut shared = self.log.lock();
        match shared.partitions.get_mut(&partition) {
            Some(own) if own.owner == self.member => {
                own.committed = (to, None);
                own.outstanding = false;
                Finished::Done
            }
            _ => Finished::Moved,
        }
    }

    fn owned(&self) -> Vec<u32> {
        let shared = self.log.lock();
        let own = shared
            .partitions
            .iter()
            .filter(|(_, partition)| partition.owner == self.member);
        own.map(|(number, _)| *number).collect()
    }

    fn lag(&self) -> u64 {
        let shared = self.log.lock();
        let own = shared
            .partitions
            .values()
            .filter(|partition| partition.owner == self.member);
        own.map(|partition| partition.records.len() as u64 - partition.committed.0)
            .sum()
    }

    fn bury(&mut self, partition: u32, record: &Record, reason: &str) -> Result<(), SourceError> {
        self.log
            .lock()
            .buried
            .push((partition, record.offset, reason.to_owned()));
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), SourceError> {
        for partition in self.log.lock().partitions.values_mut() {
            if partition.owner == self.member {
                partition.outstanding = false;
            }
        }
        Ok(())
    }
}
