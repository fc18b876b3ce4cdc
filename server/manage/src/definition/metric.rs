//! Metrics: how events become a number per unit.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::analysis::MinimumSample;

/// How the events of one unit become its number, and the units' numbers one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// The share of units with at least one event.
    ConversionRate,
    /// The share of units that went through several events in order: those of `steps_before`, then `event`.
    Funnel,
    /// Events per unit.
    Count,
    /// The sum of the events' `value`, per unit.
    Sum,
    /// The mean of the events' `value` in a unit, over the units that have any.
    Mean,
    /// A quantile, over the units, of the sum of the events' `value` in a unit.
    Quantile,
    /// What the numerator's events come to in all units, over what the denominator's do.
    Ratio,
}

/// Whether more is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More is better.
    #[default]
    Increase,
    /// Less is better.
    Decrease,
}

/// A condition on a property of an event: it equals this value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PropertyFilter {
    /// The property's name, at the top level of `properties`.
    pub property: String,
    /// A text, a number or a boolean; a number equals the same number however it is written.
    pub equals: Value,
}

/// What the events of a ratio's half come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// The sum of their values.
    #[default]
    Sum,
    /// Their number.
    Count,
    /// 1 with at least one event, else 0.
    Any,
}

/// Which events count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventSelector {
    /// The events' name.
    pub event_name: String,
    /// Conditions on properties, all of which must hold. At most 16.
    #[serde(default)]
    pub filters: Vec<PropertyFilter>,
    /// The property whose number is added up by `sum`, `mean` and `ratio`; none: the event's `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_property: Option<String>,
    /// What the events of a unit come to, in the halves of a `ratio`; elsewhere the metric's kind says it.
    #[serde(default, skip_serializing_if = "is_sum")]
    pub aggregation: Aggregation,
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its key; never changes.
    pub key: String,
    /// Its name for people.
    #[serde(default)]
    pub name: String,
    /// What it measures.
    #[serde(default)]
    pub description: String,
    /// How events become a number.
    pub kind: MetricKind,
    /// The events that count; of a ratio, the numerator; of a funnel, its last step.
    pub event: EventSelector,
    /// Of a funnel, and of nothing else: the steps before `event`, the first one first. 1 to 9; each a name and filters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps_before: Vec<EventSelector>,
    /// The denominator of a ratio, and of nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator: Option<EventSelector>,
    /// From how long after a unit's first exposure on its events count, in milliseconds: whole seconds, up to 90 days, before `window_ms` ends; none: at
    /// once. A conversion rate that begins on the seventh day is retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_start_ms: Option<i64>,
    /// For how long after a unit's first exposure its events count, in milliseconds: whole seconds, 1 minute to 90 days; none: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<i64>,
    /// The most that one unit's number may be (larger ones count as this), in millionths of the value's unit; of a ratio, its numerator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_micros: Option<i64>,
    /// Of `sum` and `mean`: units whose number lies beyond this percentile of all units count as it, in basis points (9990: the 99.9th); 10000: none. When
    /// not given, 9990 unless `cap_micros` is. A few units with huge numbers make intervals false that are looked at often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap_bp: Option<u32>,
    /// Which quantile, of the kind `quantile` and of nothing else, in basis points: 5000 is the median, 9500 the 95th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile_bp: Option<u32>,
    /// How long before a unit's first exposure its events give the value that variance reduction compares with, in milliseconds: whole seconds, up to
    /// 90 days; none: no variance reduction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_period_ms: Option<i64>,
    /// Whether more is better.
    #[serde(default)]
    pub direction: Direction,
    /// What each compared variation must have before an interval or a verdict is shown.
    #[serde(default)]
    pub minimum: MinimumSample,
    /// An archived metric can't be used by a new experiment.
    #[serde(default)]
    pub archived: bool,
}

fn is_sum(aggregation: &Aggregation) -> bool {
    *aggregation == Aggregation::Sum
}
