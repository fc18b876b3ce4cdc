//! What is wrong with a context, and where.

use std::fmt;

/// Why an attribute is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// An object.
    Object,
    /// A number beyond the doubles.
    Number,
    /// A string longer than 65,536 bytes.
    LongString,
    /// A string with a lone surrogate.
    Surrogate,
    /// A list of more than 1,000 elements.
    LongList,
    /// A list that holds null, a list, an object or something unusable.
    ListElement,
    /// A name that is empty or longer than 256 bytes: no rule can ask for it.
    Name,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object is no attribute: give its members as attributes of their own",
            Self::Number => "a number beyond the range of a double: give it as a string, or scale it",
            Self::LongString => "a string of more than 65,536 bytes: shorten it",
            Self::Surrogate => "a string with a lone surrogate: it was cut inside a character, cut it elsewhere",
            Self::LongList => "a list of more than 1,000 elements: shorten it, or use an id list or a segment",
            Self::ListElement => {
                "a list may hold strings, numbers and booleans only: leave null, lists and objects out"
            }
            Self::Name => "a name must have 1 to 256 bytes: rename the attribute",
        })
    }
}

/// What kind of fault a context has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextErrorCode {
    /// More bytes than are read.
    TooLarge,
    /// Not JSON.
    NotJson,
    /// A name stands twice.
    Twice,
    /// JSON of another shape.
    Invalid,
    /// More members or records than are taken.
    TooMany,
}

impl ContextErrorCode {
    /// A stable name for answers, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotJson => "not_json",
            Self::Twice => "name_twice",
            Self::Invalid => "invalid",
            Self::TooMany => "too_many",
        }
    }
}

/// Why a text is no context. The whole of it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextError {
    /// The kind of fault.
    pub code: ContextErrorCode,
    /// JSON pointer (RFC 6901) to the member at fault; empty for the whole.
    pub path: String,
    /// From 1; 0 when there is no one place.
    pub line: usize,
    /// From 1; 0 when there is no one place.
    pub column: usize,
    /// What is wrong, and how to mend it.
    pub message: String,
}

impl ContextError {
    pub(super) fn too_large(bytes: usize) -> Self {
        let message = format!(
            "{bytes} bytes of JSON: at most {} are read; send only what rules ask for",
            super::MAX_CONTEXT_BYTES
        );
        Self {
            code: ContextErrorCode::TooLarge,
            path: String::new(),
            line: 0,
            column: 0,
            message,
        }
    }

    pub(super) fn too_many(path: &str, what: &str, limit: usize) -> Self {
        let message = format!("more than {limit} {what}: send only what rules ask for");
        Self {
            code: ContextErrorCode::TooMany,
            path: path.to_owned(),
            line: 0,
            column: 0,
            message,
        }
    }

    pub(super) fn invalid(path: &str, message: &str) -> Self {
        Self {
            code: ContextErrorCode::Invalid,
            path: path.to_owned(),
            line: 0,
            column: 0,
            message: message.to_owned(),
        }
    }

    pub(super) fn twice(whole: &[u8], value: &str, path: &str) -> Self {
        let (line, column) = place(whole, value.as_bytes(), 1, 1);
        let message = "the name stands twice: which value is meant can't be known; remove one".to_owned();
        Self {
            code: ContextErrorCode::Twice,
            path: path.to_owned(),
            line,
            column,
            message,
        }
    }

    pub(super) fn from_json(error: &serde_json::Error, whole: &[u8], part: &[u8], path: &str) -> Self {
        let (line, column) = place(whole, part, error.line(), error.column());
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default();
        let (code, remedy) = match error.classify() {
            serde_json::error::Category::Data => (ContextErrorCode::Invalid, "see the field's description"),
            _ => (ContextErrorCode::NotJson, "send a JSON object in UTF-8"),
        };
        Self {
            code,
            path: path.to_owned(),
            line,
            column,
            message: format!("{reason}; {remedy}"),
        }
    }
}

/// A place in `part`, as a place in the `whole` it lies in.
fn place(whole: &[u8], part: &[u8], line: usize, column: usize) -> (usize, usize) {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    let before = whole.get(..start).unwrap_or_default();
    let lines = before.iter().filter(|&&byte| byte == b'\n').count();
    let columns = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
    (
        line.saturating_add(lines),
        if line == 1 {
            column.saturating_add(columns)
        } else {
            column
        },
    )
}

/// `path` and one more member, as a JSON pointer.
pub(super) fn pointer(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("context")?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        if self.line > 0 {
            write!(f, " (line {}, column {})", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ContextError {}
