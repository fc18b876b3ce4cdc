//! The contract's grammar, checked while a pattern is rewritten for the engine.

use super::PatternError;

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

/// An inclusive range of characters.
type Range = (char, char);

const DIGIT: &[Range] = &[('0', '9')];
const NOT_DIGIT: &[Range] = &[('\0', '/'), (':', char::MAX)];
const WORD: &[Range] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const NOT_WORD: &[Range] = &[('\0', '/'), (':', '@'), ('[', '^'), ('`', '`'), ('{', char::MAX)];
const SPACE: &[Range] = &[('\t', '\r'), (' ', ' ')];
const NOT_SPACE: &[Range] = &[('\0', '\u{8}'), ('\u{e}', '\u{1f}'), ('!', char::MAX)];
const NOT_NEWLINE: &[Range] = &[('\0', '\t'), ('\u{b}', char::MAX)];

/// What an escape stands for.
enum Escape {
    Char(char),
    Class(&'static [Range]),
    /// `\b` or `\B`, as the engine writes it.
    Boundary(&'static str),
}

/// Size of a part, and the greatest product of counts inside it.
#[derive(Clone, Copy)]
struct Measure {
    size: u32,
    nested: u32,
}

struct Rewriter<'p> {
    pattern: &'p str,
    rest: &'p str,
    fold_case: bool,
    out: String,
}

/// The pattern in the engine's unambiguous subset.
pub(super) fn rewrite(pattern: &str) -> Result<String, PatternError> {
    let mut rewriter = Rewriter {
        pattern,
        rest: pattern,
        fold_case: false,
        out: String::new(),
    };
    if pattern.is_empty() {
        return Err(rewriter.error(
            "an empty pattern",
            "write at least one character, or leave the condition out",
        ));
    }
    if pattern.len() > MAX_BYTES {
        return Err(rewriter.error(
            format!("a pattern of {} bytes", pattern.len()),
            "use at most 1,000 bytes; several shorter patterns can stand in an \"any\"",
        ));
    }
    rewriter.fold_case = rewriter.take("(?i)");
    rewriter.alternation(0)?;
    if rewriter.rest.is_empty() {
        Ok(rewriter.out)
    } else {
        Err(rewriter.error(
            "a ')' that closes no group",
            "remove it, or write \\) for the character",
        ))
    }
}

impl<'p> Rewriter<'p> {
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
    fn alternation(&mut self, depth: u32) -> Result<Measure, PatternError> {
        let mut whole = Measure { size: 0, nested: 1 };
        loop {
            match self.peek() {
                None | Some(')') => return Ok(whole),
                Some('|') => {
                    self.next();
                    self.out.push('|');
                    whole.size = whole.size.saturating_add(1);
                }
                Some(_) => {
                    let part = self.repeated_atom(depth)?;
                    whole.size = whole.size.saturating_add(part.size);
                    whole.nested = whole.nested.max(part.nested);
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

    fn repeated_atom(&mut self, depth: u32) -> Result<Measure, PatternError> {
        let (mut measure, repeatable) = self.atom(depth)?;
        let Some(quantifier @ ('*' | '+' | '?' | '{')) = self.peek() else {
            return Ok(measure);
        };
        if !repeatable {
            return Err(self.error(
                format!("'{quantifier}' after an anchor or a word boundary"),
                "put the quantifier after a character, a class or a group",
            ));
        }
        if quantifier == '{' {
            let bound = self.counts()?;
            measure.size = measure.size.saturating_mul(bound);
            measure.nested = measure.nested.saturating_mul(bound.max(1));
            if measure.nested > MAX_NESTED_COUNT {
                return Err(self.error(
                    format!("nested counted repetitions multiply to more than {MAX_NESTED_COUNT}"),
                    "lower the counts, or repeat with * or +",
                ));
            }
        } else {
            self.next();
            self.out.push(quantifier);
        }
        // Laziness decides which match is found first, never whether there is one.
        self.take("?");
        if let Some(again @ ('*' | '+' | '?' | '{')) = self.peek() {
            return Err(self.error(
                format!("'{again}' after another quantifier"),
                "put the repeated part into a group: (?:a+)*",
            ));
        }
        Ok(measure)
    }

    /// `{n}`, `{n,}` or `{n,m}`; answers the upper bound, n + 1 for `{n,}`.
    fn counts(&mut self) -> Result<u32, PatternError> {
        self.next();
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
            Some(max) => {
                self.out.push_str(&format!("{{{min},{max}}}"));
                Ok(max)
            }
            None => {
                self.out.push_str(&format!("{{{min},}}"));
                Ok(min.saturating_add(1))
            }
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

    /// One atom or anchor, and whether a quantifier may follow it.
    fn atom(&mut self, depth: u32) -> Result<(Measure, bool), PatternError> {
        let one = Measure { size: 1, nested: 1 };
        let at = self.rest;
        let Some(c) = self.next() else {
            return Ok((one, false));
        };
        match c {
            '^' => {
                self.out.push_str("\\A");
                return Ok((one, false));
            }
            '$' => {
                self.out.push_str("\\z");
                return Ok((one, false));
            }
            '.' => self.push_class(false, NOT_NEWLINE),
            '(' => return Ok((self.group(at, depth)?, true)),
            '[' => self.class(at)?,
            '\\' => match self.escape(at)? {
                Escape::Char(c) => self.push_char(c),
                Escape::Class(ranges) => self.push_class(false, ranges),
                Escape::Boundary(text) => {
                    self.out.push_str(text);
                    return Ok((one, false));
                }
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
            c => self.push_char(c),
        }
        Ok((one, true))
    }

    /// After `(`, which stood at `at`.
    fn group(&mut self, at: &'p str, depth: u32) -> Result<Measure, PatternError> {
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
        self.out.push_str("(?:");
        let mut measure = self.alternation(depth)?;
        if !self.take(")") {
            self.rest = at;
            return Err(self.error(
                "a group that is never closed",
                "close it with ')', or write \\( for the character",
            ));
        }
        self.out.push(')');
        measure.size = measure.size.saturating_add(1);
        Ok(measure)
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
            Some('b') => Escape::Boundary("\\b"),
            Some('B') => Escape::Boundary("\\B"),
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
    fn class(&mut self, at: &'p str) -> Result<(), PatternError> {
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
        self.push_class(negated, &ranges);
        Ok(())
    }

    /// Whether a `-` follows that makes a range of the character before it, and does not just stand last.
    fn range_follows(&self) -> bool {
        let mut chars = self.rest.chars();
        chars.next() == Some('-') && chars.next().is_some_and(|c| c != ']')
    }

    fn push_char(&mut self, c: char) {
        if self.fold_case && c.is_ascii_alphabetic() {
            self.push_class(false, &[(c, c)])
        } else {
            push_literal(&mut self.out, c)
        }
    }

    /// Writes a class out, with the other case of every letter in it when case is folded (before it is negated).
    fn push_class(&mut self, negated: bool, ranges: &[Range]) {
        self.out.push_str(if negated { "[^" } else { "[" });
        for &(low, high) in ranges {
            self.push_range(low, high);
            if self.fold_case {
                if let Some((low, high)) = overlap((low, high), ('a', 'z')) {
                    self.push_range(low.to_ascii_uppercase(), high.to_ascii_uppercase());
                }
                if let Some((low, high)) = overlap((low, high), ('A', 'Z')) {
                    self.push_range(low.to_ascii_lowercase(), high.to_ascii_lowercase());
                }
            }
        }
        self.out.push(']');
    }

    fn push_range(&mut self, low: char, high: char) {
        push_literal(&mut self.out, low);
        if low != high {
            self.out.push('-');
            push_literal(&mut self.out, high);
        }
    }
}

/// Writes a character so that it means itself in the engine, inside a class and outside.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() {
        out.push(c)
    } else {
        out.push_str(&format!("\\x{{{:x}}}", u32::from(c)))
    }
}

fn overlap((low, high): Range, (from, to): Range) -> Option<Range> {
    let (low, high) = (low.max(from), high.min(to));
    (low <= high).then_some((low, high))
}
