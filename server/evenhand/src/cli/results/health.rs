//! What must be in order before a number is believed: the split and what is left out, and what was found to be wrong.

use serde_json::Value;

use super::{count, list, number, text, yes};

/// What must be in order before a number is believed, a line each.
pub fn health(results: &Value) -> Vec<String> {
    let (watched, once) = (
        number(results, "/srm_sequential/p_value"),
        number(results, "/srm/p_value"),
    );
    let split = match (watched, once) {
        (Some(p), _) if yes(results, "/srm_sequential/mismatch") => {
            format!("SAMPLE RATIO MISMATCH (p = {p:.2e}): do not read on, find the cause first")
        }
        (Some(_), Some(p)) if yes(results, "/srm/mismatch") => format!(
            "sample ratio looks off at this look (χ² p = {p:.2e}), and not yet by the test that allows for many looks: watch it"
        ),
        (Some(_), Some(p)) => format!("sample ratio in order (χ² p = {p:.3})"),
        _ => "too few units for a verdict on the sample ratio".to_owned(),
    };
    let mut lines = vec![
        split,
        format!(
            "left out: {} units seen in two variations, {} forced by an override",
            count(results, "/multiple_exposure_units"),
            count(results, "/overridden_units")
        ),
    ];
    if count(results, "/lag_events") > 0 {
        lines.push(format!(
            "{} events acknowledged and not yet counted",
            count(results, "/lag_events")
        ));
    }
    if results.pointer("/complete").and_then(Value::as_bool) == Some(false) {
        let share = number(results, "/rebuild_progress").unwrap_or(0.0) * 100.0;
        lines.push(format!("still counting in what was there before ({share:.0} %)"));
    }
    lines
}

/// What is wrong with the data, a line each; nothing where all is well.
pub fn faults(health: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let ratio = health.get("sample_ratio").unwrap_or(&Value::Null);
    if text(ratio, "/finding") == "failure" {
        lines.push(format!("the split is off since the units of {}", text(ratio, "/since")));
        for suspect in list(ratio, "/suspects").filter(|one| one.get("heals").and_then(Value::as_bool) == Some(true)) {
            lines.push(format!(
                "  likely cause: {} {} ({} units); without it the split is in order",
                text(suspect, "/dimension"),
                text(suspect, "/value"),
                count(suspect, "/units")
            ));
        }
    }
    let twice = health.get("multiple_exposure").unwrap_or(&Value::Null);
    if ["warning", "failure"].contains(&text(twice, "/finding")) {
        lines.push(format!(
            "{:.1} % of the units were seen in two variations: who they are is not chance (ids made anew, several applications)",
            number(twice, "/share").unwrap_or(0.0) * 100.0
        ));
    }
    let loss = health.get("exposure_loss").unwrap_or(&Value::Null);
    if ["warning", "failure"].contains(&text(loss, "/finding")) {
        lines.push(format!(
            "of {:.1} % of the units decided no exposure came ({} of {} looked at): whoever asks for decisions must send the exposures of those that are shown",
            number(loss, "/share_lost").unwrap_or(0.0) * 100.0,
            count(loss, "/decided_sampled").saturating_sub(count(loss, "/received")),
            count(loss, "/decided_sampled")
        ));
    }
    let late = health.get("late_events").unwrap_or(&Value::Null);
    if text(late, "/finding") == "warning" {
        lines.push(format!(
            "events come late: {} of {} more than an hour, {} more than a day; the results of the last days will still change",
            count(late, "/over_an_hour"),
            count(late, "/accepted"),
            count(late, "/over_a_day")
        ));
    }
    for one in list(health, "/pre_period/comparisons") {
        if one.get("imbalanced").and_then(Value::as_bool) == Some(true) {
            lines.push(format!(
                "{} differed in {} already before the exposure (p = {:.2e}): the assignment or the counting is at fault",
                text(one, "/variation_id"),
                text(one, "/metric"),
                number(one, "/adjusted_p_value").unwrap_or(0.0)
            ));
        }
    }
    lines
}
