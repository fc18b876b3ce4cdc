//! The looks of a group-sequential experiment: those taken, the next, and what is known beside them.

use serde_json::Value;

use super::{Figures, count, instant, list, number, text, yes};

/// A line each look, and one for what is to come; nothing for other experiments.
pub fn lines(results: &Value) -> Vec<String> {
    let Some(looks) = results.get("looks").filter(|looks| !looks.is_null()) else {
        return Vec::new();
    };
    let planned = count(looks, "/planned");
    let spending = match text(looks, "/spending") {
        "pocock" => "Pocock-like",
        _ => "O'Brien–Fleming-like",
    };
    let one = |look: &Value| {
        format!(
            "look {} of {planned} on {}: {} units, bound {:.3} standard errors{}",
            count(look, "/number"),
            instant(look, "/at_ms"),
            count(look, "/units"),
            number(look, "/bound").unwrap_or(f64::NAN),
            if yes(look, "/is_last") { ", the last" } else { "" }
        )
    };
    let mut lines = vec![format!(
        "group-sequential, {planned} looks on the way to {} units ({spending} spending); {} units by now",
        count(looks, "/planned_units"),
        count(looks, "/units")
    )];
    lines.extend(list(looks, "/taken").map(one));
    lines.push(match looks.get("next").filter(|next| !next.is_null()) {
        Some(next) => {
            let at = count(next, "/units");
            format!(
                "next look: {} of {planned}, at {at} units{}",
                count(next, "/number"),
                if count(looks, "/units") < at {
                    ""
                } else {
                    ": they are there, and the server takes it when it next looks after experiments"
                }
            )
        }
        None => "no look is to come".to_owned(),
    });
    lines
}

/// What the intervals promise.
pub fn promise(results: &Value) -> &'static str {
    let taken = list(results, "/looks/taken").next().is_some();
    match number(results, "/looks/shown") {
        Some(_) => {
            "Lifts, intervals, p-values and verdicts are of the newest look, and true at all planned looks together; units and values are as of now."
        }
        None if taken => {
            "Looks are of all units of the phase together, at the planned confidence: of these there are no intervals and p-values."
        }
        None => "The experiment is read at planned looks: intervals and p-values are not shown before the first.",
    }
}

/// The lifts of all units so far, beside those of the look; a line each variation.
pub fn since(metric: &Value) -> Vec<String> {
    let figures = Figures::of(metric);
    let line = |arm: &Value| {
        let now = arm
            .pointer("/current_lift/absolute")
            .filter(|now| number(now, "/estimate").is_some())?;
        Some(format!(
            "all units so far, without interval: {} {}",
            text(arm, "/variation_id"),
            figures.difference(now)
        ))
    };
    list(metric, "/arms").filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::results::{table, tests::answer, tests::sick};

    #[test]
    fn the_page_says_which_look_figures_are_of_and_when_the_next_comes() {
        let mut results = answer();
        results["method"] = json!("group_sequential");
        results["looks"] = json!({ "planned": 4, "planned_units": 400, "spending": "obrien_fleming", "units": 257, "shown": 2, "next": { "number": 3, "units": 300 },
            "taken": [{ "number": 2, "at_ms": 1_795_392_000_000_i64, "units": 203, "fraction": 0.5075, "is_last": false, "bound": 2.963, "spent": 0.003 }] });
        let arm = &mut results["metrics"][0]["arms"][1];
        arm["decided_at_look"] = json!(2);
        arm["current_lift"] = json!({ "absolute": { "estimate": 0.0019 } });
        let page = table::page(&results, &sick());
        for wanted in [
            "look 2 of 4 on 2026-11-23 00:00:00 UTC: 203 units, bound 2.963",
            "next look: 3 of 4, at 300 units",
            "better (since look 2)",
            "all units so far, without interval: <b>new</b> +0.190 pp",
            "true at all planned looks together",
        ] {
            assert!(page.contains(wanted), "{wanted} is missing:\n{page}");
        }
        results["looks"]["units"] = json!(300);
        assert!(table::page(&results, &sick()).contains("at 300 units: they are there"));
        assert!(lines(&answer()).is_empty());
    }
}
