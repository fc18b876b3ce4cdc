//! The contract's grammar: from a pattern to a tree.

use super::PatternError;
use super::class::{Class, Range};

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 1_000;
/// The highest count in `{…}`.
const MAX_COUNT: u32 = 100;
/// How far the counts of nested repetitions may multiply.
const MAX_NESTED_COUNT: u32 = 1_000;
/// How deep groups may nest.
const MAX_DEPTH: u32 = 20;
/// The greatest size: characters, classes, anchors, groups and `|`, each times the counts around it. Time and memory of a
/// match grow with it; without this limit 1,000 bytes could ask for a machine of a million states.
const MAX_SIZE: u32 = 2_000;

/// What may stand after a backslash to mean itself.
const ESCAPABLE: &str = "\\.+*?()|[]{}^$-/#&~,:;=!<>@%_'\"` ";

const DIGIT: &[Range] = &[('0', '9')];
const NOT_DIGIT: &[Range] = &[('\0', '/'), (':', char::MAX)];
const WORD: &[Range] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const NOT_WORD: &[Range] = &[('\0', '/'), (':', '@'), ('[', '^'), ('`', '`'), ('{', char::MAX)];
const SPACE: &[Range] = &[('\t', '\r'), (' ', ' ')];
const NOT_SPACE: &[Range] = &[('\0', '\u{8}'), ('\u{e}', '\u{1f}'), ('!', char::MAX)];
const NOT_NEWLINE: &[Range] = &[('\0', '\t'), ('\u{b}', char::MAX)];

/// What must hold between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assertion {
    /// `^`: the very beginning.
    Start,
    /// `$`: the very end.
    End,
    /// `\b`
    Boundary,
    /// `\B`
    NoBoundary,
}

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Char(char),
    Class(Class),
    Assertion(Assertion),
    /// One after the other; none is the empty text.
    Sequence(Vec<Part>),
    Branches(Vec<Part>),
    Repeated {
        part: Box<Part>,
        min: u32,
        /// None: any number of times.
        max: Option<u32>,
    },
}

/// What an escape stands for.
enum Escape {
    Char(char),
    Class(&'static [Range]),
    Boundary(Assertion),
}

/// Size of a part, and the greatest product of counts inside it.
#[derive(Clone, Copy)]
struct Measure {
    size: u32,
    nested: u32,
}

struct Parser<'p> {
    pattern: &'p str,
    rest: &'p str,
    fold_case: bool,
}

/// The tree of a pattern.
pub(super) fn parse(pattern: &str) -> Result<Part, PatternError> {
    let mut parser = Parser {
        pattern,
        rest: pattern,
        fold_case: false,
    };
    if pattern.is_empty() {
        return Err(parser.error(
            "an empty pattern",
            "write at least one character, or leave the condition out",
        ));
    }
    if pattern.len() > MAX_BYTES {
        return Err(parser.error(
            format!("a pattern of {} bytes", pattern.len()),
            "use at most 1,000 bytes; several shorter patterns can stand in an \"any\"",
        ));
    }
    parser.fold_case = parser.take("(?i)");
    let (whole, _) = parser.branches(0)?;
    if parser.rest.is_empty() {
        Ok(whole)
    } else {
        Err(parser.error(
            "a ')' that closes no group",
            "remove it, or write \\) for the character",
        ))
    }
}

