//! Layers, holdouts, segments, metrics, and the rooms they lie in.

use serde_json::Value;

use super::dimensions::check_unit;
use super::expression::check_expression;
use super::{check_attribute, check_key, check_texts};
use crate::definition::{Aggregation, EventSelector, Holdout, Layer, Metric, MetricKind, Segment};
use crate::model::Model;
use crate::problem::Problems;

/// Checks a workspace, project or environment.
pub fn place(key: &str, name: &str, problems: &mut Problems) {
    check_key("key", key, problems);
    check_texts(name, &[], &[], problems);
}

/// Checks a layer.
pub fn layer(layer: &Layer, problems: &mut Problems) {
    check_key("key", &layer.key, problems);
    check_texts(&layer.name, &[("description", &layer.description)], &[], problems);
    check_attribute("unit", &layer.unit, problems);
    problems.check(
        layer.cooldown_days <= 365,
        "cooldown_days",
        || format!("{} days", layer.cooldown_days),
        "give 0 to 365 days",
    );
}

/// Checks a holdout.
pub fn holdout(model: &Model, project: &str, holdout: &Holdout, problems: &mut Problems) {
    check_key("key", &holdout.key, problems);
    check_texts(&holdout.name, &[("description", &holdout.description)], &[], problems);
    check_attribute("unit", &holdout.unit, problems);
    check_unit(model, project, ("unit", &holdout.unit), None, problems);
    problems.check(
        (1..=super::WHOLE).contains(&holdout.share),
        "share",
        || format!("{} is no share to hold", holdout.share),
        "give basis points, 1 to 10000 (5 % is 500)",
    );
    if let Some(when) = &holdout.when {
        check_expression(model, project, "when", when, None, problems);
    }
}

/// Checks a segment.
pub fn segment(model: &Model, project: &str, segment: &Segment, problems: &mut Problems) {
    check_key("key", &segment.key, problems);
    check_texts(&segment.name, &[("description", &segment.description)], &[], problems);
    match (&segment.expression, &segment.list) {
        (Some(expression), None) => check_expression(model, project, "expression", expression, None, problems),
        (None, Some(list)) => {
            check_attribute("list.unit", &list.unit, problems);
            check_unit(model, project, ("list.unit", &list.unit), None, problems);
        }
        (Some(_), Some(_)) => problems.add(
            "list",
            "a segment has an expression or an id list, not both",
            "leave one out; join them with `any` in a third segment",
        ),
        (None, None) => problems.add(
            "expression",
            "a segment needs an expression or an id list",
            "give `expression`, or `list` with its `unit`",
        ),
    }
}

/// Checks a metric.
pub fn metric(metric: &Metric, problems: &mut Problems) {
    check_key("key", &metric.key, problems);
    check_texts(&metric.name, &[("description", &metric.description)], &[], problems);
    events("event", &metric.event, problems);
    match (&metric.denominator, metric.kind) {
        (Some(denominator), MetricKind::Ratio) => events("denominator", denominator, problems),
        (None, MetricKind::Ratio) => problems.add(
            "denominator",
            "a ratio needs a denominator",
            "name the events to divide by",
        ),
        (Some(_), _) => problems.add(
            "denominator",
            "only a ratio has a denominator",
            "leave it out, or make the kind `ratio`",
        ),
        (None, _) => {}
    }
    steps(metric, problems);
    for (field, half) in [
        ("event", Some(&metric.event)),
        ("denominator", metric.denominator.as_ref()),
    ] {
        let Some(half) = half else { continue };
        problems.check(
            metric.kind == MetricKind::Ratio || half.aggregation == Aggregation::Sum,
            &format!("{field}.aggregation"),
            || "only the halves of a ratio have an aggregation".into(),
            "leave it out: the metric's kind says what the events come to",
        );
        problems.check(
            half.aggregation == Aggregation::Sum || half.value_property.is_none(),
            &format!("{field}.value_property"),
            || "events that are counted have no values to add up".into(),
            "leave it out, or make the aggregation `sum`",
        );
    }
    for (field, length) in [("window_ms", metric.window_ms), ("pre_period_ms", metric.pre_period_ms)] {
        let Some(length) = length else { continue };
        problems.check(
            (60_000..=90 * 86_400_000).contains(&length) && length % 1_000 == 0,
            field,
            || format!("{length} ms is not a length it can have"),
            "give milliseconds that make whole seconds, 60000 (a minute) to 7776000000 (90 days), or none",
        );
    }
    let start = metric.window_start_ms.unwrap_or(0);
    problems.check(
        (0..=90 * 86_400_000).contains(&start) && start % 1_000 == 0 && metric.window_ms.is_none_or(|end| start < end),
        "window_start_ms",
        || format!("a window can't begin {start} ms after the exposure"),
        "give milliseconds that make whole seconds, up to 7776000000 (90 days) and before `window_ms`, or none",
    );
    match (metric.kind, metric.quantile_bp) {
        (MetricKind::Quantile, Some(quantile)) => {
            problems.check(
                (1..=9_999).contains(&quantile),
                "quantile_bp",
                || format!("{quantile} basis points are no quantile"),
                "give 1 to 9999: 5000 is the median, 9500 the 95th percentile",
            );
        }
        (MetricKind::Quantile, None) => problems.add(
            "quantile_bp",
            "a quantile metric says which quantile",
            "give basis points: 5000 is the median, 9500 the 95th percentile",
        ),
        (_, Some(_)) => problems.add(
            "quantile_bp",
            "only a metric of the kind `quantile` has a quantile",
            "leave it out, or make the kind `quantile`",
        ),
        (_, None) => {}
    }
    problems.check(
        metric.kind != MetricKind::Quantile || metric.pre_period_ms.is_none(),
        "pre_period_ms",
        || "quantiles are not adjusted by what was before".into(),
        "leave it out",
    );
    if let Some(cap) = metric.cap_bp {
        problems.check(
            (5_000..=10_000).contains(&cap),
            "cap_bp",
            || format!("{cap} basis points are no percentile to cap at"),
            "give 5000 to 9999 (9990: the 99.9th percentile), 10000 for no cap, or leave it out",
        );
        problems.check(
            matches!(metric.kind, MetricKind::Sum | MetricKind::Mean),
            "cap_bp",
            || "only a `sum` or `mean` is capped at a percentile".into(),
            "leave it out",
        );
        problems.check(
            metric.cap_micros.is_none() || cap == 10_000,
            "cap_bp",
            || "a metric has one cap".into(),
            "give `cap_bp` or `cap_micros`",
        );
    }
    let minimum = metric.minimum;
    problems.check(
        (2..=1_000_000_000).contains(&minimum.units) && minimum.conversions <= 1_000_000_000,
        "minimum",
        || {
            format!(
                "{} units and {} conversions are no minimum it can have",
                minimum.units, minimum.conversions
            )
        },
        "give 2 to 1000000000 units and 0 to 1000000000 conversions",
    );
    if let Some(cap) = metric.cap_micros {
        problems.check(
            cap > 0,
            "cap_micros",
            || format!("a cap of {cap} would leave nothing"),
            "give a positive number of millionths, or none",
        );
        let fits = !matches!(metric.kind, MetricKind::ConversionRate | MetricKind::Funnel);
        problems.check(
            fits,
            "cap_micros",
            || "a unit that did it counts 1: there is nothing to cap".into(),
            "leave it out",
        );
    }
}

