//! Patterns: the contract's small grammar, checked here, then rewritten for the engine.
//!
//! The text an author wrote never reaches the engine. Engines differ (regex-lite reads `\<` as a word boundary, and its
//! `(?i)[B-b]` forgets that `C` folds to `c`), so everything is rewritten into characters, explicit ranges, non-capturing
//! groups and counts, about which they agree: case is folded and `\d \w \s` are spelled out before the engine sees them.

mod rewrite;
#[cfg(test)]
mod tests;

use regex_lite::{Regex, RegexBuilder};

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

/// Most patterns are plain text between anchors: those need no engine, and take no part in its pool of scratch memory.
#[derive(Clone, Debug)]
enum Matcher {
    Contains(Box<str>),
    Begins(Box<str>),
    Ends(Box<str>),
    Equals(Box<str>),
    Engine(Regex),
}

impl Pattern {
    /// Checks `pattern` against the contract's grammar and compiles it.
    pub fn compile(pattern: &str) -> Result<Self, PatternError> {
        let rewritten = rewrite::rewrite(pattern)?;
        if let Some(matcher) = plain(pattern) {
            return Ok(Self { matcher });
        }
        let engine = RegexBuilder::new(&rewritten)
            // Sizes are limited before, in the contract's terms; the engine's own limits must never be the ones that refuse.
            .size_limit(64 << 20)
            .nest_limit(250)
            .build()
            .map_err(|error| PatternError {
                position: 0,
                message: format!("the pattern can't be compiled ({error})"),
                remedy: "simplify the pattern",
            })?;
        Ok(Self {
            matcher: Matcher::Engine(engine),
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
            Matcher::Engine(engine) => engine.is_match(text),
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
