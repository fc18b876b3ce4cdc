//! Results day by day: the units first exposed on each day, and all up to it.
//!
//! A day's figures hold everything its units have done since, as far as the metric's window goes: of the last days that is not all yet.

use std::collections::BTreeMap;

use evenhand_stats::SrmWatch;
use jiff::{ToSpan, civil::Date};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ExperimentResults, MetricResults, ResultsQuery, ShownLift, summarise};
use crate::{
    analytics::{NamedCell, PhaseAggregates},
    catalog::{CatalogExperiment, Method},
};

/// The results of one phase (one epoch of it), day by day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DailyResults {
    /// The experiment.
    pub experiment_id: String,
    /// The phase.
    pub phase: u32,
    /// The epoch shown.
    pub epoch: u32,
    /// What intervals promise.
    pub method: Method,
    /// False while units are still being counted in (a new or changed definition).
    pub complete: bool,
    /// The days on which units were first exposed, in order.
    pub days: Vec<DayResults>,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DayResults {
    /// The day in UTC, as `2026-11-26`.
    pub day: String,
    /// The variations, as in the results of the whole.
    pub variations: Vec<DayUnits>,
    /// Least sequential p-value of the sample ratio over all days up to this one; none while it can't be tested.
    pub srm_p_value: Option<f64>,
    /// The metrics, in the catalog's order.
    pub metrics: Vec<DayMetric>,
}

/// Units of a variation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DayUnits {
    /// The variation.
    pub variation_id: String,
    /// Units first exposed on this day.
    pub units: u64,
    /// Units first exposed up to this day.
    pub units_so_far: u64,
}

/// A metric on a day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DayMetric {
    /// Its id.
    pub id: String,
    /// The variations, in the catalog's order.
    pub arms: Vec<DayArm>,
}

/// A variation of a metric on a day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DayArm {
    /// The variation.
    pub variation_id: String,
    /// Mean per unit (or ratio) of the units first exposed on this day.
    pub value: Option<f64>,
    /// The same of the units up to this day.
    pub value_so_far: Option<f64>,
    /// Against control, of the units up to this day, as it decides: adjusted for the pre-period where the metric has one.
    pub lift_so_far: Option<ShownLift>,
}

/// A day as people write it.
pub(super) fn written(day: i32) -> String {
    let epoch = Date::constant(1970, 1, 1);
    epoch
        .checked_add(day.days())
        .map_or_else(|_| day.to_string(), |date| date.to_string())
}

/// Daily aggregates to results by day: `daily` are cells of days, of one cut or of none.
#[must_use]
pub fn by_day(
    experiment: &CatalogExperiment,
    daily: &PhaseAggregates,
    query: &ResultsQuery,
    now_ms: i64,
) -> DailyResults {
    // Every day is of one epoch: the one asked for, or the newest that any day has.
    let newest = daily.assignment.cells.iter().map(|cell| cell.epoch).max();
    let epoch = query.epoch.or(newest).unwrap_or(1);
    let query = ResultsQuery {
        epoch: Some(epoch),
        ..query.clone()
    };
    let parts: BTreeMap<i32, PhaseAggregates> = daily.split(|cell: &NamedCell| cell.day);
    let mut so_far = daily.emptied();
    let mut watch = SrmWatch::default();
    let mut days = Vec::with_capacity(parts.len());
    for (day, part) in parts {
        so_far.absorb(&part);
        let (alone, all) = (
            summarise(experiment, &part, &query, now_ms),
            summarise(experiment, &so_far, &query, now_ms),
        );
        if let Some(look) = &all.srm_sequential {
            watch = watch.after(look);
        }
        days.push(DayResults {
            day: written(day),
            variations: units(&alone, &all),
            srm_p_value: all.srm_sequential.is_some().then_some(watch.p_value),
            metrics: all
                .metrics
                .iter()
                .map(|metric| of_metric(metric, alone.metrics.iter().find(|m| m.id == metric.id)))
                .collect(),
        });
    }
    let complete = daily.assignment.complete && daily.metrics.values().all(|metric| metric.complete);
    DailyResults {
        experiment_id: experiment.id.clone(),
        phase: experiment.phase,
        epoch,
        method: experiment.analysis.method,
        complete,
        days,
    }
}

fn units(alone: &ExperimentResults, all: &ExperimentResults) -> Vec<DayUnits> {
    let on_the_day = |id: &str| alone.variations.iter().find(|v| v.id == id).map_or(0, |v| v.units);
    let of = all.variations.iter().map(|variation| DayUnits {
        variation_id: variation.id.clone(),
        units: on_the_day(&variation.id),
        units_so_far: variation.units,
    });
    of.collect()
}

fn of_metric(all: &MetricResults, alone: Option<&MetricResults>) -> DayMetric {
    let on_the_day = |id: &str| alone?.arms.iter().find(|arm| arm.variation_id == id)?.estimate;
    let arms = all.arms.iter().map(|arm| DayArm {
        variation_id: arm.variation_id.clone(),
        value: on_the_day(&arm.variation_id).map(|estimate| estimate.value),
        value_so_far: arm.estimate.map(|estimate| estimate.value),
        lift_so_far: arm.decisive().copied(),
    });
    DayMetric {
        id: all.id.clone(),
        arms: arms.collect(),
    }
}
