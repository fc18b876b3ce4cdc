//! The spool's one writer: all that wait share a write and an fsync.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    sync::{
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, SyncSender},
    },
};

use tokio::sync::oneshot;

use super::{Segment, Shared, SpoolError, sync_dir};

/// Bytes one fsync takes at most, beyond its first batch.
const GROUP_BYTES: usize = 4 << 20;

pub(super) enum Job {
    Append {
        frame: Vec<u8>,
        events: u64,
        received_at_ms: i64,
        reply: oneshot::Sender<Result<(), SpoolError>>,
    },
    /// No more is written to this segment.
    Seal(u64, SyncSender<()>),
    Close,
}

struct Active {
    file: File,
    number: u64,
    bytes: u64,
}

struct Waiting {
    bytes: u64,
    events: u64,
    received_at_ms: i64,
    reply: oneshot::Sender<Result<(), SpoolError>>,
}

pub(super) fn run(shared: &Shared, inbox: &Receiver<Job>) {
    let mut active = None;
    let mut next = inbox.recv().ok();
    while let Some(job) = next.take() {
        match job {
            Job::Append {
                frame,
                events,
                received_at_ms,
                reply,
            } => {
                let mut bytes = frame;
                let mut group = vec![Waiting {
                    bytes: bytes.len() as u64,
                    events,
                    received_at_ms,
                    reply,
                }];
                while bytes.len() < GROUP_BYTES {
                    match inbox.try_recv() {
                        Ok(Job::Append {
                            frame,
                            events,
                            received_at_ms,
                            reply,
                        }) => {
                            bytes.extend_from_slice(&frame);
                            group.push(Waiting {
                                bytes: frame.len() as u64,
                                events,
                                received_at_ms,
                                reply,
                            });
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                commit(shared, &mut active, &bytes, group);
            }
            Job::Seal(number, reply) => {
                if active.as_ref().is_some_and(|active: &Active| active.number == number) {
                    active = None;
                }
                let _asker_gone = reply.send(());
            }
            Job::Close => break,
        }
        if next.is_none() {
            next = inbox.recv().ok();
        }
    }
}

/// One write and one fsync for the whole group; everyone gets the same answer.
fn commit(shared: &Shared, active: &mut Option<Active>, bytes: &[u8], group: Vec<Waiting>) {
    let result = write(shared, active, bytes);
    let events: u64 = group.iter().map(|waiting| waiting.events).sum();
    let mut state = shared.state();
    state.queued = state
        .queued
        .saturating_sub(group.iter().map(|waiting| waiting.bytes).sum());
    let answer = match result {
        Ok(number) => {
            shared.fsyncs.fetch_add(1, Relaxed);
            shared.appended.fetch_add(events, Relaxed);
            if let Some(segment) = state.segments.iter_mut().find(|segment| segment.number == number) {
                segment.bytes += bytes.len() as u64;
                segment.events += events;
                segment.oldest = segment.oldest.or(group.first().map(|waiting| waiting.received_at_ms));
            }
            Ok(())
        }
        Err(error) => {
            shared.failures.fetch_add(1, Relaxed);
            tracing::error!(%error, events, dir = %shared.dir.display(), "the spool can't be written; the senders were told to try again");
            Err(SpoolError::Disk(error.to_string()))
        }
    };
    drop(state);
    for waiting in group {
        let _sender_gone = waiting.reply.send(answer.clone());
    }
}

/// Gives the number of the segment written to. After a failure that segment is closed at its last durable byte: what an fsync that failed
/// has left of a file nobody knows.
fn write(shared: &Shared, active: &mut Option<Active>, bytes: &[u8]) -> io::Result<u64> {
    if active
        .as_ref()
        .is_some_and(|active| active.bytes >= shared.segment_bytes)
    {
        *active = None;
    }
    let mut segment = match active.take() {
        Some(segment) => segment,
        None => begin(shared)?,
    };
    let written = segment.file.write_all(bytes).and_then(|()| segment.file.sync_data());
    if let Err(error) = written {
        if let Err(second) = segment
            .file
            .set_len(segment.bytes)
            .and_then(|()| segment.file.sync_data())
        {
            tracing::warn!(error = %second, "an unfinished write could not be cut off; its events were not acknowledged, and may be sent");
        }
        forget_if_empty(shared, &segment);
        return Err(error);
    }
    segment.bytes += bytes.len() as u64;
    let number = segment.number;
    *active = Some(segment);
    Ok(number)
}

fn begin(shared: &Shared) -> io::Result<Active> {
    let number = {
        let mut state = shared.state();
        state.next += 1;
        state.next
    };
    let path = shared.path(number);
    let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
    let segment = Active { file, number, bytes: 0 };
    shared.state().segments.push_back(Segment {
        number,
        bytes: 0,
        events: 0,
        oldest: None,
    });
    if let Err(error) = sync_dir(&shared.dir) {
        forget_if_empty(shared, &segment);
        return Err(io::Error::other(error));
    }
    Ok(segment)
}

fn forget_if_empty(shared: &Shared, segment: &Active) {
    if segment.bytes == 0 {
        shared.state().segments.retain(|kept| kept.number != segment.number);
        // Left behind it is an empty segment, which the next start deletes.
        let _left_behind = fs::remove_file(shared.path(segment.number));
    }
}
