//! Places in a JSON text: from a path to line and column, and back. Used only to report a fault, so that reading a
//! manifest without faults keeps no positions.

use std::fmt::Write as _;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Name(String),
    /// An element of a list.
    Index(usize),
}

impl From<&str> for Step {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Writes a path as `flags.checkout.rules[2].when`; a name with other characters than `A-Za-z0-9_-$` is quoted.
pub fn path_text(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        // Writing to a String can't fail.
        let _ = match step {
            Step::Index(index) => write!(text, "[{index}]"),
            Step::Name(name) if is_plain(name) && text.is_empty() => write!(text, "{name}"),
            Step::Name(name) if is_plain(name) => write!(text, ".{name}"),
            Step::Name(name) => write!(text, "[{}]", serde_json::Value::from(name.as_str())),
        };
    }
    text
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$'))
}

/// Where the lines of a text begin, found once for all faults of a manifest.
pub struct Lines(Vec<usize>);

impl Lines {
    /// Finds the lines of `text`.
    pub fn new(text: &[u8]) -> Self {
        let after_breaks = text
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at.saturating_add(1));
        Self(std::iter::once(0).chain(after_breaks).collect())
    }

    /// Line and column, both from 1, of a byte offset. A column counts bytes.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.0.partition_point(|&start| start <= offset);
        let start = line
            .checked_sub(1)
            .and_then(|line| self.0.get(line))
            .copied()
            .unwrap_or(0);
        (line, offset.saturating_sub(start).saturating_add(1))
    }
}

/// The byte offset of a line and column, both from 1.
pub fn offset_of_line_and_column(text: &[u8], line: usize, column: usize) -> usize {
    let mut start = 0usize;
    for _ in 1..line {
        let rest = text.get(start..).unwrap_or_default();
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            break;
        };
        start = start.saturating_add(end).saturating_add(1);
    }
    start.saturating_add(column.saturating_sub(1)).min(text.len())
}

/// The offset of the value at `path`, or of the deepest value on the way to it that is there.
pub fn offset_of(text: &[u8], path: &[Step]) -> usize {
    let (mut best, mut best_depth) = (0usize, 0usize);
    Walk::new(text).values(|here, offset| {
        if here.len() >= best_depth && path.starts_with(here) {
            (best, best_depth) = (offset, here.len());
        }
        here != path
    });
    best
}

/// The path of the value, or member, that begins last at or before `offset`.
pub fn path_at(text: &[u8], offset: usize) -> Vec<Step> {
    let mut start = None;
    Walk::new(text).values(|_, at| {
        let before = at <= offset;
        start = if before { Some(at) } else { start };
        before
    });
    let mut path = Vec::new();
    Walk::new(text).values(|here, at| {
        if Some(at) == start {
            path = here.to_vec();
        }
        Some(at) != start
    });
    path
}

/// The first string that is `value` and stands in the member `member`, itself or one of a list.
pub fn find_text(text: &str, value: &str, member: &str) -> Option<usize> {
    let quoted = serde_json::Value::from(value).to_string();
    let mut found = None;
    Walk::new(text.as_bytes()).values(|here, offset| {
        let inside = match here {
            [.., Step::Name(name)] => name == member,
            [.., Step::Name(name), Step::Index(_)] => name == member || name.strip_suffix('s') == Some(member),
            _ => false,
        };
        if inside && text.get(offset..).is_some_and(|rest| rest.starts_with(&quoted)) {
            found = Some(offset);
        }
        found.is_none()
    });
    found
}

/// The members of the object that is `text`: name and text of the value, in their order. Tolerant: it stops at the first
/// thing that is not JSON, and names that are not well-formed are left out.
pub fn members(text: &str) -> Vec<(String, &str)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    let mut walk = Walk::new(text.as_bytes());
    walk.values(|here, offset| {
        if let [Step::Name(name)] = here {
            found.push((name.clone(), offset));
        }
        true
    });
    // Each member is announced twice: at its name and at its value.
    found
        .chunks_exact(2)
        .filter_map(|pair| match pair {
            [(name, _), (_, start)] => {
                let rest = text.get(*start..)?;
                let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&serde_json::value::RawValue>();
                Some((name.clone(), values.next()?.ok()?.get()))
            }
            _ => None,
        })
        .collect()
}

