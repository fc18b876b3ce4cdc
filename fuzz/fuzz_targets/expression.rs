//! A context (first line) and an expression (the rest): whatever the expression answers, Kleene's logic holds around it, and
//! `explain` agrees with `evaluate`.
#![no_main]

use std::fmt::Write as _;

use evenhand_core::context_json::parse_context;
use evenhand_core::{Context, Snapshot};
use serde_json::value::RawValue;

const NOW_MS: i64 = 1_764_000_000_000;
/// Each around the fuzzed expression `#`, which stands in the segment `s` as well.
const FLAGS: [(&str, &str); 7] = [
    ("plain", "#"),
    ("not", r##"{"not":#}"##),
    ("not_not", r##"{"not":{"not":#}}"##),
    ("all", r##"{"all":[#,{"all":[]}]}"##),
    ("any", r##"{"any":[{"any":[]},#]}"##),
    ("dual", r##"{"not":{"any":[{"not":#},{"not":#}]}}"##),
    ("segment", r#"{"op":"in_segment","segment":"s"}"#),
];

fn manifest(expression: &str) -> String {
    let mut flags = String::new();
    for (key, around) in FLAGS {
        let comma = if flags.is_empty() { "" } else { "," };
        let when = around.replace('#', expression);
        let _ = write!(
            flags,
            r#"{comma}"{key}":{{"type":"bool","variations":[{{"key":"off","value":false}},{{"key":"on","value":true}}],"off":"off","default":"off","rules":[{{"id":"r","kind":"targeted","serve":"on","when":{when}}}]}}"#
        );
    }
    format!(
        r#"{{"schema":1,"environment":"e","audience":"server","generation":1,"version":1,"issued_at_ms":0,"segments":{{"s":{expression}}},"flags":{{{flags}}}}}"#
    )
}

/// Whether the flag's expression is true; none when the flag did not compile.
fn is_true(snapshot: &Snapshot, key: &str, context: &Context) -> Option<bool> {
    let decision = snapshot.evaluate(key, context, NOW_MS);
    assert_eq!(
        decision,
        snapshot.explain(key, context, NOW_MS).decision,
        "explain and evaluate disagree"
    );
    match decision.reason.name() {
        "TARGETED" => Some(true),
        "DEFAULT" => Some(false),
        "UNSUPPORTED" => None,
        other => panic!("a targeted rule gave {other}"),
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(split) = bytes.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let Ok(expression) = serde_json::from_slice::<&RawValue>(&bytes[split + 1..]) else {
        return;
    };
    let Ok(parsed) = parse_context(&bytes[..split]) else {
        return;
    };
    let text = manifest(expression.get());
    let Ok((snapshot, _)) = Snapshot::compile(text.as_bytes(), &()) else {
        panic!("a fault of one expression refused the whole manifest: {text}");
    };
    let ask = |key| is_true(&snapshot, key, &parsed.context);
    // The others are deeper and cost more, so they may be beyond a limit where the plain one is not; never the other way round.
    let Some(plain) = ask("plain") else {
        for (key, _) in FLAGS {
            assert_eq!(ask(key), None, "{key} compiled and the plain expression did not");
        }
        return;
    };
    for same in ["not_not", "all", "any", "dual", "segment"] {
        assert!(
            ask(same).is_none_or(|answer| answer == plain),
            "{same} differs from the plain expression"
        );
    }
    assert!(
        !(plain && ask("not") == Some(true)),
        "an expression and its negation are both true"
    );
});
