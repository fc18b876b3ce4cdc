//! Id lists: from uploaded text to the content-addressed blob of docs/contract/manifest.md. Only hashes are kept.

use std::sync::Arc;

use evenhand_core::id_list::IdListBuilder;
use evenhand_core::unit::MAX_UNIT_BYTES;

use crate::problem::{ManageError, Result};

/// The most ids a list may have.
pub const MAX_IDS: usize = 1_000_000;
/// The largest upload in bytes.
pub const MAX_UPLOAD_BYTES: usize = 64 * 1024 * 1024;

/// An encoded list.
#[derive(Debug, Clone)]
pub struct EncodedList {
    /// The blob.
    pub bytes: Arc<[u8]>,
    /// Its content address.
    pub sha256: String,
    /// How many different ids it holds.
    pub count: u64,
}

/// Reads one id a line: `\n` or `\r\n` ends it, empty lines are passed over, nothing is trimmed.
pub fn from_text(salt: &str, text: &[u8]) -> Result<EncodedList> {
    if text.len() > MAX_UPLOAD_BYTES {
        return Err(ManageError::TooLarge(format!(
            "the list has {} bytes; at most {MAX_UPLOAD_BYTES} are taken: split it into several segments",
            text.len()
        )));
    }
    let text = std::str::from_utf8(text).map_err(|error| {
        let line = text[..error.valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        ManageError::invalid(
            format!("line {line}"),
            "the text is not UTF-8",
            "send one id a line, in UTF-8",
        )
    })?;
    let mut list = IdListBuilder::new(salt);
    let mut count = 0;
    for (index, line) in text.split('\n').enumerate() {
        let id = line.strip_suffix('\r').unwrap_or(line);
        if id.is_empty() {
            continue;
        }
        if count == MAX_IDS {
            return Err(ManageError::TooLarge(format!(
                "the list has more than {MAX_IDS} ids: split it into several segments"
            )));
        }
        count += 1;
        list.add(id).map_err(|error| {
            ManageError::invalid(
                format!("line {}", index + 1),
                error.to_string(),
                format!("send ids of 1 to {MAX_UNIT_BYTES} bytes, one a line"),
            )
        })?;
    }
    Ok(encoded(list))
}

fn encoded(list: IdListBuilder) -> EncodedList {
    let blob = list.build();
    EncodedList {
        bytes: blob.bytes.into(),
        sha256: blob.sha256,
        count: blob.count,
    }
}

/// A list of nobody.
pub fn empty(salt: &str) -> EncodedList {
    encoded(IdListBuilder::new(salt))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blob of three ids under `salt-1`, computed with Python's hashlib from docs/contract/manifest.md.
    #[test]
    fn the_blob_is_the_contracts() {
        let list = from_text("salt-1", "user-1\r\nuser-2\n\nuser-1\n日本".as_bytes()).unwrap();
        assert_eq!(list.count, 3);
        assert_eq!(hex(&list.bytes), EXPECTED_BLOB);
        assert_eq!(list.sha256, EXPECTED_ADDRESS);
    }

    #[test]
    fn faults_name_the_line() {
        let Err(ManageError::Invalid(problems)) = from_text("s", b"ok\nok\n\xff") else {
            panic!("taken")
        };
        assert_eq!(problems[0].field, "line 3");
        let long = format!("a\n{}", "x".repeat(MAX_UNIT_BYTES + 1));
        let Err(ManageError::Invalid(problems)) = from_text("s", long.as_bytes()) else {
            panic!("taken")
        };
        assert_eq!(problems[0].field, "line 2");
    }

    const EXPECTED_BLOB: &str = "45484c495354303103000000000000000c54e21cd5d53b247099e2cd6c1492eeda9098fdabfa0db3";
    const EXPECTED_ADDRESS: &str = "faadd509233b609bd60ea4802f18bd29cbc31fad1d0e8226909f6639d0523a98";
}
