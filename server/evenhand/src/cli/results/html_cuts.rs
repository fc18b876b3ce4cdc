//! Plots of the report: the lift day by day, and by the values of each dimension.

use maud::{Markup, html};
use serde_json::Value;

use super::{count, list, number, text};

const LEFT: f64 = 190.0;
const WIDTH: f64 = 740.0;
const HEIGHT: f64 = 150.0;
const ROW: f64 = 24.0;

/// A relative effect with its interval, in per cent.
#[derive(Clone, Copy)]
struct Bar {
    estimate: f64,
    lower: f64,
    upper: f64,
}

fn bar(lift: Option<&Value>) -> Option<Bar> {
    let figure = |path: &str| number(lift?, path).map(|value| value * 100.0);
    Some(Bar {
        estimate: figure("/relative/estimate")?,
        lower: figure("/relative/lower")?,
        upper: figure("/relative/upper")?,
    })
}

/// How far an axis reaches: as far as the widest interval, but not beyond a multiple of what is known best, or nothing could be made out of that.
fn reach<'a>(bars: impl Iterator<Item = &'a Bar> + Clone) -> f64 {
    const WIDEST: f64 = 3.0;
    let ends = bars.map(|bar| bar.lower.abs().max(bar.upper.abs()));
    let least = ends.clone().fold(f64::INFINITY, f64::min);
    ends.fold(0.0, f64::max).min(WIDEST * least) * 1.08
}

/// How each variation's lift on a metric came to what it is.
pub fn over_days(days: &Value, metric: &str) -> Markup {
    let lifts = |variation: &str| -> Vec<(usize, Bar)> {
        let of_day = |(at, day): (usize, &Value)| {
            let of = list(day, "/metrics").find(|one| text(one, "/id") == metric)?;
            let arm = list(of, "/arms").find(|arm| text(arm, "/variation_id") == variation)?;
            Some((at, bar(arm.get("lift_so_far"))?))
        };
        list(days, "/days").enumerate().filter_map(of_day).collect()
    };
    let names: Vec<&str> = list(days, "/days").map(|day| text(day, "/day")).collect();
    let variations = list(days, "/days").last().map_or(Vec::new(), |day| {
        list(day, "/variations")
            .map(|one| text(one, "/variation_id"))
            .collect::<Vec<_>>()
    });
    html! {
        @for variation in variations {
            @let lifts = lifts(variation);
            @if lifts.len() > 1 { (band(variation, metric, &names, &lifts)) }
        }
    }
}

fn band(variation: &str, metric: &str, names: &[&str], lifts: &[(usize, Bar)]) -> Markup {
    let reach = reach(lifts.iter().map(|(_, bar)| bar));
    let x = |at: usize| LEFT + WIDTH * at as f64 / (names.len().max(2) - 1) as f64;
    let y = |value: f64| HEIGHT / 2.0 * (1.0 - (value / reach).clamp(-1.0, 1.0));
    let points = |of: &dyn Fn(&Bar) -> f64| -> Vec<String> {
        lifts
            .iter()
            .map(|(at, bar)| format!("{:.1},{:.1}", x(*at), y(of(bar))))
            .collect()
    };
    let (above, mut below) = (points(&|bar| bar.upper), points(&|bar| bar.lower));
    below.reverse();
    let around = [above, below].concat().join(" ");
    let line = points(&|bar| bar.estimate).join(" ");
    let end = |at: usize| names.get(at).copied().unwrap_or_default();
    html! {
        svg viewBox=(format!("0 0 960 {}", HEIGHT + 20.0)) role="img" {
            title { "Relative effect of " (variation) " on " (metric) " of all units up to each day, with its interval" }
            text x="0" y=(HEIGHT / 2.0 + 4.0) { (variation) }
            text .soft x=(LEFT - 8.0) y="12" text-anchor="end" { "+" (format!("{reach:.1}")) " %" }
            text .soft x=(LEFT - 8.0) y=(HEIGHT) text-anchor="end" { "−" (format!("{reach:.1}")) " %" }
            line x1=(LEFT) x2=(LEFT + WIDTH) y1=(y(0.0)) y2=(y(0.0)) stroke="currentColor" opacity="0.4" {}
            g class="flat" {
                polygon points=(around) fill="currentColor" opacity="0.2" {}
                polyline points=(line) fill="none" stroke="currentColor" stroke-width="2" {}
            }
            text .soft x=(LEFT) y=(HEIGHT + 16.0) { (end(0)) }
            text .soft x=(LEFT + WIDTH) y=(HEIGHT + 16.0) text-anchor="end" { (end(names.len().saturating_sub(1))) }
        }
    }
}