impl<'p> Parser<'p> {
    /// An error at the current position.
    fn error(&self, message: impl Into<String>, remedy: &'static str) -> PatternError {
        let position = self.pattern.len().saturating_sub(self.rest.len());
        PatternError {
            position,
            message: message.into(),
            remedy,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn take(&mut self, text: &str) -> bool {
        let after = self.rest.strip_prefix(text);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// Branches up to the end or a `)`.
    fn branches(&mut self, depth: u32) -> Result<(Part, Measure), PatternError> {
        let mut whole = Measure { size: 0, nested: 1 };
        let mut branches = Vec::new();
        let mut sequence = Vec::new();
        loop {
            match self.peek() {
                None | Some(')') => {
                    let last = Part::Sequence(sequence);
                    if branches.is_empty() {
                        return Ok((last, whole));
                    }
                    branches.push(last);
                    return Ok((Part::Branches(branches), whole));
                }
                Some('|') => {
                    self.next();
                    branches.push(Part::Sequence(core::mem::take(&mut sequence)));
                    whole.size = whole.size.saturating_add(1);
                }
                Some(_) => {
                    let (part, measure) = self.repeated_atom(depth)?;
                    sequence.push(part);
                    whole.size = whole.size.saturating_add(measure.size);
                    whole.nested = whole.nested.max(measure.nested);
                }
            }
            if whole.size > MAX_SIZE {
                return Err(self.error(
                    format!(
                        "the pattern grows beyond a size of {MAX_SIZE} when its counted repetitions are written out"
                    ),
                    "lower the counts, or repeat with * or +",
                ));
            }
        }
    }

    fn repeated_atom(&mut self, depth: u32) -> Result<(Part, Measure), PatternError> {
        let (atom, mut measure) = self.atom(depth)?;
        let Some(quantifier @ ('*' | '+' | '?' | '{')) = self.peek() else {
            return Ok((atom, measure));
        };
        if matches!(atom, Part::Assertion(_)) {
            return Err(self.error(
                format!("'{quantifier}' after an anchor or a word boundary"),
                "put the quantifier after a character, a class or a group",
            ));
        }
        self.next();
        let (min, max) = match quantifier {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            _ => {
                let (min, max) = self.counts()?;
                let bound = max.unwrap_or(min.saturating_add(1));
                measure.size = measure.size.saturating_mul(bound);
                measure.nested = measure.nested.saturating_mul(bound.max(1));
                if measure.nested > MAX_NESTED_COUNT {
                    return Err(self.error(
                        format!("nested counted repetitions multiply to more than {MAX_NESTED_COUNT}"),
                        "lower the counts, or repeat with * or +",
                    ));
                }
                (min, max)
            }
        };
        // Laziness decides which match is found first, never whether there is one.
        self.take("?");
        if let Some(again @ ('*' | '+' | '?' | '{')) = self.peek() {
            return Err(self.error(
                format!("'{again}' after another quantifier"),
                "put the repeated part into a group: (?:a+)*",
            ));
        }
        let part = Box::new(atom);
        Ok((Part::Repeated { part, min, max }, measure))
    }

    /// The rest of `{n}`, `{n,}` or `{n,m}`.
    fn counts(&mut self) -> Result<(u32, Option<u32>), PatternError> {
        let min = self.count()?;
        let mut max = Some(min);
        if self.take(",") {
            max = if self.peek() == Some('}') {
                None
            } else {
                Some(self.count()?)
            };
        }
        if !self.take("}") {
            return Err(self.error(
                "an unfinished counted repetition",
                "write {n}, {n,} or {n,m} with decimal numbers, or \\{ for the character",
            ));
        }
        match max {
            Some(max) if max < min => Err(self.error(
                format!("the counts {{{min},{max}}} are out of order"),
                "write the smaller count first",
            )),
            max => Ok((min, max)),
        }
    }

    fn count(&mut self) -> Result<u32, PatternError> {
        let at = self.rest;
        let mut value: Option<u32> = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            value = Some(value.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            self.next();
        }
        match value {
            None => Err(self.error(
                "a count is missing",
                "write {n}, {n,} or {n,m} with decimal numbers, or \\{ for the character",
            )),
            Some(_) if at.starts_with('0') && at.len().saturating_sub(self.rest.len()) > 1 => {
                self.rest = at;
                Err(self.error("a count with a leading zero", "write it without"))
            }
            Some(value) if value > MAX_COUNT => Err(self.error(
                format!("a count above {MAX_COUNT}"),
                "use counts of at most 100, or repeat with * or +",
            )),
            Some(value) => Ok(value),
        }
    }

    /// One atom or anchor.
    fn atom(&mut self, depth: u32) -> Result<(Part, Measure), PatternError> {
        let one = Measure { size: 1, nested: 1 };
        let at = self.rest;
        let Some(c) = self.next() else {
            return Ok((Part::Sequence(Vec::new()), one));
        };
        let part = match c {
            '^' => Part::Assertion(Assertion::Start),
            '$' => Part::Assertion(Assertion::End),
            '.' => self.class_of(false, NOT_NEWLINE),
            '(' => return self.group(at, depth),
            '[' => self.class(at)?,
            '\\' => match self.escape(at)? {
                Escape::Char(c) => self.char(c),
                Escape::Class(ranges) => self.class_of(false, ranges),
                Escape::Boundary(assertion) => Part::Assertion(assertion),
            },
            '*' | '+' | '?' | '{' => {
                self.rest = at;
                return Err(self.error(
                    format!("'{c}' with nothing before it to repeat"),
                    "put it after a character, a class or a group, or write a backslash before it for the character",
                ));
            }
            ']' | '}' => {
                self.rest = at;
                return Err(self.error(
                    format!("a '{c}' that closes nothing"),
                    "write a backslash before it for the character",
                ));
            }
            c => self.char(c),
        };
        Ok((part, one))
    }

    /// After `(`, which stood at `at`.
    fn group(&mut self, at: &'p str, depth: u32) -> Result<(Part, Measure), PatternError> {
        let depth = depth.saturating_add(1);
        if depth > MAX_DEPTH {
            self.rest = at;
            return Err(self.error(
                format!("groups nest more than {MAX_DEPTH} deep"),
                "take groups apart that need not be groups",
            ));
        }
        if !self.take("?:") && self.peek() == Some('?') {
            self.rest = at;
            return Err(self.error(
                "a group with a modifier",
                "only (…) and (?:…) are groups here; (?i) may stand at the very start of the pattern",
            ));
        }
        let (part, mut measure) = self.branches(depth)?;
        if !self.take(")") {
            self.rest = at;
            return Err(self.error(
                "a group that is never closed",
                "close it with ')', or write \\( for the character",
            ));
        }
        measure.size = measure.size.saturating_add(1);
        Ok((part, measure))
    }

    /// After `\`, which stood at `at`.
    fn escape(&mut self, at: &'p str) -> Result<Escape, PatternError> {
        Ok(match self.next() {
            Some('t') => Escape::Char('\t'),
            Some('n') => Escape::Char('\n'),
            Some('r') => Escape::Char('\r'),
            Some('d') => Escape::Class(DIGIT),
            Some('D') => Escape::Class(NOT_DIGIT),
            Some('w') => Escape::Class(WORD),
            Some('W') => Escape::Class(NOT_WORD),
            Some('s') => Escape::Class(SPACE),
            Some('S') => Escape::Class(NOT_SPACE),
            Some('b') => Escape::Boundary(Assertion::Boundary),
            Some('B') => Escape::Boundary(Assertion::NoBoundary),
            Some(c) if ESCAPABLE.contains(c) => Escape::Char(c),
            Some(c) => {
                self.rest = at;
                return Err(self.error(
                    format!("the escape \\{}", c.escape_debug()),
                    "only punctuation, \\t \\n \\r, \\d \\D \\w \\W \\s \\S and \\b \\B may be escaped",
                ));
            }
            None => {
                self.rest = at;
                return Err(self.error("a backslash at the end", "write \\\\ for a backslash"));
            }
        })
    }

    /// After `[`, which stood at `at`.
    fn class(&mut self, at: &'p str) -> Result<Part, PatternError> {
        let negated = self.take("^");
        let mut ranges: Vec<Range> = Vec::new();
        loop {
            let item = self.rest;
            let first = ranges.is_empty();
            let Some(c) = self.next() else {
                self.rest = at;
                return Err(self.error(
                    "a class that is never closed",
                    "close it with ']', or write \\[ for the character",
                ));
            };
            let low = match c {
                ']' if first => {
                    self.rest = at;
                    return Err(self.error(
                        "an empty class",
                        "put at least one character into it; write \\] for the character ']'",
                    ));
                }
                ']' => break,
                // First or last it stands for itself; anywhere else it would be half a range.
                '-' if first || self.peek() == Some(']') => {
                    ranges.push(('-', '-'));
                    continue;
                }
                '-' | '[' | '&' | '~' => {
                    self.rest = item;
                    return Err(self.error(
                        format!("'{c}' inside a class"),
                        "write a backslash before it for the character",
                    ));
                }
                '\\' => match self.escape(item)? {
                    Escape::Char(c) => c,
                    Escape::Class(class) => {
                        ranges.extend_from_slice(class);
                        if self.range_follows() {
                            return Err(self.error(
                                "a range that begins with a class",
                                "a range goes from one character to another; write \\- for the character '-'",
                            ));
                        }
                        continue;
                    }
                    Escape::Boundary(_) => {
                        self.rest = item;
                        return Err(self.error("a word boundary inside a class", "take it out of the class"));
                    }
                },
                c => c,
            };
            let mut high = low;
            if self.range_follows() {
                self.next();
                let end = self.rest;
                high = match self.next() {
                    Some('\\') => match self.escape(end)? {
                        Escape::Char(c) => c,
                        Escape::Class(_) | Escape::Boundary(_) => {
                            self.rest = end;
                            return Err(self.error(
                                "a range that ends with a class",
                                "a range goes from one character to another; write \\- for the character '-'",
                            ));
                        }
                    },
                    Some(c) if !"-[&~".contains(c) => c,
                    _ => {
                        self.rest = end;
                        return Err(self.error(
                            "a range that ends with a character that must be escaped",
                            "write a backslash before - [ & ~ inside a class",
                        ));
                    }
                };
                if high < low {
                    self.rest = item;
                    return Err(self.error("a range whose ends are out of order", "write the lower character first"));
                }
            }
            ranges.push((low, high));
        }
        Ok(self.class_of(negated, &ranges))
    }

    /// Whether a `-` follows that makes a range of the character before it, and does not just stand last.
    fn range_follows(&self) -> bool {
        let mut chars = self.rest.chars();
        chars.next() == Some('-') && chars.next().is_some_and(|c| c != ']')
    }

    fn char(&self, c: char) -> Part {
        if self.fold_case && c.is_ascii_alphabetic() {
            self.class_of(false, &[(c, c)])
        } else {
            Part::Char(c)
        }
    }

    fn class_of(&self, negated: bool, ranges: &[Range]) -> Part {
        Part::Class(Class::new(ranges, self.fold_case, negated))
    }
}
