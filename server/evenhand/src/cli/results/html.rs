//! The report: one page of HTML with its style and plots inside, to be mailed or kept.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::health::{faults, health};
use super::html_cuts::{by_value, over_days};
use super::table::only;
use super::{
    Figures, advice, at_the_planned_end, beside, count, history, instant, lift, list, looks, number, promise, relative,
    text, verdict, yes,
};

/// Readable in light and dark, on paper too. Verdicts differ by word and place, not by colour alone.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1a1a1e; --soft: #6b6b76; --line: #d9d9e0; --paper: #fff; --good: #0a7d4b; --bad: #b3261e; --flat: #3b5bdb; --wait: #8a8a94; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf1; --soft: #a0a0ab; --line: #3a3a42; --paper: #17171b; --good: #4cc38a; --bad: #ff8a80; --flat: #91a7ff; --wait: #7c7c86; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; } h3 { font-size: 1rem; margin: 1rem 0 0; color: var(--soft); font-weight: 500; } h2 small { color: var(--soft); font-weight: normal; }
.soft { color: var(--soft); } .advice { border-left: 4px solid var(--flat); padding: .6rem 1rem; margin: 1.2rem 0; font-size: 1.1rem; }
.advice.bad { border-color: var(--bad); } .advice.good { border-color: var(--good); }
.alarm { color: var(--bad); font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .93rem; } th, td { text-align: right; padding: .3rem .4rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; }
svg { width: 100%; height: auto; display: block; margin: .4rem 0; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg .soft { fill: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); } .flat { color: var(--flat); } .wait { color: var(--wait); }
";

/// What the report is made of: the server's answers.
pub struct Report<'a> {
    pub results: &'a Value,
    pub health: &'a Value,
    pub days: &'a Value,
    /// One a dimension.
    pub cuts: &'a [Value],
}
pub fn page(report: &Report<'_>) -> String {
    let results = report.results;
    let name = text(results, "/experiment_id");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (name) " – results" }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                h1 { (name) (only(results)) }
                div .soft { "phase " (count(results, "/phase")) ", epoch " (count(results, "/epoch")) ", as of " (instant(results, "/as_of_ms")) }
                div class={ "advice " (advice_class(results)) } { (advice(results)) }
                @for line in looks::lines(results).into_iter().chain(history::lines(results)) { div { (line) } }
                @for (at, line) in health(results).iter().enumerate() {
                    div .alarm[at == 0 && yes(results, "/srm_sequential/mismatch")] { (line) }
                }
                @for line in faults(report.health) { div .alarm { (line) } }
                @for metric in list(results, "/metrics") {
                    (of_metric(metric, results))
                    (over_days(report.days, text(metric, "/id")))
                    @for cut in report.cuts { (by_value(cut, text(metric, "/id"))) }
                }
                p .soft { (promise(results)) }
            }
        }
    };
    page.into_string()
}

fn advice_class(results: &Value) -> &'static str {
    match text(results, "/guidance/advice") {
        "fix_the_data" | "stop" => "bad",
        "ship" => "good",
        _ => "",
    }
}

fn class(arm: &Value) -> &'static str {
    match text(arm, "/verdict") {
        "better" => "good",
        "worse" => "bad",
        "within_margin" => "flat",
        _ => "wait",
    }
}

fn of_metric(metric: &Value, results: &Value) -> Markup {
    let confidence = number(metric, "/confidence").unwrap_or(0.95) * 100.0;
    let figures = Figures::of(metric);
    let better = if text(metric, "/better") == "lower" {
        "less is better"
    } else {
        "more is better"
    };
    html! {
        h2 { (text(metric, "/id")) " " small { (text(metric, "/role")) ", " (text(metric, "/kind")) ", " (better) } }
        (plot(metric))
        div .wide { table {
            tr {
                th { "variation" } th { "units" } th { "value" } th { "lift" } th { (format!("{confidence:.4}").trim_end_matches('0').trim_end_matches('.')) " % interval" }
                th { "relative" } th { "its interval" } th { "p-value" } th { "chance to win" } th { "verdict" }
            }
            @for arm in list(metric, "/arms") {
                tr {
                    td { (text(arm, "/variation_id")) }
                    td { (count(arm, "/units")) }
                    td { (figures.value(arm, metric)) }
                    @if let Some(lift) = lift(arm) {
                        @let absolute = lift.get("absolute").unwrap_or(&Value::Null);
                        @let (share, interval) = relative(lift);
                        td { (figures.difference(absolute)) }
                        td { (figures.interval(absolute)) }
                        td { (share) }
                        td { (interval) }
                        td { (number(absolute, "/p_value").map_or("–".to_owned(), |p| format!("{p:.4}"))) }
                        td { (number(arm, "/bayesian/chance_to_beat_control").map_or("–".to_owned(), |chance| format!("{:.1} %", chance * 100.0))) }
                    } @else {
                        @for _ in 0..6 { td { "–" } }
                    }
                    td class=(class(arm)) { (verdict(arm, metric)) }
                }
            }
        } }
        @for line in at_the_planned_end(metric, results) { div .soft { (line) } }
        @for line in beside(metric) { div .soft { (line) } }
    }
}