/// Walks a JSON text that is grammatically right, or up to where it stops being so, without recursion.
struct Walk<'t> {
    text: &'t [u8],
    at: usize,
}

enum Frame {
    Object,
    List,
}

impl<'t> Walk<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    /// Skips a string and gives its text, decoded.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.step();
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    self.step();
                    self.step();
                }
                _ => self.step(),
            }
        }
        self.step();
        let token = self.text.get(start..self.at)?;
        // A lone surrogate has no text; the member stays countable under a name nobody has.
        Some(serde_json::from_slice(token).unwrap_or_else(|_| String::from_utf8_lossy(token).into_owned()))
    }

    /// Calls `visit` with path and offset of every member's name and every value; stops when it says false.
    fn values(&mut self, mut visit: impl FnMut(&[Step], usize) -> bool) -> Option<()> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut path: Vec<Step> = Vec::new();
        loop {
            // A value begins here.
            self.space();
            if !visit(&path, self.at) {
                return None;
            }
            match self.peek()? {
                b'{' => {
                    self.step();
                    self.space();
                    if self.peek()? == b'}' {
                        self.step();
                    } else {
                        frames.push(Frame::Object);
                        self.name(&mut path, &mut visit)?;
                        continue;
                    }
                }
                b'[' => {
                    self.step();
                    self.space();
                    if self.peek()? == b']' {
                        self.step();
                    } else {
                        frames.push(Frame::List);
                        path.push(Step::Index(0));
                        continue;
                    }
                }
                b'"' => {
                    self.string()?;
                }
                _ => {
                    while matches!(
                        self.peek(),
                        Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.')
                    ) {
                        self.step();
                    }
                }
            }
            // A value has ended: close what ends with it, go on to the next.
            loop {
                self.space();
                let frame = frames.last()?;
                match (frame, self.peek()?) {
                    (Frame::Object, b',') => {
                        self.step();
                        self.space();
                        path.pop();
                        self.name(&mut path, &mut visit)?;
                        break;
                    }
                    (Frame::List, b',') => {
                        self.step();
                        if let Some(Step::Index(index)) = path.last_mut() {
                            *index = index.saturating_add(1);
                        }
                        break;
                    }
                    (Frame::Object, b'}') | (Frame::List, b']') => {
                        self.step();
                        frames.pop();
                        path.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Reads `"name":`, puts the name on the path and announces it.
    fn name(&mut self, path: &mut Vec<Step>, visit: &mut impl FnMut(&[Step], usize) -> bool) -> Option<()> {
        let start = self.at;
        if self.peek()? != b'"' {
            return None;
        }
        let name = self.string()?;
        path.push(Step::Name(name));
        if !visit(path, start) {
            return None;
        }
        self.space();
        if self.peek()? != b':' {
            return None;
        }
        self.step();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\n  \"a\": [1, {\"b c\": null}],\n  \"d\": \"x\"\n}";

    #[test]
    fn a_path_is_found_and_found_back() {
        let path = [Step::from("a"), Step::from(1), Step::from("b c")];
        let offset = TEXT.find("\"b c\"").unwrap();
        assert_eq!(path_at(TEXT.as_bytes(), offset), path);
        assert_eq!(path_text(&path), "a[1][\"b c\"]");
        assert_eq!(Lines::new(TEXT.as_bytes()).place(TEXT.find("\"d\"").unwrap()), (3, 3));
        assert_eq!(
            offset_of_line_and_column(TEXT.as_bytes(), 3, 3),
            TEXT.find("\"d\"").unwrap()
        );
    }

    #[test]
    fn what_is_missing_is_placed_at_its_parent() {
        let parent = TEXT.find("{\"b c\"").unwrap();
        assert_eq!(
            offset_of(
                TEXT.as_bytes(),
                &[Step::from("a"), Step::from(1), Step::from("nothing")]
            ),
            parent
        );
    }

    #[test]
    fn members_of_an_object() {
        let found = members(TEXT);
        assert_eq!(
            found,
            [("a".to_owned(), "[1, {\"b c\": null}]"), ("d".to_owned(), "\"x\"")]
        );
        assert_eq!(members("[1]"), []);
        assert_eq!(
            members("{\"a\":1,\"a\":2,"),
            [("a".to_owned(), "1"), ("a".to_owned(), "2")]
        );
    }
}
