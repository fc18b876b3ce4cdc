//! A request body to the bytes of single events.

use std::{borrow::Cow, fmt};

use evenhand_core::event::parse_instant_ms;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{ContentKind, IngestError, MAX_BATCH_EVENTS, MAX_BODY_BYTES};

/// The events of one request, not yet looked into.
pub(super) struct Envelope<'a> {
    /// The sender's clock when it sent, if it said.
    pub sent_at_ms: Option<i64>,
    /// One slice per event.
    pub events: Vec<&'a [u8]>,
}

pub(super) fn open(body: &[u8], kind: ContentKind) -> Result<Envelope<'_>, IngestError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(IngestError::TooLarge(format!(
            "The body has {} bytes; at most {MAX_BODY_BYTES} are accepted: send smaller batches.",
            body.len()
        )));
    }
    match kind {
        ContentKind::Ndjson => lines(body),
        ContentKind::Json => json(body),
    }
}

fn too_many() -> IngestError {
    IngestError::TooLarge(format!(
        "More than {MAX_BATCH_EVENTS} events in one request: send smaller batches."
    ))
}

fn bad(message: impl Into<String>) -> IngestError {
    IngestError::Unreadable {
        field: String::new(),
        message: message.into(),
    }
}

/// Every line is an event of its own, so a broken one costs only itself.
fn lines(body: &[u8]) -> Result<Envelope<'_>, IngestError> {
    let mut events = Vec::new();
    for line in body
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
    {
        if events.len() == MAX_BATCH_EVENTS {
            return Err(too_many());
        }
        events.push(line);
    }
    if events.is_empty() {
        return Err(bad("The body is empty: send one event a line."));
    }
    Ok(Envelope {
        sent_at_ms: None,
        events,
    })
}

fn json(body: &[u8]) -> Result<Envelope<'_>, IngestError> {
    let text = std::str::from_utf8(body).map_err(|e| bad(format!("Not UTF-8 from byte {} on.", e.valid_up_to())))?;
    let text = text.trim_ascii();
    let not_json = |e: serde_json::Error| bad(format!("Not JSON: {e}."));
    match text.as_bytes().first() {
        Some(b'[') => {
            let items: Items<'_> = serde_json::from_str(text).map_err(not_json)?;
            Ok(Envelope {
                sent_at_ms: None,
                events: items.checked()?,
            })
        }
        Some(b'{') => {
            let head: Head<'_> = serde_json::from_str(text).map_err(not_json)?;
            head.into_envelope(text)
        }
        _ => Err(bad(
            "Send one event, an array of events, or {\"sent_at\":…,\"events\":[…]}; newline-delimited JSON needs \
                      Content-Type: application/x-ndjson.",
        )),
    }
}

/// An array's elements, counted no further than the limit.
struct Items<'a> {
    events: Vec<&'a [u8]>,
    too_many: bool,
}

impl<'a> Items<'a> {
    fn checked(self) -> Result<Vec<&'a [u8]>, IngestError> {
        if self.too_many {
            Err(too_many())
        } else {
            Ok(self.events)
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of events")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut items = Items {
                    events: Vec::new(),
                    too_many: false,
                };
                while let Some(raw) = seq.next_element::<&RawValue>()? {
                    if items.events.len() == MAX_BATCH_EVENTS {
                        items.too_many = true;
                    } else {
                        items.events.push(raw.get().as_bytes());
                    }
                }
                Ok(items)
            }
        }
        deserializer.deserialize_seq(Elements)
    }
}

/// What an object at the top is: an envelope when it has `events`, else one event.
struct Head<'a> {
    events: Option<&'a RawValue>,
    sent_at: Option<&'a RawValue>,
    twice: bool,
    other: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Head<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Head<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event or an envelope")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut head = Head {
                    events: None,
                    sent_at: None,
                    twice: false,
                    other: None,
                };
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    let value = map.next_value::<&RawValue>()?;
                    match &*name {
                        "events" => head.twice |= head.events.replace(value).is_some(),
                        "sent_at" => head.twice |= head.sent_at.replace(value).is_some(),
                        other => {
                            head.other.get_or_insert_with(|| other.chars().take(64).collect());
                        }
                    }
                }
                Ok(head)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'a> Head<'a> {
    fn into_envelope(self, text: &'a str) -> Result<Envelope<'a>, IngestError> {
        let Some(events) = self.events else {
            return Ok(Envelope {
                sent_at_ms: None,
                events: vec![text.as_bytes()],
            });
        };
        let at = |field: &str, message: &str| IngestError::Unreadable {
            field: field.into(),
            message: message.into(),
        };
        if let Some(other) = self.other {
            return Err(at(&other, "A batch has the fields \"sent_at\" and \"events\" only."));
        }
        if self.twice {
            return Err(at("events", "\"events\" or \"sent_at\" stands twice."));
        }
        if !events.get().starts_with('[') {
            return Err(at("events", "Must be an array of events."));
        }
        let sent_at_ms = match self.sent_at.map(RawValue::get).filter(|text| *text != "null") {
            None => None,
            Some(text) => Some(parse_instant_ms(text).ok_or_else(|| {
                at(
                    "sent_at",
                    "An RFC 3339 string with an offset, or whole milliseconds since 1970.",
                )
            })?),
        };
        let items: Items<'a> = serde_json::from_str(events.get()).map_err(|e| bad(format!("Not JSON: {e}.")))?;
        Ok(Envelope {
            sent_at_ms,
            events: items.checked()?,
        })
    }
}
