//! The page a person reads in a terminal: health and advice first, then each metric with its lifts.

use serde_json::Value;

use super::health::{faults, health};
use super::{
    Figures, advice, at_the_planned_end, beside, count, history, lift, list, looks, number, promise, relative, text,
    verdict,
};
use crate::cli::sql::aligned;

pub fn page(results: &Value, sick: &Value) -> String {
    let mut out = format!(
        "{}{}, phase {}, epoch {}\n",
        text(results, "/experiment_id"),
        only(results),
        count(results, "/phase"),
        count(results, "/epoch")
    );
    for line in health(results).into_iter().chain(faults(sick)) {
        out.push_str(&line);
        out.push('\n');
    }
    for line in looks::lines(results).into_iter().chain(history::lines(results)) {
        out.push_str(&line);
        out.push('\n');
    }
    out.push_str(&format!("→ {}\n", advice(results)));
    for metric in list(results, "/metrics") {
        let confidence = number(metric, "/confidence").unwrap_or(0.95) * 100.0;
        out.push_str(&format!(
            "\n{} ({}, {})\n",
            text(metric, "/id"),
            text(metric, "/role"),
            text(metric, "/kind")
        ));
        let interval = format!("{} % interval", plain(confidence));
        let header = [
            "variation",
            "units",
            "value",
            "lift",
            &interval,
            "relative",
            "its interval",
            "p-value",
            "verdict",
        ];
        let rows: Vec<Vec<String>> = list(metric, "/arms").map(|arm| row(arm, metric)).collect();
        out.push_str(&aligned(&header.map(str::to_owned), &rows));
        for line in at_the_planned_end(metric, results).into_iter().chain(beside(metric)) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out.push_str(&format!("\n{}\n", promise(results)));
    out
}

/// What the results are cut to.
pub fn only(results: &Value) -> String {
    match text(results, "/cut") {
        "" => String::new(),
        cut => format!(", only units of {cut}"),
    }
}

/// 95, and 97.5 where a correction makes it so.
fn plain(percent: f64) -> String {
    let text = format!("{percent:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn row(arm: &Value, metric: &Value) -> Vec<String> {
    let figures = Figures::of(metric);
    let (mut change, mut interval, mut share, mut p) =
        (["–"; 2].map(str::to_owned), String::new(), String::new(), String::new());
    if let Some(lift) = lift(arm) {
        let absolute = lift.get("absolute").unwrap_or(&Value::Null);
        let (estimate, bounds) = relative(lift);
        change = [figures.difference(absolute), figures.interval(absolute)];
        (share, interval) = (estimate, bounds);
        p = number(absolute, "/p_value").map_or("–".to_owned(), |p| format!("{p:.4}"));
    }
    let [change, bounds] = change;
    vec![
        text(arm, "/variation_id").to_owned(),
        count(arm, "/units").to_string(),
        figures.value(arm, metric),
        change,
        bounds,
        share,
        interval,
        p,
        verdict(arm, metric),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::results::tests::{answer, sick};

    #[test]
    fn health_comes_before_any_number_and_what_is_too_early_says_what_it_lacks() {
        let page = page(&answer(), &sick());
        assert!(page.find("MISMATCH").unwrap() < page.find("click-rate").unwrap());
        for wanted in [
            "0.690 %",
            "+0.230 pp",
            "+50.00 %",
            "[+2.00, +98.00] %",
            "HARMED",
            "needs 40 units more",
            "anytime-valid",
            "shared by 2 comparisons",
            "→ fix the data first: units do not split",
            "since the units of 2026-11-20",
            "likely cause: country NO",
        ] {
            assert!(page.contains(wanted), "{wanted} is missing:\n{page}");
        }
    }
}
