//! Values as they stand in SQL.

use evenhand_pipeline::process::UnitKey;

/// A string literal.
pub(crate) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// Bytes as an expression of the type FixedString.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2 + 9);
    push(&mut out, bytes);
    out
}

/// Units as what stands between the brackets of `IN ( … )`.
pub(crate) fn units(units: &[UnitKey]) -> String {
    let mut out = String::with_capacity(units.len() * 42);
    for (at, unit) in units.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push(&mut out, &unit.0);
    }
    out
}

fn push(out: &mut String, bytes: &[u8]) {
    out.push_str("unhex('");
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    out.push_str("')");
}
