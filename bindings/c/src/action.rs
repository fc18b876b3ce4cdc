//! What a session asks of its host.

use evenhand_session::Action as Asked;

use crate::guard::{free, get, get_mut, guard};
use crate::status::Status;
use crate::text::Text;

/// What a session asks of its host. Free it with `evenhand_action_free`.
pub struct Action(pub(crate) Asked);

/// The kinds of actions.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Nothing until `until_ms`, a report, or `evenhand_session_wakes`.
    Wait = 0,
    /// `GET /v1/manifest/KEY` with `text` as `If-None-Match`, where it is one. Report with `evenhand_session_manifest_response` or `…_fetch_failed`.
    FetchManifest = 1,
    /// `GET /v1/lists/SHA256`, which is `text`. Report with `evenhand_session_list_response` or `…_fetch_failed`.
    FetchList = 2,
    /// `GET /v1/manifest/stream` with `text` as `Last-Event-ID`, where it is one. Report with `evenhand_session_stream_response` or
    /// `…_fetch_failed`, hand on what comes with `…_stream_bytes`, and report the end with `…_stream_closed`. Silence of
    /// `idle_timeout_ms` is an end.
    OpenStream = 3,
    /// `POST /v1/events` with `body` and `text` as `Content-Type`. Report with `evenhand_session_batch_response` or `…_batch_failed`.
    SendEvents = 4,
    /// Nothing any more: after a shutdown. Close the stream; save the spool where there is one.
    Done = 5,
}

/// An action, its texts borrowed from the handle.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ActionFields {
    /// What to do.
    pub kind: ActionKind,
    /// Names the action in the report.
    pub ticket: u64,
    /// Of a wait: milliseconds since 1970.
    pub until_ms: i64,
    /// Of a stream: how long silence may last.
    pub idle_timeout_ms: i64,
    /// The ETag, address, event id or content type; none where there is none.
    pub text: Text,
    /// Of a batch: the body.
    pub body: Text,
    /// Of a batch: how many events are in it.
    pub events: usize,
}

/// Reads an action.
///
/// # Safety
/// `action` lives; `out` can be written through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_action_read(action: *const Action, out: *mut ActionFields) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (action, out) = unsafe { (&get(action)?.0, get_mut(out)?) };
        let mut fields = ActionFields {
            kind: ActionKind::Done,
            ticket: 0,
            until_ms: 0,
            idle_timeout_ms: 0,
            text: Text::NONE,
            body: Text::NONE,
            events: 0,
        };
        match action {
            Asked::Wait { until_ms } => {
                fields.kind = ActionKind::Wait;
                fields.until_ms = *until_ms;
            }
            Asked::FetchManifest { ticket, etag } => {
                fields.kind = ActionKind::FetchManifest;
                fields.ticket = *ticket;
                fields.text = Text::of_option(etag.as_deref());
            }
            Asked::FetchList { ticket, sha256 } => {
                fields.kind = ActionKind::FetchList;
                fields.ticket = *ticket;
                fields.text = Text::of(sha256);
            }
            Asked::OpenStream {
                ticket,
                last_event_id,
                idle_timeout_ms,
            } => {
                fields.kind = ActionKind::OpenStream;
                fields.ticket = *ticket;
                fields.text = Text::of_option(last_event_id.as_deref());
                fields.idle_timeout_ms = *idle_timeout_ms;
            }
            Asked::SendEvents {
                batch_id,
                body,
                content_type,
                events,
            } => {
                fields.kind = ActionKind::SendEvents;
                fields.ticket = *batch_id;
                fields.text = Text::of(content_type);
                fields.body = Text {
                    data: body.as_ptr(),
                    len: body.len(),
                };
                fields.events = *events;
            }
            Asked::Done => {}
        }
        *out = fields;
        Ok(())
    })
}

/// Frees an action.
///
/// # Safety
/// `action` is NULL, or comes from this library and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_action_free(action: *mut Action) {
    free(action);
}
