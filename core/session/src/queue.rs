//! Events that are not yet delivered: a bounded queue, the oldest first out.

use std::collections::VecDeque;

use evenhand_core::event::EventId;
use serde_json::value::RawValue;

use crate::clock::Moment;
use crate::dedupe::Key;

/// Which counter an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Exposure,
    Tracked,
}

#[derive(Debug)]
pub(crate) struct Queued {
    pub id: EventId,
    /// Counts up; of events put back, older than all that wait.
    pub seq: u64,
    pub kind: Kind,
    /// The canonical JSON.
    pub json: Box<RawValue>,
    /// The memory of the exposure, so that it can be forgotten.
    pub key: Option<Key>,
    pub since: Moment,
}

impl Queued {
    /// Its bytes and a comma.
    pub fn size(&self) -> usize {
        self.json.get().len().saturating_add(1)
    }
}

/// Both limits hold for waiting and taken events together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub events: usize,
    pub bytes: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Queued>,
    waiting_bytes: usize,
    /// The batch under way, oldest first.
    taken: Vec<Queued>,
    taken_bytes: usize,
}

impl Queue {
    /// Adds an event behind all others. What had to go for it is returned, oldest first; the event itself when there is no
    /// room beside the batch under way.
    pub fn push(&mut self, event: Queued, limits: Limits) -> Vec<Queued> {
        self.waiting_bytes = self.waiting_bytes.saturating_add(event.size());
        self.waiting.push_back(event);
        self.shrink(limits)
    }

    /// Adds events before all others (they are older).
    pub fn push_before(&mut self, events: Vec<Queued>, limits: Limits) -> Vec<Queued> {
        for event in events.into_iter().rev() {
            self.waiting_bytes = self.waiting_bytes.saturating_add(event.size());
            self.waiting.push_front(event);
        }
        self.shrink(limits)
    }

    fn shrink(&mut self, limits: Limits) -> Vec<Queued> {
        let mut dropped = Vec::new();
        while self.len() > limits.events || self.bytes() > limits.bytes {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.waiting_bytes = self.waiting_bytes.saturating_sub(oldest.size());
            dropped.push(oldest);
        }
        dropped
    }

    /// Takes the oldest events for a batch: at least one, then as many as fit both limits.
    pub fn take(&mut self, events: usize, bytes: usize) {
        while let Some(next) = self.waiting.front() {
            let size = next.size();
            let full = self.taken.len() >= events || self.taken_bytes.saturating_add(size) > bytes;
            if full && !self.taken.is_empty() {
                break;
            }
            if let Some(event) = self.waiting.pop_front() {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(size);
                self.taken_bytes = self.taken_bytes.saturating_add(size);
                self.taken.push(event);
            }
        }
    }

    /// The batch was not delivered: its events wait again, before all others.
    pub fn put_back(&mut self) {
        for event in self.taken.drain(..).rev() {
            self.waiting.push_front(event);
        }
        self.waiting_bytes = self.waiting_bytes.saturating_add(self.taken_bytes);
        self.taken_bytes = 0;
    }

    /// The batch is done with.
    pub fn finish(&mut self) -> Vec<Queued> {
        self.taken_bytes = 0;
        core::mem::take(&mut self.taken)
    }

    /// Everything goes, waiting and taken.
    pub fn clear(&mut self) -> Vec<Queued> {
        self.put_back();
        self.waiting_bytes = 0;
        self.waiting.drain(..).collect()
    }

    pub fn taken(&self) -> &[Queued] {
        &self.taken
    }

    pub fn waiting(&self) -> &VecDeque<Queued> {
        &self.waiting
    }

    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    pub fn oldest(&self) -> Option<&Queued> {
        self.waiting.front()
    }

    /// All events, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Queued> {
        self.taken.iter().chain(&self.waiting)
    }

    pub fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.taken.len())
    }

    pub fn bytes(&self) -> usize {
        self.waiting_bytes.saturating_add(self.taken_bytes)
    }
}
