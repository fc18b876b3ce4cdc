//! What is wrong with a manifest: where, what, and how to mend it.

use serde::Serialize;

use crate::wire::place::{self, Lines, Step};

/// A fault that costs one flag, or one part that flags use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The flag that is unsupported because of it, by its key in the manifest; none for a broken segment, layer, holdout
    /// or list as such (the flags that use it have faults of their own).
    pub flag: Option<String>,
    /// Where, as `flags.checkout.rules[2].when`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub remedy: String,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}; {}",
            self.line, self.column, self.path, self.message, self.remedy
        )
    }
}

/// An id list that the manifest names and the host has not supplied, or not as the manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingList {
    /// The list's id in the manifest.
    pub list: String,
    /// The address of its blob.
    pub sha256: String,
    /// Why what was supplied was refused; none when nothing was.
    pub refused: Option<String>,
}

/// What compiling a manifest has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One for each broken part and each unsupported flag, in the order of their names: lists, layers, segments, holdouts, flags.
    pub faults: Vec<Fault>,
    /// Flags that use one of these answer NOT_READY.
    pub missing_lists: Vec<MissingList>,
}

impl Report {
    /// Whether everything compiled and every list is there.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.missing_lists.is_empty()
    }

    /// The keys of the flags that did not compile, in ascending byte order.
    pub fn unsupported(&self) -> impl Iterator<Item = &str> {
        self.faults.iter().filter_map(|fault| fault.flag.as_deref())
    }
}

/// A manifest refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestError {
    /// Where, as `audience`; empty when it is the whole text.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub remedy: String,
}

impl core::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the manifest is refused: {}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

impl core::error::Error for ManifestError {}

/// A fault whose place is still being put together, innermost step first.
#[derive(Debug)]
pub(crate) struct Problem {
    inner_first: Vec<Step>,
    /// Where the reader stopped, when the text itself was at fault: the path is then found from it.
    offset: Option<usize>,
    message: String,
    remedy: String,
}

impl Problem {
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            inner_first: Vec::new(),
            offset: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// The name refers to something that is not there.
    pub fn unknown(what: &str, name: &str) -> Self {
        Self::new(
            format!("there is no {what} `{name}`"),
            format!("name a {what} that stands in the manifest, or remove the reference"),
        )
    }

    /// What serde says about `text`.
    pub fn read(error: &serde_json::Error, text: &str) -> Self {
        let mut message = error.to_string();
        // serde_json appends a place that is relative to this part; ours is absolute.
        if let Some(end) = message.rfind(" at line ") {
            message.truncate(end);
        }
        let offset = place::offset_of_line_and_column(text.as_bytes(), error.line(), error.column());
        let remedy = "write it as docs/contract/manifest.md describes it".into();
        // A column points behind the character it means.
        Self {
            inner_first: Vec::new(),
            offset: Some(offset.saturating_sub(1)),
            message,
            remedy,
        }
    }

    /// At an offset of the part's text, which the path is then found from.
    pub fn at_offset(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    pub fn under(mut self, step: impl Into<Step>) -> Self {
        self.inner_first.push(step.into());
        self
    }

    /// Gives the absolute place: `part` is the text of the part named by `prefix`, beginning at `start` of the manifest.
    pub fn place(
        self,
        prefix: &[Step],
        part: &str,
        start: usize,
        lines: &Lines,
    ) -> (String, usize, usize, String, String) {
        let (inner, offset) = match self.offset {
            Some(offset) => (place::path_at(part.as_bytes(), offset), offset),
            None => {
                let path: Vec<Step> = self.inner_first.into_iter().rev().collect();
                let offset = place::offset_of(part.as_bytes(), &path);
                (path, offset)
            }
        };
        let path: Vec<Step> = prefix.iter().cloned().chain(inner).collect();
        let (line, column) = lines.place(start.saturating_add(offset));
        (place::path_text(&path), line, column, self.message, self.remedy)
    }
}

/// Adds a step to the path of a problem on its way out.
pub(crate) trait Under<T> {
    fn under(self, step: impl Into<Step>) -> Result<T, Problem>;
}

impl<T> Under<T> for Result<T, Problem> {
    fn under(self, step: impl Into<Step>) -> Result<T, Problem> {
        self.map_err(|problem| problem.under(step))
    }
}
