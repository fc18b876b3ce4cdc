//! A line of results: keys ascending, no white space, ASCII.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde_json::Value;

/// The file of results: of each file of vectors its number of cases, then its lines.
pub struct Results(BufWriter<File>);

impl Results {
    pub fn create(path: &Path) -> Result<Results, String> {
        let file = File::create(path).map_err(|e| format!("can't write {}: {e}", path.display()))?;
        Ok(Results(BufWriter::new(file)))
    }

    /// Writes what one file of vectors gave; the file's name is put into each line.
    pub fn file(&mut self, name: &str, lines: Vec<Value>) -> Result<(), String> {
        let cases = lines.iter().filter(|line| line.get("case").is_some()).count();
        let head = serde_json::json!({"cases": cases});
        for mut line in std::iter::once(head).chain(lines) {
            if let Some(members) = line.as_object_mut() {
                members.insert("file".into(), name.into());
            }
            let mut text = String::new();
            write(&line, &mut text);
            text.push('\n');
            self.0
                .write_all(text.as_bytes())
                .map_err(|e| format!("the results: {e}"))?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), String> {
        self.0.flush().map_err(|e| format!("the results: {e}"))
    }
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            // Sorted here: a crate in the build may have told serde_json to keep the order of insertion.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                text(key, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::String(string) => text(string, out),
        simple => out.push_str(&simple.to_string()),
    }
}

fn text(string: &str, out: &mut String) {
    out.push('"');
    for unit in string.encode_utf16() {
        match unit {
            0x08 => out.push_str("\\b"),
            0x09 => out.push_str("\\t"),
            0x0a => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            0x0d => out.push_str("\\r"),
            0x22 => out.push_str("\\\""),
            0x5c => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(unit as u8)),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_ascii_and_sorted() {
        let value: Value =
            serde_json::from_str(r#"{"b":["\u007f\u00e9\u0001\n\"\\",true,null,-7],"a":"\ud83d\ude00"}"#).unwrap();
        let mut out = String::new();
        write(&value, &mut out);
        let expected = r#"{"a":"\ud83d\ude00","b":["\u007f\u00e9\u0001\n\"\\",true,null,-7]}"#;
        assert_eq!(out, expected);
    }
}
