//! Attributes as one flat buffer: how a host in another language hands them in with one crossing. Records, each a multiple of eight
//! bytes, written by the host (`node/ts/flat.ts` and its like in Swift and Kotlin).
//!
//! ```text
//! i32 index of the attribute in Snapshot::attributes   i32 kind, or the length of a text   payload, padded to eight bytes
//! ```
//! | kind | payload |
//! |---|---|
//! | 0 and above | a text of so many bytes, UTF-8 |
//! | −1, −2 | none: `false`, `true` |
//! | −3 | a double |
//! | −4 | none: there, but nothing an operator can use |
//! | −16 and below | a list of `−16 − kind` elements, which follow as records whose index means nothing |
//!
//! Integers and doubles are in the machine's byte order. Bytes that are no such records end the reading; nothing is read outside them.

use crate::context::{OwnedValue, Value};
use crate::slots::Slots;

const FALSE: i32 = -1;
const TRUE: i32 = -2;
const NUMBER: i32 = -3;
const UNUSABLE: i32 = -4;
/// And everything below: a list of `LIST - kind` elements.
const LIST: i32 = -16;

/// Reads records from the front.
struct Reader<'a>(&'a [u8]);

enum Read<'a> {
    Value(Value<'a>),
    List(usize),
}

impl<'a> Reader<'a> {
    /// The next record; none at the end, and none where the bytes are not what a host writes.
    fn record(&mut self) -> Option<(usize, Read<'a>)> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        let [a, b, c, d, e, f, g, h] = *head;
        self.0 = rest;
        let index = usize::try_from(i32::from_ne_bytes([a, b, c, d])).ok()?;
        let read = match i32::from_ne_bytes([e, f, g, h]) {
            FALSE => Read::Value(Value::Bool(false)),
            TRUE => Read::Value(Value::Bool(true)),
            UNUSABLE => Read::Value(Value::Unusable),
            NUMBER => {
                let (number, rest) = self.0.split_first_chunk::<8>()?;
                self.0 = rest;
                Read::Value(Value::Num(f64::from_ne_bytes(*number)))
            }
            kind if kind <= LIST => Read::List(usize::try_from(LIST.checked_sub(kind)?).ok()?),
            length => {
                let length = usize::try_from(length).ok()?;
                let text = self.0.get(..length)?;
                self.0 = self.0.get(length.next_multiple_of(8)..)?;
                Read::Value(core::str::from_utf8(text).map_or(Value::Unusable, Value::Str))
            }
        };
        Some((index, read))
    }
}

/// Puts the records into slots.
#[inline]
pub fn fill(slots: &mut Slots, records: &[u8]) {
    let mut reader = Reader(records);
    while let Some((index, read)) = reader.record() {
        match read {
            Read::Value(value) => {
                slots.set(index, value);
            }
            Read::List(length) => {
                let elements = (0..length).map_while(|_| match reader.record()?.1 {
                    Read::Value(Value::Str(text)) => Some(OwnedValue::Str(text.to_owned())),
                    Read::Value(Value::Num(number)) => Some(OwnedValue::Num(number)),
                    Read::Value(Value::Bool(bool)) => Some(OwnedValue::Bool(bool)),
                    _ => Some(OwnedValue::Unusable),
                });
                let elements = elements.collect();
                slots.set_list(index, elements);
            }
        }
    }
}

#[cfg(test)]
mod tests;
