//! Are the data sound? What must be in order before a number is believed.

use std::collections::BTreeSet;

use evenhand_stats::{
    ArmEstimate, Moments, PrePeriod, SEQUENTIAL_SRM_P_THRESHOLD, SequentialSrm, SrmArm, SrmSlice, SrmWatch, Verdict,
    multiple_exposure, pre_period_balance, sequential_sample_ratio, suspects,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    arrival::{Arrival, ExposureLossHealth, LateEventsHealth},
    days::written,
    units_by_epoch,
};
use crate::{
    analytics::{NamedCell, PhaseAggregates},
    catalog::{CatalogExperiment, MetricDefinition},
    process::{aggregate::Standing, exact::Exact},
};

/// Suspects shown at most.
pub const MOST_SUSPECTS: usize = 10;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It can't be told yet, or does not apply.
    Unknown,
    /// Nothing found.
    Healthy,
    /// To be looked into.
    Warning,
    /// Results can't be trusted.
    Failure,
}

/// The health of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HealthResults {
    /// The experiment.
    pub experiment_id: String,
    /// The phase.
    pub phase: u32,
    /// The worst of the findings below.
    pub finding: Finding,
    /// Do units split as the weights say, over all days and epochs?
    pub sample_ratio: SampleRatioHealth,
    /// Are units seen in two variations?
    pub multiple_exposure: MultipleExposureHealth,
    /// Were the variations alike before the exposure?
    pub pre_period: PrePeriodHealth,
    /// Do exposures come of the units that were decided?
    pub exposure_loss: ExposureLossHealth,
    /// Do events come in time?
    pub late_events: LateEventsHealth,
}

/// The sample ratio, watched day by day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SampleRatioHealth {
    /// Failure: a mismatch was called.
    pub finding: Finding,
    /// Least sequential p-value of all days; below 0.01 a mismatch is called.
    pub p_value: Option<f64>,
    /// The first day (of exposure, UTC) up to which the mismatch shows.
    pub since: Option<String>,
    /// The days and dimension values whose own split is off, the most suspicious first, at most 10. Only looked for on a mismatch.
    pub suspects: Vec<SuspectResults>,
}

/// A value of a dimension (or a day) whose split may explain a mismatch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SuspectResults {
    /// Its dimension; `day` for days.
    pub dimension: String,
    /// The value.
    pub value: String,
    /// Units of this value.
    pub units: u64,
    /// Its own sequential p-value, times the number of values looked at, at most 1.
    pub adjusted_p_value: f64,
    /// Whether its split is a mismatch by itself.
    pub mismatch: bool,
    /// The p-value of all other units.
    pub p_value_without: f64,
    /// Whether the rest is sound without it: what makes it the likely cause.
    pub heals: bool,
}

/// Units seen in two variations.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MultipleExposureHealth {
    /// From 1 % on a warning, from 10 % on a failure.
    pub finding: Finding,
    /// How many, in all epochs.
    pub units: u64,
    /// Their share of all units seen.
    pub share: Option<f64>,
}

/// Values before the exposure.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PrePeriodHealth {
    /// Failure: some comparison's adjusted p-value is below 0.001. Unknown: no metric has a pre-period, or too few units.
    pub finding: Finding,
    /// Each metric with a pre-period and each variation against control.
    pub comparisons: Vec<PrePeriodComparison>,
}

/// One variation against control before the exposure, by Welch's test.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PrePeriodComparison {
    /// The metric.
    pub metric: String,
    /// The variation.
    pub variation_id: String,
    /// Its mean less control's, in the metric's units.
    pub difference: f64,
    /// Two-sided p-value times the number of comparisons, at most 1.
    pub adjusted_p_value: f64,
    /// Whether that is below 0.001.
    pub imbalanced: bool,
}

/// Looks at a phase: `whole` are the cells of all units, `daily` those of days, `cuts` those of each dimension (all days);
/// `arrival` what is known of how events come in.
#[must_use]
pub fn health(
    experiment: &CatalogExperiment,
    whole: &PhaseAggregates,
    daily: &PhaseAggregates,
    cuts: &[(String, PhaseAggregates)],
    arrival: Arrival,
) -> HealthResults {
    let sample_ratio = sample_ratio(experiment, whole, daily, cuts);
    let multiple_exposure = seen_twice(whole);
    let pre_period = before(experiment, whole);
    let Arrival {
        exposure_loss,
        late_events,
    } = arrival;
    let findings = [
        sample_ratio.finding,
        multiple_exposure.finding,
        pre_period.finding,
        exposure_loss.finding,
        late_events.finding,
    ];
    HealthResults {
        experiment_id: experiment.id.clone(),
        phase: experiment.phase,
        finding: findings.into_iter().max().unwrap_or(Finding::Unknown),
        sample_ratio,
        multiple_exposure,
        pre_period,
        exposure_loss,
        late_events,
    }
}