/// Left edge, width and height of a row of the plot, in its own units.
const LEFT: f64 = 190.0;
const WIDTH: f64 = 760.0;
const ROW: f64 = 26.0;

/// The relative effects with their intervals on one scale around zero; nothing where no variation has a bounded one.
fn plot(metric: &Value) -> Markup {
    let drawn: Vec<(&Value, f64, f64, f64)> = list(metric, "/arms")
        .filter_map(|arm| {
            let relative = lift(arm)?.get("relative")?;
            let figure = |path| number(relative, path).map(|value| value * 100.0);
            Some((arm, figure("/estimate")?, figure("/lower")?, figure("/upper")?))
        })
        .collect();
    let margin = number(metric, "/margin").unwrap_or(0.0) * 100.0;
    let furthest = drawn
        .iter()
        .flat_map(|(_, _, lower, upper)| [lower.abs(), upper.abs()])
        .fold(margin, f64::max);
    if drawn.is_empty() || furthest <= 0.0 {
        return html! {};
    }
    let reach = furthest * 1.08;
    let x = |value: f64| LEFT + WIDTH * (value + reach) / (2.0 * reach);
    let height = ROW * (drawn.len() as f64 + 1.0);
    let end = format!("{furthest:.1} %");
    let title = format!(
        "Relative effects on {}, in per cent, with intervals",
        text(metric, "/id")
    );
    html! {
        svg viewBox=(format!("0 0 960 {height}")) role="img" {
            title { (title) }
            @if margin > 0.0 {
                rect x=(x(-margin)) y="0" width=(x(margin) - x(-margin)) height=(height - ROW) fill="currentColor" opacity="0.07" {}
            }
            line x1=(x(0.0)) x2=(x(0.0)) y1="0" y2=(height - ROW) stroke="currentColor" opacity="0.4" {}
            @for (row, (arm, estimate, lower, upper)) in drawn.iter().enumerate() {
                @let y = ROW * (row as f64 + 0.5);
                text x="0" y=(y + 4.0) { (text(arm, "/variation_id")) }
                g class=(class(arm)) {
                    line x1=(x(*lower)) x2=(x(*upper)) y1=(y) y2=(y) stroke="currentColor" stroke-width="6" stroke-linecap="round" opacity="0.35" {}
                    circle cx=(x(*estimate)) cy=(y) r="5" fill="currentColor" {}
                }
            }
            text .soft x=(x(-furthest)) y=(height - 8.0) text-anchor="middle" { "−" (end) }
            text .soft x=(x(0.0)) y=(height - 8.0) text-anchor="middle" { "0" }
            text .soft x=(x(furthest)) y=(height - 8.0) text-anchor="middle" { "+" (end) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::results::tests::{answer, sick};

    #[test]
    fn the_page_stands_alone_and_names_are_text() {
        let (answer, health) = (answer(), sick());
        let page = page(&Report {
            results: &answer,
            health: &health,
            days: &Value::Null,
            cuts: &[],
        });
        assert!(
            page.contains("&lt;b&gt;new&lt;/b&gt;") && !page.contains("<b>new"),
            "{page}"
        );
        assert!(
            !page.contains("http") && !page.contains("<script"),
            "it asks for nothing"
        );
        assert_eq!(
            page.matches("<svg").count(),
            2,
            "a metric without an interval has no plot"
        );
        assert!(page.find("MISMATCH").unwrap() < page.find("click-rate").unwrap());
        for wanted in ["HARMED", "needs 40 units more", "2026-11-23 00:00:00 UTC"] {
            assert!(page.contains(wanted), "{wanted} is missing");
        }
    }
}
