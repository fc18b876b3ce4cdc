//! The stream of announcements: when it is opened, what it says, and its end.

use serde::Deserialize;

use crate::Session;
use crate::answer::{Answer, retry_after_ms};
use crate::clock::{Moment, ms};
use crate::diagnostics::Code;
use crate::sse::Reader;

#[derive(Debug)]
enum State {
    /// The host has no stream.
    Off,
    /// To be opened then.
    Due(Moment),
    Opening(u64, Moment),
    Open(u64, Moment),
}

#[derive(Debug)]
pub(crate) struct Stream {
    state: State,
    failures: u32,
    reader: Reader,
}

impl Stream {
    pub fn new(wanted: bool, now: Moment) -> Self {
        Self {
            state: if wanted { State::Due(now) } else { State::Off },
            failures: 0,
            reader: Reader::default(),
        }
    }

    pub fn due(&self) -> Option<Moment> {
        match self.state {
            State::Due(due) => Some(due),
            _ => None,
        }
    }

    pub fn is_due(&self, now: Moment) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    pub fn begin(&mut self, ticket: u64, now: Moment) {
        self.state = State::Opening(ticket, now);
        self.reader = Reader::default();
    }

    pub fn opening(&self) -> Option<(u64, Moment)> {
        match self.state {
            State::Opening(ticket, since) => Some((ticket, since)),
            _ => None,
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(..))
    }

    fn is_open_as(&self, ticket: u64) -> bool {
        matches!(self.state, State::Open(own, _) if own == ticket)
    }

    /// Ends the opening of that ticket.
    pub fn end(&mut self, ticket: u64) -> bool {
        let own = matches!(self.state, State::Opening(own, _) if own == ticket);
        if own {
            self.state = State::Off;
        }
        own
    }
}

/// The data of an announcement.
#[derive(Deserialize)]
struct Announcement {
    generation: u64,
    version: u64,
}

impl Session {
    /// Reports the head of the answer to `OpenStream`. With 200 the stream is open until [`Session::stream_closed`].
    pub fn stream_response(&mut self, ticket: u64, status: u16, retry_after: Option<&str>, now_ms: i64) {
        let now = self.tick(now_ms);
        if !self.stream.end(ticket) {
            return self.unknown_report(ticket);
        }
        match Answer::of(status) {
            Answer::Good => self.stream.state = State::Open(ticket, now),
            Answer::Denied | Answer::Body => {
                self.say(
                    Code::StreamDenied,
                    format!("the server answers {status} to the stream: it is open to server and sidecar keys; manifests are polled, the stream is tried again in {} s", self.options.denied_retry_ms.checked_div(1_000).unwrap_or(0)),
                );
                let wait = self.jitter.shorter(ms(self.options.denied_retry_ms));
                self.stream.state = State::Due(now.saturating_add(wait));
            }
            Answer::NotModified | Answer::Passing => {
                self.stream_failed(retry_after_ms(retry_after), &format!("status {status}"), now);
            }
        }
    }

    /// Hands on what came on the stream, in whatever pieces.
    pub fn stream_bytes(&mut self, ticket: u64, bytes: &[u8], now_ms: i64) {
        self.tick(now_ms);
        if !self.stream.is_open_as(ticket) {
            return self.unknown_report(ticket);
        }
        for message in self.stream.reader.read(bytes) {
            if message.event != "manifest" {
                continue;
            }
            match serde_json::from_str::<Announcement>(&message.data) {
                Ok(heard) => self.announced(heard.generation, heard.version, now_ms),
                Err(error) => self.say(
                    Code::StreamFailed,
                    format!("an announcement on the stream can't be read ({error}); polling goes on: check what is between here and the server"),
                ),
            }
        }
    }

    /// Reports that an open stream has ended, by whoever's doing. It is opened again after a wait; polls go on meanwhile.
    pub fn stream_closed(&mut self, ticket: u64, now_ms: i64) {
        let now = self.tick(now_ms);
        let State::Open(own, since) = self.stream.state else {
            return self.unknown_report(ticket);
        };
        if own != ticket {
            return self.unknown_report(ticket);
        }
        // A stream that lasted was none of the failures in a row.
        if now.saturating_sub(since) >= ms(self.options.backoff_max_ms) {
            self.stream.failures = 0;
        }
        self.stream_failed(None, "it ended", now);
        // Whatever was announced meanwhile is not missed for longer than a poll.
        let wait = self.jitter.shorter(ms(self.options.poll_interval_ms));
        if !self.fetching.firm {
            self.fetching.sooner(now.saturating_add(wait));
        }
    }

    pub(crate) fn stream_failed(&mut self, retry_after: Option<i64>, message: &str, now: Moment) {
        self.say(
            Code::StreamFailed,
            format!("no stream of announcements: {message}; manifests are polled, the stream is tried again"),
        );
        self.stream.failures = self.stream.failures.saturating_add(1);
        let wait = self.jitter.retry(self.stream.failures, retry_after, &self.options);
        self.stream.state = State::Due(now.saturating_add(wait));
    }
}