/// The lifts on a metric by the values of a dimension.
pub fn by_value(results: &Value, metric: &str) -> Markup {
    let mut rows: Vec<(String, u64, Bar)> = Vec::new();
    let mut unbounded = Vec::new();
    for value in list(results, "/values") {
        let of = list(value, "/metrics").find(|one| text(one, "/id") == metric);
        for arm in of.into_iter().flat_map(|of| list(of, "/arms")) {
            let lift = arm.get("lift").filter(|lift| !lift.is_null());
            let name = format!("{} · {}", text(value, "/value"), text(arm, "/variation_id"));
            match bar(lift) {
                Some(bar) => rows.push((name, count(value, "/units"), bar)),
                // (Control has no lift at all.)
                None if lift.is_some() => unbounded.push(name),
                None => {}
            }
        }
    }
    let reach = reach(rows.iter().map(|(.., bar)| bar));
    if rows.is_empty() || reach <= 0.0 {
        return html! {};
    }
    let x = |value: f64| LEFT + 60.0 + (WIDTH - 60.0) * ((value / reach).clamp(-1.0, 1.0) + 1.0) / 2.0;
    let height = ROW * (rows.len() as f64 + 1.0);
    html! {
        h3 { "by " (text(results, "/dimension")) }
        svg viewBox=(format!("0 0 960 {height}")) role="img" {
            title { "Relative effects on " (metric) " by " (text(results, "/dimension")) ", in per cent, with intervals" }
            line x1=(x(0.0)) x2=(x(0.0)) y1="0" y2=(height - ROW) stroke="currentColor" opacity="0.4" {}
            @for (row, (name, units, bar)) in rows.iter().enumerate() {
                @let y = ROW * (row as f64 + 0.5);
                text x="0" y=(y + 4.0) { (name) }
                text .soft x=(LEFT + 50.0) y=(y + 4.0) text-anchor="end" { (units) }
                g class=(if bar.lower > 0.0 || bar.upper < 0.0 { "flat" } else { "wait" }) {
                    line x1=(x(bar.lower)) x2=(x(bar.upper)) y1=(y) y2=(y) stroke="currentColor" stroke-width="6" stroke-linecap="round" opacity="0.35" {}
                    circle cx=(x(bar.estimate)) cy=(y) r="4" fill="currentColor" {}
                }
            }
            @let edge = format!("{:.1} %", reach / 1.08);
            text .soft x=(x(-reach / 1.08)) y=(height - 8.0) text-anchor="middle" { "−" (edge) }
            text .soft x=(x(0.0)) y=(height - 8.0) text-anchor="middle" { "0" }
            text .soft x=(x(reach / 1.08)) y=(height - 8.0) text-anchor="middle" { "+" (edge) }
        }
        @if !unbounded.is_empty() {
            div .soft { "without an interval that could be drawn: " (unbounded.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lift(estimate: f64, bounds: Option<(f64, f64)>) -> Value {
        let (lower, upper) = bounds.unzip();
        json!({ "relative": { "estimate": estimate, "lower": lower, "upper": upper } })
    }

    #[test]
    fn what_can_not_be_drawn_is_named_and_names_are_text() {
        let value = |name: &str, lift: Value| json!({ "value": name, "units": 50, "metrics": [{ "id": "m", "arms": [{ "variation_id": "old", "lift": null }, { "variation_id": "new", "lift": lift }] }] });
        let answer = json!({ "dimension": "country", "values": [value("<b>SE", lift(0.1, Some((-0.2, 0.4)))), value("NO", lift(2.0, None))] });
        let drawn = by_value(&answer, "m").into_string();
        assert!(
            drawn.contains("&lt;b&gt;SE · new") && !drawn.contains("<b>SE"),
            "{drawn}"
        );
        assert!(
            drawn.contains("without an interval that could be drawn: NO · new"),
            "{drawn}"
        );
        assert_eq!(drawn.matches("<circle").count(), 1);
        assert!(by_value(&answer, "other").into_string().is_empty());
    }

    #[test]
    fn days_are_drawn_to_the_scale_of_what_is_known_best() {
        let day = |day: &str, lift: Value| json!({ "day": day, "variations": [{ "variation_id": "new" }], "metrics": [{ "id": "m", "arms": [{ "variation_id": "new", "lift_so_far": lift }] }] });
        let days = json!({ "days": [day("2026-11-25", lift(0.5, Some((-9.0, 9.0)))), day("2026-11-26", lift(0.1, Some((-0.1, 0.3))))] });
        let drawn = over_days(&days, "m").into_string();
        // Three times the 30 % of the last day, and a little room.
        assert!(drawn.contains("+97.2 %") && drawn.contains("2026-11-26"), "{drawn}");
    }
}
