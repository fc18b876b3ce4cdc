//! Reading the spool: once at the start, to know what is there and to cut off an unfinished write; then in order, to send it.

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::unix::fs::FileExt,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
};

use super::{Entry, Segment, Shared, State, frame, frame::Piece, sync_dir, writer::Job};
use crate::error::KafkaError;

/// Bytes read and sent at a time, beyond its first segment.
const WINDOW_BYTES: u64 = 4 << 20;

/// What is read and sent at a time: one segment or several small ones.
#[derive(Default)]
pub(crate) struct Window {
    pub(crate) entries: Vec<Entry>,
    parts: Vec<Part>,
}

/// A segment is done up to here.
struct Part {
    number: u64,
    to: u64,
    events: u64,
}

/// The one reader. What it has handed out and nobody called done is handed out again.
pub(crate) struct SpoolReader {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    /// The segment being read, and how far it is done.
    at: (u64, u64),
}

impl SpoolReader {
    pub(super) fn new(shared: Arc<Shared>, jobs: mpsc::Sender<Job>) -> Self {
        Self {
            shared,
            jobs,
            at: (0, 0),
        }
    }

    /// The next entries, in order; None when everything has been sent. Damaged places are set aside on the way.
    pub(crate) fn next(&mut self) -> Result<Option<Window>, KafkaError> {
        loop {
            let (mut window, mut bytes) = (Window::default(), 0);
            for segment in self.waiting() {
                if bytes >= WINDOW_BYTES {
                    break;
                }
                let from = self.done_of(segment.number);
                let entries = self.read(segment, from)?;
                window.parts.push(Part {
                    number: segment.number,
                    to: segment.bytes,
                    events: entries.iter().map(|entry| u64::from(entry.batch.count)).sum(),
                });
                window.entries.extend(entries);
                bytes += segment.bytes - from;
            }
            if window.parts.is_empty() {
                return Ok(None);
            }
            if !window.entries.is_empty() {
                return Ok(Some(window));
            }
            self.done(&window)?;
        }
    }

    fn done_of(&self, number: u64) -> u64 {
        if self.at.0 == number { self.at.1 } else { 0 }
    }

    /// The one that is written to may have nothing new.
    fn waiting(&self) -> Vec<Segment> {
        let state = self.shared.state();
        let new = state
            .segments
            .iter()
            .filter(|segment| segment.bytes > self.done_of(segment.number));
        new.copied().collect()
    }

    fn read(&self, segment: Segment, from: u64) -> Result<Vec<Entry>, KafkaError> {
        let bytes = read(&self.shared, segment.number, from, segment.bytes)?;
        let (entries, damage) = sort(&bytes);
        for range in damage {
            let name = format!("damaged-{:020}-{}.bin", segment.number, from + range.start as u64);
            let kept = self.shared.set_aside(&name, bytes.get(range).unwrap_or_default())?;
            self.shared.damaged.fetch_add(1, Relaxed);
            tracing::error!(file = %kept.display(), "a damaged record of the spool can't be sent; its bytes are in this file");
        }
        Ok(entries)
    }

    /// Kafka has all of the window: it need not be sent again.
    pub(crate) fn done(&mut self, window: &Window) -> Result<(), KafkaError> {
        for part in &window.parts {
            self.part_done(part)?;
        }
        Ok(())
    }

    fn part_done(&mut self, part: &Part) -> Result<(), KafkaError> {
        self.at = (part.number, part.to);
        let last = {
            let mut state = self.shared.state();
            if let Some(segment) = state.segments.iter_mut().find(|segment| segment.number == part.number) {
                segment.events = segment.events.saturating_sub(part.events);
            }
            state
                .segments
                .back()
                .is_some_and(|segment| segment.number == part.number)
        };
        if last {
            // Sealed by the one who writes, so that nothing is added between looking and deleting.
            let (reply, sealed) = mpsc::sync_channel(1);
            if self.jobs.send(Job::Seal(part.number, reply)).is_err() || sealed.recv().is_err() {
                // The spool is being closed; the next start sends the rest again.
                return Ok(());
            }
        }
        let mut state = self.shared.state();
        if state
            .segments
            .iter()
            .any(|segment| segment.number == part.number && segment.bytes == part.to)
        {
            let path = self.shared.path(part.number);
            // Left behind, it would be sent again: duplicates, which count once.
            fs::remove_file(&path).map_err(|source| KafkaError::File {
                what: "deleting the sent segment",
                path,
                source,
            })?;
            state.segments.retain(|segment| segment.number != part.number);
        }
        Ok(())
    }

