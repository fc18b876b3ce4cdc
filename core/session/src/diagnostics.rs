//! What the application's logger is told: a bounded ring, drained by the host.

use std::collections::VecDeque;

/// The most that are held; older ones are lost, and counted.
pub const MAX_DIAGNOSTICS: usize = 100;
/// A message is cut here, in bytes: what it quotes comes from elsewhere.
const MAX_MESSAGE_BYTES: usize = 500;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks closely.
    Info,
    /// Something was put off, or lost and counted.
    Warn,
    /// Somebody has to do something.
    Error,
}

impl Level {
    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $level:ident;)*) => {
        /// What a diagnostic is about: a closed list (`docs/contract/session.md`, "Diagnostics").
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The level its diagnostics have.
            pub const fn level(self) -> Level {
                match self { $(Self::$name => Level::$level,)* }
            }
        }
    };
}

codes! {
    /// An option lay outside its limits and was brought within.
    OptionClamped = "option_clamped", Warn;
    /// The manifest could not be fetched; it is tried again.
    ManifestFetchFailed = "manifest_fetch_failed", Warn;
    /// The server denies the manifest (401, 403, 404, …): key or address are wrong.
    ManifestDenied = "manifest_denied", Error;
    /// A manifest was refused; the last good one stays.
    ManifestRefused = "manifest_refused", Error;
    /// An older manifest than the one held came from a cache.
    ManifestOlder = "manifest_older", Info;
    /// Parts of the manifest in use did not compile.
    ManifestFaults = "manifest_faults", Warn;
    /// The server has not confirmed the manifest for long.
    ManifestStale = "manifest_stale", Warn;
    /// The server confirms it again.
    ManifestFresh = "manifest_fresh", Info;
    /// An announced manifest could not be had.
    AnnouncementUnmet = "announcement_unmet", Warn;
    /// An id list could not be fetched; it is tried again.
    ListFetchFailed = "list_fetch_failed", Warn;
    /// The server denies an id list.
    ListDenied = "list_denied", Error;
    /// An id list is not what its address says, or not what the manifest says of it.
    ListRefused = "list_refused", Error;
    /// The stream ended or could not be opened; it is tried again.
    StreamFailed = "stream_failed", Info;
    /// The server denies the stream: it is for server and sidecar keys.
    StreamDenied = "stream_denied", Error;
    /// Events could not be sent; they are sent again.
    EventsSendFailed = "events_send_failed", Warn;
    /// The server denies events: the key is wrong. They are kept and tried again.
    EventsDenied = "events_denied", Error;
    /// The server could not read a batch, or found it too large: it is sent again in halves.
    BatchSplit = "batch_split", Warn;
    /// The server could not read a batch of one event: the event is dropped, and counted.
    EventsRefused = "events_refused", Error;
    /// The server took the batch and rejected some events for good: they are counted.
    EventsRejected = "events_rejected", Warn;
    /// The queue was full: the oldest events were dropped, and counted.
    EventsDropped = "events_dropped", Warn;
    /// The answer to a batch could not be read; the batch counts as taken.
    AnswerUnreadable = "answer_unreadable", Warn;
    /// A spool could not be read; the session goes on without it.
    SpoolIgnored = "spool_ignored", Warn;
    /// A report came for an action that is not under way: too late, or twice.
    ReportUnknown = "report_unknown", Info;
    /// An action was never reported on; it counts as failed.
    ReportOverdue = "report_overdue", Warn;
}

/// One thing to tell the application's logger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The host's time, when it happened last.
    pub at_ms: i64,
    /// What it is about; the level goes with it.
    pub code: Code,
    /// What, where, and how to mend it.
    pub message: String,
    /// How often it happened in a row.
    pub times: u32,
}

impl Diagnostic {
    /// How much it matters.
    pub const fn level(&self) -> Level {
        self.code.level()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    ring: VecDeque<Diagnostic>,
    pub lost: u64,
    pub last_error: Option<Diagnostic>,
}

impl Diagnostics {
    pub fn add(&mut self, at_ms: i64, code: Code, mut message: String) {
        if message.len() > MAX_MESSAGE_BYTES {
            let mut end = MAX_MESSAGE_BYTES;
            while !message.is_char_boundary(end) {
                end = end.saturating_sub(1);
            }
            message.truncate(end);
            message.push('…');
        }
        if let Some(last) = self
            .ring
            .back_mut()
            .filter(|last| last.code == code && last.message == message)
        {
            last.at_ms = at_ms;
            last.times = last.times.saturating_add(1);
        } else {
            if self.ring.len() >= MAX_DIAGNOSTICS {
                self.ring.pop_front();
                self.lost = self.lost.saturating_add(1);
            }
            self.ring.push_back(Diagnostic {
                at_ms,
                code,
                message,
                times: 1,
            });
        }
        if code.level() != Level::Info {
            self.last_error = self.ring.back().cloned();
        }
    }

    pub fn take(&mut self) -> Vec<Diagnostic> {
        self.ring.drain(..).collect()
    }
}
