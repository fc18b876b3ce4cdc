//! One event as it stands in Kafka: how it is written and read.

use std::borrow::Cow;

use evenhand_pipeline::KeyKind;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::units::is_json;

/// The value of a record in the units topic that asks for nothing but a recomputation of its unit.
pub(crate) const TOUCH: &[u8] = b"{\"touch\":true}";

/// The fields in the order in which they are written; serde writes no white space.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    digest: Cow<'a, str>,
    #[serde(borrow)]
    environment: Cow<'a, str>,
    #[serde(borrow)]
    event: &'a RawValue,
    import: bool,
    #[serde(borrow)]
    key_id: Cow<'a, str>,
    key_kind: KeyKind,
    received_at: i64,
    time: i64,
}

/// One event of the events topic, or of the units topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord<'a> {
    /// sha256 of the canonical bytes.
    pub digest: [u8; 32],
    /// The environment it was sent to.
    pub environment: Cow<'a, str>,
    /// The canonical bytes of the event.
    pub canonical: &'a str,
    /// Whether it is history.
    pub import: bool,
    /// The id of the key it came in with.
    pub key_id: Cow<'a, str>,
    /// The kind of that key.
    pub key_kind: KeyKind,
    /// When its request came in, milliseconds since 1970.
    pub received_at_ms: i64,
    /// Its effective time, milliseconds since 1970.
    pub time_ms: i64,
}

/// What a record of the units topic says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitValue<'a> {
    /// The unit took part in this event.
    Event(EventRecord<'a>),
    /// Recompute the unit.
    Touch,
}

/// A record that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(pub String);

/// The value of an event's record.
pub(crate) fn write(
    environment: &str,
    canonical: &str,
    time_ms: i64,
    key_id: &str,
    key_kind: KeyKind,
    received_at_ms: i64,
    import: bool,
) -> Result<Vec<u8>, RecordError> {
    let event =
        serde_json::from_str(canonical).map_err(|e| RecordError(format!("the stored event is no JSON: {e}")))?;
    let wire = Wire {
        digest: hex(&Sha256::digest(canonical)).into(),
        environment: environment.into(),
        event,
        import,
        key_id: key_id.into(),
        key_kind,
        received_at: received_at_ms,
        time: time_ms,
    };
    let mut out = Vec::with_capacity(canonical.len() + 256);
    serde_json::to_writer(&mut out, &wire).map_err(|e| RecordError(format!("the event can't be written: {e}")))?;
    Ok(out)
}

impl<'a> EventRecord<'a> {
    /// Reads a record and compares the digest with the event: what passes is what ingestion wrote.
    ///
    /// # Errors
    /// It is no such record, or it is damaged.
    pub fn parse(value: &'a [u8]) -> Result<Self, RecordError> {
        let wire: Wire<'a> =
            serde_json::from_slice(value).map_err(|e| RecordError(format!("not an event's record: {e}")))?;
        let digest: [u8; 32] = Sha256::digest(wire.event.get()).into();
        if hex(&digest) != wire.digest {
            return Err(RecordError(
                "the digest is not the event's: the record is damaged, or another program wrote it".into(),
            ));
        }
        Ok(Self {
            digest,
            environment: wire.environment,
            canonical: wire.event.get(),
            import: wire.import,
            key_id: wire.key_id,
            key_kind: wire.key_kind,
            received_at_ms: wire.received_at,
            time_ms: wire.time,
        })
    }
}

impl<'a> UnitValue<'a> {
    /// Reads a record of the units topic.
    ///
    /// # Errors
    /// It is neither an event's record nor a touch.
    pub fn parse(value: &'a [u8]) -> Result<Self, RecordError> {
        if value == TOUCH {
            return Ok(Self::Touch);
        }
        EventRecord::parse(value).map(Self::Event)
    }
}

/// The sha256 of any bytes, in hexadecimal digits.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')));
        }
    }
    text
}

/// Why a value can't be read, in a word that a header holds.
pub(crate) fn fault(value: &[u8]) -> &'static str {
    match std::str::from_utf8(value) {
        Err(_) => "not_utf8",
        Ok(text) if !is_json(text) => "not_json",
        Ok(_) => "not_an_event",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANONICAL: &str =
        r#"{"event_id":"0190a000-0000-7000-8000-000000000001","event_name":"buy","timestamp":5,"user_id":"é\u0001"}"#;

    /// The digest is `sha256sum`'s of the canonical bytes.
    #[test]
    fn written_as_agreed_and_read_back() {
        let value = write("production", CANONICAL, 4, "key-1", KeyKind::Client, 6, false).unwrap();
        let digest = hex(&Sha256::digest(CANONICAL));
        let expected = format!(
            r#"{{"digest":"{digest}","environment":"production","event":{CANONICAL},"import":false,"key_id":"key-1","key_kind":"client","received_at":6,"time":4}}"#
        );
        assert_eq!(String::from_utf8(value.clone()).unwrap(), expected);
        let record = EventRecord::parse(&value).unwrap();
        assert_eq!(
            (record.canonical, record.time_ms, record.received_at_ms),
            (CANONICAL, 4, 6)
        );
        assert_eq!(
            (record.key_kind, record.key_id.as_ref(), record.import),
            (KeyKind::Client, "key-1", false)
        );
        let damaged = expected.replace("buy", "bUy");
        assert!(EventRecord::parse(damaged.as_bytes()).is_err());
        assert_eq!(UnitValue::parse(TOUCH), Ok(UnitValue::Touch));
        assert!(UnitValue::parse(b"{\"touch\":false}").is_err());
    }
}
