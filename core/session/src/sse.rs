//! Server-sent events (WHATWG HTML, "Server-sent events"), as far as announcements need them: the `event` and `data` of each.

/// A longer line, or longer data, is no announcement: it is skipped.
const MAX_BYTES: usize = 65_536;

/// One event of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub event: String,
    pub data: String,
}

#[derive(Debug, Default)]
pub(crate) struct Reader {
    line: Vec<u8>,
    /// The line is too long: the rest of it is skipped.
    skipping: bool,
    /// The last byte was a carriage return: a line feed right behind it belongs to it.
    returned: bool,
    event: String,
    data: String,
}

impl Reader {
    /// Takes what came, and returns the events that are complete.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        for byte in bytes {
            let after_return = core::mem::replace(&mut self.returned, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\r' | b'\n' => messages.extend(self.end_line()),
                _ if self.skipping => {}
                _ if self.line.len() >= MAX_BYTES => self.skipping = true,
                _ => self.line.push(*byte),
            }
        }
        messages
    }

    fn end_line(&mut self) -> Option<Message> {
        let bytes = core::mem::take(&mut self.line);
        if core::mem::take(&mut self.skipping) {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = text.strip_prefix('\u{feff}').unwrap_or(&text);
        if line.is_empty() {
            let (event, data) = (core::mem::take(&mut self.event), core::mem::take(&mut self.data));
            return (!data.is_empty()).then_some(Message { event, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" if self.data.len().saturating_add(value.len()) < MAX_BYTES => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // `id` is known from the data; comments are signs of life; the rest is not ours.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut reader = Reader::default();
        pieces
            .iter()
            .flat_map(|piece| reader.read(piece))
            .map(|m| (m.event, m.data))
            .collect()
    }

    #[test]
    fn events_in_any_pieces() {
        let text = b": still here\n\nevent: manifest\nid: 1.17\ndata: {\"version\":17}\n\nevent:x\r\ndata:a\r\ndata: b\r\n\r\n";
        let expected = vec![
            ("manifest".into(), "{\"version\":17}".into()),
            ("x".into(), "a\nb".into()),
        ];
        assert_eq!(read(&[text]), expected);
        for cut in 0..text.len() {
            assert_eq!(read(&[&text[..cut], &text[cut..]]), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn what_is_no_event_and_what_is_too_long() {
        assert_eq!(read(&[b"event: manifest\n\ndata\n\n"]), vec![]);
        let long = [b"data: ".as_slice(), &vec![b'x'; 3 * MAX_BYTES], b"\ndata: y\n\n"].concat();
        assert_eq!(read(&[&long]), vec![(String::new(), "y".into())]);
        let mut reader = Reader::default();
        reader.read(&vec![b'x'; 10 * MAX_BYTES]);
        assert!(reader.line.capacity() <= 2 * MAX_BYTES);
    }
}
