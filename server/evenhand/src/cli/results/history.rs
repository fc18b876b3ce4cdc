//! What was done by itself in the phase, and what was decided when the experiment was ended.

use serde_json::Value;

use super::{count, instant, list, number, text, yes};

/// The newest entries that are shown.
const SHOWN: usize = 5;

/// A line each, in the order in which things happened.
pub fn lines(results: &Value) -> Vec<String> {
    let mut lines = by_itself(results);
    lines.extend(decided(results));
    lines
}

fn by_itself(results: &Value) -> Vec<String> {
    let entries: Vec<&Value> = list(results, "/stewardship/entries").collect();
    let mut lines: Vec<String> = (entries.iter().skip(entries.len().saturating_sub(SHOWN)))
        .map(|entry| {
            let act = match (text(entry, "/act"), yes(entry, "/done")) {
                (act, false) => format!("would have been done by itself (dry run): {act}"),
                ("notify", true) => "noticed".to_owned(),
                (act, true) => format!("done by itself: {act}"),
            };
            format!("{act} on {}: {}", instant(entry, "/at_ms"), text(entry, "/because"))
        })
        .collect();
    if let Some(round) = list(results, "/stewardship/rounds").last() {
        let arm = |arm: &Value| {
            format!(
                "{} {} %",
                text(arm, "/variation"),
                number(arm, "/weight").unwrap_or(0.0) / 100.0
            )
        };
        let weights: Vec<String> = list(round, "/arms").map(arm).collect();
        lines.push(format!(
            "weights of epoch {} since {}: {} ({})",
            count(round, "/epoch"),
            instant(round, "/at_ms"),
            weights.join(", "),
            text(round, "/because")
        ));
    }
    lines
}

fn decided(results: &Value) -> Vec<String> {
    let Some(record) = results.get("decision").filter(|record| !record.is_null()) else {
        return Vec::new();
    };
    let what = match text(record, "/shipped") {
        "" => "stopped".to_owned(),
        variation => format!("shipped {variation}"),
    };
    let why = match text(record, "/reason") {
        "" => String::new(),
        reason => format!(": “{reason}”"),
    };
    let mut lines = vec![format!(
        "{what} by {} on {}{why}",
        text(record, "/actor"),
        instant(record, "/at_ms")
    )];
    lines.push(match record.get("results").filter(|known| !known.is_null()) {
        Some(known) => format!(
            "results at that time: {} ({})",
            text(known, "/guidance/because"),
            text(known, "/guidance/rule")
        ),
        None => format!(
            "results at that time were not there: {}",
            text(record, "/results_missing")
        ),
    });
    lines.push(format!("decision record {}", text(record, "/sha256")));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_done_by_itself_is_told_with_its_reason() {
        let entry = json!({ "act": "kill", "done": true, "at_ms": 1_795_392_000_000_i64, "because": "new does harm" });
        let round = json!({ "epoch": 3, "at_ms": 1_795_392_000_000_i64, "because": "the best on clicks: new 97.0 %", "arms": [{ "variation": "new", "weight": 9700 }] });
        let told =
            lines(&json!({ "decision": null, "stewardship": { "entries": [entry], "rounds": [round] } })).join("\n");
        for wanted in [
            "done by itself: kill on 2026-",
            "new does harm",
            "epoch 3",
            "new 97 %",
            "the best on clicks",
        ] {
            assert!(told.contains(wanted), "{wanted}: {told}");
        }
    }

    #[test]
    fn a_decision_says_who_why_and_on_what() {
        assert!(lines(&json!({ "decision": null })).is_empty());
        let known = json!({ "guidance": { "because": "new is better on sales", "rule": "primary_better" } });
        let mut results = json!({ "decision": { "actor": "ana", "at_ms": 1_795_392_000_000_i64, "reason": "it pays", "shipped": "new", "results": known, "results_missing": null, "sha256": "ab12" } });
        let said = lines(&results).join("\n");
        for wanted in [
            "shipped new by ana on 2026-11-23",
            "“it pays”",
            "new is better on sales (primary_better)",
            "ab12",
        ] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
        results["decision"]["results"] = Value::Null;
        results["decision"]["results_missing"] = json!("ClickHouse is away");
        assert!(
            lines(&results)
                .join("\n")
                .contains("were not there: ClickHouse is away")
        );
    }
}
