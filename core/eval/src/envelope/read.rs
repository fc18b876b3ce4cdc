//! Reading an envelope as far as acceptance needs it: its members, and the header inside the manifest.
//!
//! The rest of the manifest is skipped here; it is read strictly when it is compiled.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{EnvelopeError, Header, MAX_INTEGER, Signed};
use crate::sign::canonical;
use crate::wire::Audience;

/// What the bytes are.
pub(super) enum Outer<'a> {
    /// A manifest as it is.
    Bare { header: Header },
    /// A manifest with a signature.
    Envelope {
        manifest: &'a RawValue,
        signed: &'a RawValue,
        signature: Cow<'a, str>,
    },
}

/// Tells an envelope by any of its members; everything else is read as a bare manifest.
pub(super) fn outer(bytes: &[u8]) -> Result<Outer<'_>, EnvelopeError> {
    let fields: Fields<'_> = serde_json::from_slice(bytes).map_err(|error| not_json(&error))?;
    match (fields.manifest, fields.signed, fields.signature) {
        (None, None, None) => Ok(Outer::Bare {
            header: fields.header.complete().map_err(without_place)?,
        }),
        (Some(manifest), Some(signed), Some(signature)) => match fields.other {
            Some(name) => Err(without_place(format!(
                "`{name}` is no member of an envelope; it has `manifest`, `signed` and `signature`, remove the rest"
            ))),
            None => Ok(Outer::Envelope {
                manifest,
                signed,
                signature,
            }),
        },
        (manifest, signed, _) => {
            let missing = if manifest.is_none() {
                "manifest"
            } else if signed.is_none() {
                "signed"
            } else {
                "signature"
            };
            Err(without_place(format!(
                "an envelope without `{missing}`: deliver it as it was published"
            )))
        }
    }
}

/// The `signed` member.
pub(super) fn signed(bytes: &[u8], text: &RawValue) -> Result<Signed, EnvelopeError> {
    // serde's derive would also take the fields in an array.
    if !text.get().starts_with('{') {
        return Err(without_place(
            "`signed` is no object: deliver the envelope as it was published".into(),
        ));
    }
    let signed: Signed = read_member(bytes, text)?;
    let header = Partial {
        environment: None,
        audience: None,
        generation: Some(signed.generation),
        version: Some(signed.version),
        issued_at_ms: Some(signed.issued_at_ms),
    };
    header
        .check_integers()
        .map_err(|message| without_place(format!("in `signed`: {message}")))?;
    Ok(signed)
}

/// The header inside the manifest.
pub(super) fn header(bytes: &[u8], manifest: &RawValue) -> Result<Header, EnvelopeError> {
    let fields: Fields<'_> = read_member(bytes, manifest)?;
    fields.header.complete().map_err(without_place)
}

/// The RFC 8785 form of a member.
pub(super) fn canonical_member(bytes: &[u8], text: &RawValue) -> Result<Vec<u8>, EnvelopeError> {
    let value: serde_json::Value = read_member(bytes, text)?;
    canonical(&value).map_err(|error| not_json(&error))
}

fn read_member<'a, T: Deserialize<'a>>(bytes: &[u8], member: &'a RawValue) -> Result<T, EnvelopeError> {
    serde_json::from_str(member.get()).map_err(|error| {
        // The member is a part of the bytes: places in it become places in the whole.
        let start = (member.get().as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
        let before = bytes.get(..start).unwrap_or_default();
        let lines_before = before.iter().filter(|&&byte| byte == b'\n').count();
        let columns_before = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        match not_json(&error) {
            EnvelopeError::NotReadable { line, column, message } if line > 0 => EnvelopeError::NotReadable {
                line: line.saturating_add(lines_before),
                column: if line == 1 {
                    column.saturating_add(columns_before)
                } else {
                    column
                },
                message,
            },
            other => other,
        }
    })
}

/// serde_json's error, its place taken out of the text.
pub(super) fn not_json(error: &serde_json::Error) -> EnvelopeError {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or_default().to_owned();
    EnvelopeError::NotReadable {
        line: error.line(),
        column: error.column(),
        message,
    }
}

fn without_place(message: String) -> EnvelopeError {
    EnvelopeError::NotReadable {
        line: 0,
        column: 0,
        message,
    }
}

/// Header fields, as far as they stand there.
#[derive(Default)]
struct Partial {
    environment: Option<String>,
    audience: Option<Audience>,
    generation: Option<u64>,
    version: Option<u64>,
    issued_at_ms: Option<i64>,
}

impl Partial {
    fn complete(self) -> Result<Header, String> {
        self.check_integers()?;
        let missing = |field: &str| {
            format!("neither an envelope nor a manifest: `{field}` is missing; deliver it as it was published")
        };
        Ok(Header {
            environment: self.environment.ok_or_else(|| missing("environment"))?,
            audience: self.audience.ok_or_else(|| missing("audience"))?,
            generation: self.generation.ok_or_else(|| missing("generation"))?,
            version: self.version.ok_or_else(|| missing("version"))?,
            issued_at_ms: self.issued_at_ms.ok_or_else(|| missing("issued_at_ms"))?,
        })
    }

    fn check_integers(&self) -> Result<(), String> {
        for (name, value) in [("generation", self.generation), ("version", self.version)] {
            if value.is_some_and(|value| !(1..=MAX_INTEGER).contains(&value)) {
                return Err(format!("`{name}` must be an integer from 1 to {MAX_INTEGER}"));
            }
        }
        if self.issued_at_ms.is_some_and(|at| at.unsigned_abs() > MAX_INTEGER) {
            return Err(format!("`issued_at_ms` must be an integer within ±{MAX_INTEGER}"));
        }
        Ok(())
    }
}

/// The members of the outermost object that acceptance needs.
#[derive(Default)]
struct Fields<'a> {
    manifest: Option<&'a RawValue>,
    signed: Option<&'a RawValue>,
    signature: Option<Cow<'a, str>>,
    header: Partial,
    /// The first member that no envelope has.
    other: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the object of an envelope or a manifest")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some(Text(name)) = map.next_key()? {
                    match &*name {
                        "manifest" => once(&mut fields.manifest, &mut map, &name)?,
                        "signed" => once(&mut fields.signed, &mut map, &name)?,
                        "signature" => {
                            let mut text: Option<Text<'de>> = fields.signature.take().map(Text);
                            once(&mut text, &mut map, &name)?;
                            fields.signature = text.map(|Text(text)| text);
                        }
                        _ => {
                            match &*name {
                                "environment" => once(&mut fields.header.environment, &mut map, &name)?,
                                "audience" => once(&mut fields.header.audience, &mut map, &name)?,
                                "generation" => once(&mut fields.header.generation, &mut map, &name)?,
                                "version" => once(&mut fields.header.version, &mut map, &name)?,
                                "issued_at_ms" => once(&mut fields.header.issued_at_ms, &mut map, &name)?,
                                _ => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                            fields.other.get_or_insert_with(|| name.into_owned());
                        }
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Reads a member that must not stand twice.
fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    field: &mut Option<T>,
    map: &mut A,
    name: &str,
) -> Result<(), A::Error> {
    if field.is_some() {
        return Err(Error::custom(format_args!(
            "the name `{name}` stands twice; remove one"
        )));
    }
    *field = Some(map.next_value()?);
    Ok(())
}

/// Text, borrowed where it holds no escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
