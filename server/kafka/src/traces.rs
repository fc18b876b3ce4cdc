//! The trace of a request goes with its events: a record header, as W3C Trace Context writes it.

use rdkafka::{
    Message,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
};

const TRACEPARENT: &str = "traceparent";
/// As long as version 00 of the format; others are longer, and not read.
const LENGTH: usize = 55;

/// The header for a record that goes on with a trace.
pub(crate) fn headers(traceparent: &str) -> OwnedHeaders {
    OwnedHeaders::new().insert(Header {
        key: TRACEPARENT,
        value: Some(traceparent),
    })
}

/// The trace that a record came with.
pub(crate) fn traceparent<'a>(message: &'a BorrowedMessage<'_>) -> Option<&'a str> {
    let mut headers = message.headers()?.iter();
    let value = headers.find(|header| header.key == TRACEPARENT)?.value?;
    std::str::from_utf8(value).ok().filter(|value| value.len() == LENGTH)
}