/// What comes before the last step of a funnel.
fn steps(metric: &Metric, problems: &mut Problems) {
    let before = &metric.steps_before;
    if metric.kind != MetricKind::Funnel {
        problems.check(
            before.is_empty(),
            "steps_before",
            || "only a funnel has steps before its event".into(),
            "leave them out, or make the kind `funnel`",
        );
        return;
    }
    problems.check(
        (1..=9).contains(&before.len()),
        "steps_before",
        || format!("a funnel has 2 to 10 steps, this has {}", before.len() + 1),
        "give 1 to 9 events in the order in which they must happen; the last step is `event`",
    );
    for (index, step) in before.iter().enumerate() {
        let at = format!("steps_before[{index}]");
        events(&at, step, problems);
        problems.check(
            step.aggregation == Aggregation::Sum,
            &format!("{at}.aggregation"),
            || "a step has no aggregation: it was reached or it was not".into(),
            "leave it out",
        );
    }
    let places = (0..before.len()).map(|index| format!("steps_before[{index}]"));
    let steps = before.iter().chain([&metric.event]);
    for (at, step) in places.chain(["event".to_owned()]).zip(steps) {
        problems.check(
            step.value_property.is_none(),
            &format!("{at}.value_property"),
            || "a step has no values to add up: it was reached or it was not".into(),
            "leave it out; a condition on a property goes into `filters`",
        );
    }
}

fn events(field: &str, selector: &EventSelector, problems: &mut Problems) {
    let name = &selector.event_name;
    problems.check(
        (1..=256).contains(&name.len()),
        &format!("{field}.event_name"),
        || format!("an event's name has 1 to 256 bytes, this has {}", name.len()),
        "name the event that is sent",
    );
    problems.check(
        !name.starts_with('$'),
        &format!("{field}.event_name"),
        || format!("`{name}` is a name of the platform's own"),
        "name an event that your code sends",
    );
    if let Some(property) = &selector.value_property {
        problems.check(
            (1..=256).contains(&property.len()),
            &format!("{field}.value_property"),
            || "a property's name has 1 to 256 bytes".into(),
            "name the property",
        );
    }
    let count = selector.filters.len();
    problems.check(
        count <= 16,
        &format!("{field}.filters"),
        || format!("{count} filters"),
        "use at most 16",
    );
    for (index, filter) in selector.filters.iter().enumerate() {
        let at = format!("{field}.filters[{index}]");
        problems.check(
            (1..=256).contains(&filter.property.len()),
            &format!("{at}.property"),
            || "a property's name has 1 to 256 bytes".into(),
            "name the property",
        );
        let scalar = matches!(filter.equals, Value::String(_) | Value::Number(_) | Value::Bool(_));
        problems.check(
            scalar,
            &format!("{at}.equals"),
            || format!("{} can't be compared", super::shortened(&filter.equals.to_string())),
            "give a text, a number or a boolean",
        );
    }
}