fn sample_ratio(
    experiment: &CatalogExperiment,
    whole: &PhaseAggregates,
    daily: &PhaseAggregates,
    cuts: &[(String, PhaseAggregates)],
) -> SampleRatioHealth {
    let epochs: Vec<u32> = whole
        .assignment
        .cells
        .iter()
        .map(|cell| cell.epoch)
        .collect::<BTreeSet<u32>>()
        .into_iter()
        .collect();
    let arms = |part: &PhaseAggregates| units_by_epoch(experiment, part, &epochs, None);
    let look = |arms: &[Vec<SrmArm>]| sequential_sample_ratio(arms.iter().map(Vec::as_slice)).ok();
    let days = daily.split(|cell: &NamedCell| cell.day);
    let (mut watch, mut tested, mut since) = (SrmWatch::default(), false, None);
    let mut so_far = daily.emptied();
    for (day, part) in &days {
        so_far.absorb(part);
        if let Some(look) = look(&arms(&so_far)) {
            tested |= matches!(look, SequentialSrm::Tested { .. });
            watch = watch.after(&look);
            if since.is_none() && watch.mismatch() {
                since = Some(written(*day));
            }
        }
    }
    let suspects = if watch.mismatch() {
        let by_day = days
            .iter()
            .map(|(day, part)| ("day".to_owned(), written(*day), arms(part)));
        let by_value = cuts.iter().flat_map(|(dimension, cut)| {
            let values = cut.split(|cell| cell.value_of(dimension).map(str::to_owned));
            values
                .into_iter()
                .map(|(value, part)| (dimension.clone(), value, arms(&part)))
                .collect::<Vec<_>>()
        });
        let slices: Vec<SrmSlice> = by_day
            .chain(by_value)
            .map(|(dimension, value, epochs)| SrmSlice {
                dimension,
                value,
                epochs,
            })
            .collect();
        found(suspects(&arms(whole), &slices).unwrap_or_default())
    } else {
        Vec::new()
    };
    SampleRatioHealth {
        finding: match (tested, watch.p_value < SEQUENTIAL_SRM_P_THRESHOLD) {
            (false, _) => Finding::Unknown,
            (true, false) => Finding::Healthy,
            (true, true) => Finding::Failure,
        },
        p_value: tested.then_some(watch.p_value),
        since,
        suspects,
    }
}

fn found(suspects: Vec<evenhand_stats::Suspect>) -> Vec<SuspectResults> {
    let shown = suspects
        .into_iter()
        .filter(|suspect| suspect.mismatch)
        .take(MOST_SUSPECTS);
    shown
        .map(|suspect| SuspectResults {
            dimension: suspect.dimension,
            value: suspect.value,
            units: suspect.units,
            adjusted_p_value: suspect.adjusted_p_value,
            mismatch: suspect.mismatch,
            p_value_without: suspect.p_value_without,
            heals: suspect.heals,
        })
        .collect()
}

fn seen_twice(whole: &PhaseAggregates) -> MultipleExposureHealth {
    let of = |standing| super::units(whole.assignment.total(|cell| cell.standing == standing).n);
    let (counted, twice) = (of(Standing::Counted), of(Standing::Multiple));
    let judged = multiple_exposure(counted.saturating_add(twice), twice).ok();
    MultipleExposureHealth {
        finding: match judged.map(|judged| judged.verdict) {
            _ if counted + twice == 0 => Finding::Unknown,
            None => Finding::Unknown,
            Some(verdict) => of_verdict(verdict),
        },
        units: twice,
        share: judged.map(|judged| judged.share).filter(|_| counted + twice > 0),
    }
}

pub(super) fn of_verdict(verdict: Verdict) -> Finding {
    match verdict {
        Verdict::Healthy => Finding::Healthy,
        Verdict::Warning => Finding::Warning,
        Verdict::Failure => Finding::Failure,
    }
}

fn before(experiment: &CatalogExperiment, whole: &PhaseAggregates) -> PrePeriodHealth {
    let control = experiment.variations.iter().find(|variation| variation.is_control);
    let treatments: Vec<&str> = experiment
        .variations
        .iter()
        .filter(|variation| !variation.is_control)
        .map(|variation| variation.id.as_str())
        .collect();
    let mut metrics = Vec::new();
    // For each metric the variations that have a value to compare, in the order of `treatments`.
    let mut compared: Vec<Vec<&str>> = Vec::new();
    for metric in &experiment.metrics {
        let MetricDefinition::Events(events) = &metric.definition else {
            continue;
        };
        let (Some(control), Some(target)) = (control, whole.metrics.get(&metric.id)) else {
            continue;
        };
        if events.pre_period_seconds.unwrap_or(0) == 0 {
            continue;
        }
        // Over all epochs: what was before does not depend on the weights, but who was let in might; an epoch more is units more.
        let arm = |id: &str| {
            let sums = target.total(|cell| cell.standing == Standing::Counted && cell.variation.as_deref() == Some(id));
            let exact = |sum: &Exact| sum.to_i128();
            ArmEstimate::from_moments(&Moments {
                n: super::units(sums.n),
                sum: exact(&sums.pair_sum)?,
                sum_sq: exact(&sums.pair_sum_sq)?,
            })
            .ok()
        };
        let Some(of_control) = arm(&control.id) else { continue };
        let (ids, arms): (Vec<&str>, Vec<ArmEstimate>) =
            treatments.iter().filter_map(|id| Some((*id, arm(id)?))).unzip();
        compared.push(ids);
        metrics.push(PrePeriod {
            metric: metric.id.clone(),
            control: of_control,
            treatments: arms,
        });
    }
    let balance = pre_period_balance(&metrics);
    let variation = |metric: &str, place: usize| {
        let of_metric = metrics.iter().position(|one| one.metric == metric)?;
        compared.get(of_metric)?.get(place).copied()
    };
    let comparisons: Vec<PrePeriodComparison> = balance
        .comparisons
        .iter()
        .map(|one| PrePeriodComparison {
            metric: one.metric.clone(),
            variation_id: variation(&one.metric, one.treatment).unwrap_or_default().to_owned(),
            difference: one.difference,
            adjusted_p_value: one.adjusted_p_value,
            imbalanced: one.imbalanced,
        })
        .collect();
    PrePeriodHealth {
        finding: match (comparisons.is_empty(), balance.imbalanced) {
            (true, _) => Finding::Unknown,
            (false, true) => Finding::Failure,
            (false, false) => Finding::Healthy,
        },
        comparisons,
    }
}
