//! What the host reports to a session.

use crate::guard::{get, guard, guard_or};
use crate::session::Session;
use crate::status::Status;
use crate::text::{Text, bytes, optional, text};

/// Reports the answer to FETCH_MANIFEST. `etag` and `retry_after`: the headers as they are, or no text.
///
/// # Safety
/// `session` lives; the texts can be read, and `len` bytes at `body`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_manifest_response(
    session: *const Session,
    ticket: u64,
    status: u16,
    etag: Text,
    retry_after: Text,
    body: *const u8,
    len: usize,
    now_ms: i64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, etag, retry_after, body) = unsafe {
            (
                get(session)?,
                optional(etag.data, etag.len)?,
                optional(retry_after.data, retry_after.len)?,
                bytes(body, len)?,
            )
        };
        let mut machine = if status == 200 {
            session.lock_for(body)
        } else {
            session.lock()
        };
        machine.manifest_response(ticket, status, etag, retry_after, body, now_ms);
        Ok(())
    })
}

/// Reports the answer to FETCH_LIST.
///
/// # Safety
/// As `evenhand_session_manifest_response`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_list_response(
    session: *const Session,
    ticket: u64,
    status: u16,
    retry_after: Text,
    body: *const u8,
    len: usize,
    now_ms: i64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, retry_after, body) = unsafe {
            (
                get(session)?,
                optional(retry_after.data, retry_after.len)?,
                bytes(body, len)?,
            )
        };
        session.lock().list_response(ticket, status, retry_after, body, now_ms);
        Ok(())
    })
}

/// Hands in an id list from elsewhere. Whether the manifest names it; false also when it is none.
///
/// # Safety
/// `session` lives; `len` bytes can be read at `data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_provide_list(
    session: *const Session,
    data: *const u8,
    len: usize,
    now_ms: i64,
) -> bool {
    guard_or(false, || {
        // SAFETY: the caller's promise.
        let (Some(session), Ok(data)) = (unsafe { session.as_ref() }, unsafe { bytes(data, len) }) else {
            return false;
        };
        session.lock().provide_list(data, now_ms)
    })
}

/// Reports the head of the answer to OPEN_STREAM.
///
/// # Safety
/// `session` lives; the text can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_stream_response(
    session: *const Session,
    ticket: u64,
    status: u16,
    retry_after: Text,
    now_ms: i64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, retry_after) = unsafe { (get(session)?, optional(retry_after.data, retry_after.len)?) };
        session.lock().stream_response(ticket, status, retry_after, now_ms);
        Ok(())
    })
}

/// Hands on bytes of the stream, cut anywhere.
///
/// # Safety
/// `session` lives; `len` bytes can be read at `data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_stream_bytes(
    session: *const Session,
    ticket: u64,
    data: *const u8,
    len: usize,
    now_ms: i64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, data) = unsafe { (get(session)?, bytes(data, len)?) };
        session.lock().stream_bytes(ticket, data, now_ms);
        Ok(())
    })
}

/// Reports the end of an open stream.
///
/// # Safety
/// `session` lives.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_stream_closed(session: *const Session, ticket: u64, now_ms: i64) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { get(session)? }.lock().stream_closed(ticket, now_ms);
        Ok(())
    })
}

/// Reports that there was no answer to FETCH_MANIFEST, FETCH_LIST or OPEN_STREAM: what went wrong, for the logs.
///
/// # Safety
/// `session` lives; the text can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_fetch_failed(
    session: *const Session,
    ticket: u64,
    message: Text,
    now_ms: i64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, message) = unsafe { (get(session)?, text(message.data, message.len)?) };
        session.lock().fetch_failed(ticket, message, now_ms);
        Ok(())
    })
}

/// Reports the answer to SEND_EVENTS.
///
/// # Safety
/// As `evenhand_session_manifest_response`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_batch_response(
    session: *const Session,
    ticket: u64,
    status: u16,
    retry_after: Text,
    body: *const u8,
    len: usize,
    now_ms: i64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, retry_after, body) = unsafe {
            (
                get(session)?,
                optional(retry_after.data, retry_after.len)?,
                bytes(body, len)?,
            )
        };
        session.lock().batch_response(ticket, status, retry_after, body, now_ms);
        Ok(())
    })
}

/// Reports that there was no answer to SEND_EVENTS: what went wrong, for the logs. The events stay queued.
///
/// # Safety
/// `session` lives; the text can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_session_batch_failed(
    session: *const Session,
    ticket: u64,
    message: Text,
    now_ms: i64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let (session, message) = unsafe { (get(session)?, text(message.data, message.len)?) };
        session.lock().batch_failed(ticket, message, now_ms);
        Ok(())
    })
}
