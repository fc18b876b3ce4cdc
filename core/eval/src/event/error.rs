//! The closed table of what can be wrong with one event.

use core::fmt;

use std::borrow::Cow;

/// Why an event was refused. The names on the wire are stable: they are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventErrorCode {
    /// The bytes are not JSON (or not UTF-8).
    InvalidJson,
    /// JSON, but not an object.
    NotAnObject,
    /// More than [`super::MAX_EVENT_BYTES`].
    EventTooLarge,
    /// A field the contract does not have.
    UnknownField,
    /// A field, or a property, given twice.
    DuplicateField,
    /// A required field is absent or null.
    MissingField,
    /// No unit id at all, or not the one an exposure's `unit` names.
    MissingUnit,
    /// The JSON type is wrong.
    WrongType,
    /// The type is right, the value is not allowed.
    InvalidValue,
    /// A string beyond its limit.
    StringTooLong,
    /// `properties` nested deeper than [`super::MAX_PROPERTY_DEPTH`].
    PropertiesTooDeep,
    /// More keys than [`super::MAX_PROPERTY_KEYS`] in `properties`.
    TooManyProperties,
    /// More unit ids than [`super::MAX_UNITS`].
    TooManyUnits,
    /// Older than ingestion accepts. Given by the server, which has a clock; never by [`super::Event::parse`].
    TooOld,
}

impl EventErrorCode {
    /// Every code, in the order of the contract's table.
    pub const ALL: [Self; 14] = [
        Self::InvalidJson,
        Self::NotAnObject,
        Self::EventTooLarge,
        Self::UnknownField,
        Self::DuplicateField,
        Self::MissingField,
        Self::MissingUnit,
        Self::WrongType,
        Self::InvalidValue,
        Self::StringTooLong,
        Self::PropertiesTooDeep,
        Self::TooManyProperties,
        Self::TooManyUnits,
        Self::TooOld,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::EventTooLarge => "event_too_large",
            Self::UnknownField => "unknown_field",
            Self::DuplicateField => "duplicate_field",
            Self::MissingField => "missing_field",
            Self::MissingUnit => "missing_unit",
            Self::WrongType => "wrong_type",
            Self::InvalidValue => "invalid_value",
            Self::StringTooLong => "string_too_long",
            Self::PropertiesTooDeep => "properties_too_deep",
            Self::TooManyProperties => "too_many_properties",
            Self::TooManyUnits => "too_many_units",
            Self::TooOld => "too_old",
        }
    }
}

impl fmt::Display for EventErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with one event, where, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventError {
    /// The kind of fault.
    pub code: EventErrorCode,
    /// The field at fault (`units.device_id`, `properties.price`), empty when the event as a whole is.
    pub field: String,
    /// A sentence for a person, with the remedy.
    pub message: Cow<'static, str>,
}

impl EventError {
    /// An error with its three parts.
    pub fn new(code: EventErrorCode, field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}: {}", self.code, self.message)
        } else {
            write!(f, "{} in {}: {}", self.code, self.field, self.message)
        }
    }
}

impl core::error::Error for EventError {}
