//! The messages of PostgreSQL's `pgoutput` plugin, as far as inserts need them. Any bytes give a message or an error, never a panic, and
//! nothing is allocated for a length that was only announced.

/// A message of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What a table looks like; it comes before the first row of it, and again when it changes.
    Relation(Relation),
    /// A new row.
    Insert {
        /// The id of the table.
        relation: u32,
        /// Its values, in the order of the columns.
        values: Vec<Value>,
    },
    /// Another message, by its letter.
    Other(u8),
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its id in the stream.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The names of its columns.
    pub columns: Vec<String>,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// A large value that the change left as it was.
    Unchanged,
    /// In PostgreSQL's text form.
    Text(String),
}

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of a replication message: {what}")]
pub struct DecodeError {
    /// Where.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Reads one message.
pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.u8()? {
        b'R' => {
            let id = reader.u32()?;
            reader.text()?; // the schema
            let name = reader.text()?;
            reader.u8()?; // the replica identity
            let count = reader.u16()?;
            let mut columns = Vec::new();
            for _ in 0..count {
                reader.u8()?; // flags
                columns.push(reader.text()?);
                reader.u32()?; // type
                reader.u32()?; // type modifier
            }
            Ok(Message::Relation(Relation { id, name, columns }))
        }
        b'I' => {
            let relation = reader.u32()?;
            if reader.u8()? != b'N' {
                return Err(reader.fault("an insert without its new row"));
            }
            let count = reader.u16()?;
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(match reader.u8()? {
                    b'n' => Value::Null,
                    b'u' => Value::Unchanged,
                    b't' => {
                        let length = reader.u32()?;
                        let length = usize::try_from(length).map_err(|_| reader.fault("a length beyond memory"))?;
                        Value::Text(reader.utf8(length)?)
                    }
                    _ => return Err(reader.fault("a value that is not text")),
                });
            }
            Ok(Message::Insert { relation, values })
        }
        letter => Ok(Message::Other(letter)),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, what: &'static str) -> DecodeError {
        DecodeError { at: self.at, what }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..length).ok_or_else(|| self.fault("it ends too early"))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| self.fault("it ends too early"))
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn utf8(&mut self, length: usize) -> Result<String, DecodeError> {
        let taken = self.take(length)?;
        std::str::from_utf8(taken)
            .map(str::to_owned)
            .map_err(|_| self.fault("a text that is not UTF-8"))
    }

    /// A text that ends with a zero byte.
    fn text(&mut self) -> Result<String, DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| self.fault("a text without an end"))?;
        let text = self.utf8(length)?;
        self.at += 1;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        match message {
            Message::Relation(relation) => {
                bytes.push(b'R');
                bytes.extend(relation.id.to_be_bytes());
                bytes.extend(b"public\0");
                bytes.extend(relation.name.as_bytes());
                bytes.extend(b"\0d");
                bytes.extend(u16::try_from(relation.columns.len()).unwrap().to_be_bytes());
                for column in &relation.columns {
                    bytes.push(1);
                    bytes.extend(column.as_bytes());
                    bytes.push(0);
                    bytes.extend([0, 0, 0, 25, 255, 255, 255, 255]);
                }
            }
            Message::Insert { relation, values } => {
                bytes.push(b'I');
                bytes.extend(relation.to_be_bytes());
                bytes.push(b'N');
                bytes.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
                for value in values {
                    match value {
                        Value::Null => bytes.push(b'n'),
                        Value::Unchanged => bytes.push(b'u'),
                        Value::Text(text) => {
                            bytes.push(b't');
                            bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                            bytes.extend(text.as_bytes());
                        }
                    }
                }
            }
            Message::Other(letter) => bytes.push(*letter),
        }
        bytes
    }

    fn messages() -> impl Strategy<Value = Message> {
        let value = prop_oneof![
            Just(Value::Null),
            Just(Value::Unchanged),
            any::<String>().prop_map(Value::Text)
        ];
        prop_oneof![
            (
                any::<u32>(),
                "[a-z_]{0,20}",
                prop::collection::vec("[a-zé_]{0,12}", 0..9)
            )
                .prop_map(|(id, name, columns)| Message::Relation(Relation { id, name, columns })),
            (any::<u32>(), prop::collection::vec(value, 0..9))
                .prop_map(|(relation, values)| Message::Insert { relation, values }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Every message is read back; cut short anywhere it is an error; with any byte changed it is something, and no panic.
        #[test]
        fn messages_are_read_back_and_no_bytes_panic(message in messages(), cut in any::<prop::sample::Index>(), to in any::<u8>()) {
            let bytes = encode(&message);
            prop_assert_eq!(decode(&bytes).unwrap(), message);
            let cut = cut.index(bytes.len());
            prop_assert!(decode(&bytes[..cut]).is_err());
            let mut changed = bytes;
            changed[cut] = to;
            let _any = decode(&changed);
        }

        #[test]
        fn any_bytes_give_an_answer(letter in prop_oneof![Just(b'R'), Just(b'I'), any::<u8>()], rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes: Vec<u8> = std::iter::once(letter).chain(rest).collect();
            let _any = decode(&bytes);
        }
    }
}
