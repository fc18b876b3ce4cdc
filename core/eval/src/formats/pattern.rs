//! Patterns: the contract's small grammar, and a matcher of our own for it.
//!
//! Engines differ in what they read into a pattern, keep scratch memory behind a lock and allocate while they search. This one
//! does neither: a decision stays free of locks and allocations, and every pattern means what the contract says. The `regex`
//! crate is its oracle.

mod class;
mod parse;
mod program;
mod search;
#[cfg(test)]
mod tests;

use program::Program;

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Byte offset in the pattern.
    pub position: usize,
    /// What is wrong there.
    pub message: String,
    /// How to mend it.
    pub remedy: &'static str,
}

impl core::fmt::Display for PatternError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} at byte {}: {}", self.message, self.position, self.remedy)
    }
}

impl core::error::Error for PatternError {}

/// A compiled pattern. Matching takes time linear in the text.
#[derive(Clone, Debug)]
pub struct Pattern {
    matcher: Matcher,
}

/// Most patterns are plain text between anchors: those need no steps.
#[derive(Clone, Debug)]
enum Matcher {
    Contains(Box<str>),
    Begins(Box<str>),
    Ends(Box<str>),
    Equals(Box<str>),
    Steps(Program),
}

impl Pattern {
    /// Checks `pattern` against the contract's grammar and compiles it.
    pub fn compile(pattern: &str) -> Result<Self, PatternError> {
        let part = parse::parse(pattern)?;
        if let Some(matcher) = plain(pattern) {
            return Ok(Self { matcher });
        }
        let program = Program::of(&part).ok_or(PatternError {
            position: 0,
            message: "the pattern has too many steps".to_owned(),
            remedy: "lower its counts",
        })?;
        Ok(Self {
            matcher: Matcher::Steps(program),
        })
    }

    /// Whether the pattern is found anywhere in `text`.
    #[inline]
    pub fn is_match(&self, text: &str) -> bool {
        match &self.matcher {
            Matcher::Contains(part) => text.contains(&**part),
            Matcher::Begins(part) => text.starts_with(&**part),
            Matcher::Ends(part) => text.ends_with(&**part),
            Matcher::Equals(whole) => *text == **whole,
            Matcher::Steps(program) => program.is_found(text),
        }
    }
}

/// The matcher of a pattern, already checked, that is nothing but characters between `^` and `$` or without them.
fn plain(pattern: &str) -> Option<Matcher> {
    let (begins, mut rest) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let mut text = String::new();
    let mut ends = false;
    loop {
        let mut chars = rest.chars();
        let Some(c) = chars.next() else { break };
        match c {
            '$' if chars.as_str().is_empty() => ends = true,
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            '\\' => text.push(match chars.next()? {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                letter if letter.is_ascii_alphanumeric() => return None,
                punctuation => punctuation,
            }),
            c => text.push(c),
        }
        rest = chars.as_str();
    }
    let text = text.into_boxed_str();
    Some(match (begins, ends) {
        (false, false) => Matcher::Contains(text),
        (true, false) => Matcher::Begins(text),
        (false, true) => Matcher::Ends(text),
        (true, true) => Matcher::Equals(text),
    })
}
