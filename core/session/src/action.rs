//! What the session asks of its host.

/// What to do next. Each action but `Wait` and `Done` is reported on once, under its ticket, when it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing until this time of the host's clock (at most a minute away, always later than now), a report, or
    /// `Session::wakes`.
    Wait {
        /// Milliseconds since 1970.
        until_ms: i64,
    },
    /// `GET /v1/manifest/KEY`. Report with `manifest_response` or `fetch_failed`.
    FetchManifest {
        /// Names the action.
        ticket: u64,
        /// To send as `If-None-Match`, as it is.
        etag: Option<String>,
    },
    /// `GET /v1/lists/SHA256`; the host may answer from its own store, the address is the content's hash. Report with
    /// `list_response` or `fetch_failed`.
    FetchList {
        /// Names the action.
        ticket: u64,
        /// The address.
        sha256: String,
    },
    /// `GET /v1/manifest/stream`. Report with `stream_response` or `fetch_failed`; then hand on what comes with
    /// `stream_bytes`, and report the end with `stream_closed`. A stream on which nothing came for `idle_timeout_ms` (the server
    /// writes every 15 s) has ended.
    OpenStream {
        /// Names the stream until its end.
        ticket: u64,
        /// To send as `Last-Event-ID`.
        last_event_id: Option<String>,
        /// How long silence may last.
        idle_timeout_ms: i64,
    },
    /// `POST /v1/events`. Report with `batch_response` or `batch_failed`.
    SendEvents {
        /// Names the action.
        batch_id: u64,
        /// The body.
        body: Vec<u8>,
        /// Its `Content-Type`.
        content_type: &'static str,
        /// How many events are in it.
        events: usize,
    },
    /// Nothing any more: after `shutdown`, when all events are delivered or the deadline has come. Close the stream; save the
    /// spool if there is one.
    Done,
}

/// The content type of a batch.
pub(crate) const CONTENT_TYPE: &str = "application/json";
/// Three of the server's signs of life.
pub(crate) const STREAM_IDLE_TIMEOUT_MS: i64 = 45_000;
