//! What no host writes must do no harm: the buffer comes over a boundary that checks nothing.

use proptest::prelude::*;

use crate::snapshot::Snapshot;
use crate::{Attributes, Slots, Value};

const MANIFEST: &[u8] = br#"{"schema":1,"environment":"e","audience":"server","generation":1,"version":1,"issued_at_ms":0,"flags":{
  "f":{"type":"bool","off":"n","default":"n","variations":[{"key":"y","value":true},{"key":"n","value":false}],
  "rules":[{"id":"r","kind":"targeted","serve":"y","when":{"all":[{"op":"str_eq","attr":"a","value":"x"},{"op":"str_eq","attr":"b","value":"x"}]}}]}}}"#;

fn snapshot() -> Snapshot {
    Snapshot::compile(MANIFEST, &()).expect("the manifest is right").0
}

/// A record as a host writes it.
fn record(index: i32, kind: i32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = index.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn filled(records: &[u8]) -> (Snapshot, Slots) {
    let snapshot = snapshot();
    let mut slots = Slots::new(&snapshot);
    super::fill(&mut slots, records);
    (snapshot, slots)
}

fn is_text(slots: &Slots, snapshot: &Snapshot, name: &str, text: &str) -> bool {
    let key = snapshot.attribute(name).expect("a rule asks for it");
    matches!(slots.get(key), Value::Str(found) if found == text)
}

#[test]
fn what_stands_before_a_broken_record_counts_and_what_stands_behind_it_does_not() {
    let mut records = record(0, 3, "\u{20ac}".as_bytes());
    records.extend(record(1, i32::MAX, b"too short"));
    records.extend(record(1, 1, b"x"));
    let (snapshot, slots) = filled(&records);
    assert!(is_text(&slots, &snapshot, "a", "\u{20ac}"));
    assert!(matches!(
        slots.get(snapshot.attribute("b").expect("asked for")),
        Value::Missing
    ));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(records in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (snapshot, slots) = filled(&records);
        snapshot.evaluate("f", &slots, 0);
    }

    #[test]
    fn any_head_is_read_without_a_panic(index in any::<i32>(), kind in any::<i32>(), payload in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut records = record(index, kind, &payload);
        records.extend(record(0, 1, b"x"));
        let (snapshot, slots) = filled(&records);
        snapshot.evaluate("f", &slots, 0);
    }
}