    /// A record that Kafka refuses for good.
    pub(crate) fn set_refused_aside(&self, digest: &str, value: &[u8]) -> Result<(), KafkaError> {
        let kept = self.shared.set_aside(&format!("refused-{digest}.json"), value)?;
        self.shared.refused.fetch_add(1, Relaxed);
        tracing::error!(file = %kept.display(), bytes = value.len(), "Kafka refuses this record for good; it is in this file");
        Ok(())
    }
}

fn read(shared: &Shared, number: u64, from: u64, to: u64) -> Result<Vec<u8>, KafkaError> {
    let path = shared.path(number);
    let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
    File::open(&path)
        .and_then(|file| file.read_exact_at(&mut bytes, from))
        .map_err(|source| KafkaError::File {
            what: "reading the spool's segment",
            path,
            source,
        })?;
    Ok(bytes)
}

/// The entries of a segment, and the places that hold none.
fn sort(bytes: &[u8]) -> (Vec<Entry>, Vec<std::ops::Range<usize>>) {
    let (mut entries, mut damage) = (Vec::new(), Vec::new());
    for piece in frame::pieces(bytes) {
        match piece {
            Piece::Whole(range) => match bytes.get(range.clone()).and_then(Entry::decode) {
                Some(entry) => entries.push(entry),
                None => damage.push(range),
            },
            Piece::Damaged(range) | Piece::Torn(range) => damage.push(range),
        }
    }
    (entries, damage)
}

/// Takes stock of what an earlier process left, and cuts off what its last write left unfinished.
pub(super) fn recover(shared: &Shared) -> Result<(), KafkaError> {
    let failed = |source| KafkaError::File {
        what: "reading the spool in",
        path: shared.dir.clone(),
        source,
    };
    let mut numbers = Vec::new();
    for file in fs::read_dir(&shared.dir).map_err(failed)? {
        let name = file.map_err(failed)?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".spool"))
            .and_then(|digits| digits.parse().ok());
        numbers.extend(number.filter(|number: &u64| *number > 0));
    }
    numbers.sort_unstable();
    let mut state = State::default();
    for (place, number) in numbers.iter().enumerate() {
        let last = place + 1 == numbers.len();
        let segment = take_stock(shared, *number, last)?;
        state.next = *number;
        if segment.bytes > 0 {
            state.segments.push_back(segment);
        } else {
            // Made and never written to.
            fs::remove_file(shared.path(*number)).map_err(failed)?;
        }
    }
    *shared.state() = state;
    Ok(())
}

fn take_stock(shared: &Shared, number: u64, last: bool) -> Result<Segment, KafkaError> {
    let path = shared.path(number);
    let failed = |source| KafkaError::File {
        what: "reading the spool's segment",
        path: path.clone(),
        source,
    };
    let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    if let Some(Piece::Torn(range)) = frame::pieces(&bytes).pop().filter(|_| last) {
        // Only the last segment was being written to. The bytes were never acknowledged; they are kept all the same.
        let cut = bytes.split_off(range.start);
        shared.set_aside(&format!("torn-{number:020}-{}.bin", range.start), &cut)?;
        file.set_len(range.start as u64)
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        shared.torn_bytes.fetch_add(cut.len() as u64, Relaxed);
        tracing::warn!(
            segment = number,
            bytes = cut.len(),
            "cut off a write that was never finished nor acknowledged"
        );
        sync_dir(&shared.dir)?;
    }
    let (entries, _found_again_when_read) = sort(&bytes);
    Ok(Segment {
        number,
        bytes: bytes.len() as u64,
        events: entries.iter().map(|entry| u64::from(entry.batch.count)).sum(),
        oldest: entries.first().map(|entry| entry.batch.received_at_ms),
    })
}
