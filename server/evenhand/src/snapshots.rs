//! Results as a decision record keeps them: what the pipeline says, in the management's words.

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;

use evenhand_manage::decision::{
    ResultsSnapshot, ResultsSource, SnapshotArm, SnapshotEffect, SnapshotGuidance, SnapshotMetric, SnapshotSampleRatio,
    SnapshotVariation,
};
use evenhand_pipeline::catalog::Role;
use evenhand_pipeline::results::{ArmResults, MetricResults, ShownEffect};
use evenhand_pipeline::{ExperimentResults, ResultsQuery};
use evenhand_stats::SequentialSrm;
use serde::Serialize;

use crate::platform::{Platform, StreamError};

/// The results of this process's platform, as long as it runs.
pub struct PlatformResults(pub Weak<Platform>);

impl ResultsSource for PlatformResults {
    fn snapshot<'a>(
        &'a self,
        environment: &'a str,
        experiment: &'a str,
        phase: u32,
    ) -> Pin<Box<dyn Future<Output = Result<ResultsSnapshot, String>> + Send + 'a>> {
        Box::pin(async move {
            let platform = self.0.upgrade().ok_or("the server is stopping")?;
            let found = platform
                .results_of(environment, experiment, phase, ResultsQuery::default())
                .await
                .map_err(|error| match error {
                    StreamError::Internal(why) | StreamError::Elsewhere(why) | StreamError::Impossible(why) => why,
                })?;
            found
                .map(|results| snapshot(&results))
                .ok_or_else(|| "the results pipeline does not know the phase".into())
        })
    }
}

fn snapshot(results: &ExperimentResults) -> ResultsSnapshot {
    let (p_value, mismatch) = match results.srm_sequential {
        Some(SequentialSrm::Tested { p_value, mismatch, .. }) => (Some(p_value), mismatch),
        _ => (None, false),
    };
    let guidance = &results.guidance;
    ResultsSnapshot {
        as_of_ms: results.as_of_ms,
        phase: results.phase,
        epoch: results.epoch,
        complete: results.complete,
        lag_events: results.lag_events,
        method: word(&results.method),
        planned_end_reached: results.planned_end_reached,
        comparisons: results.comparisons,
        guidance: SnapshotGuidance {
            advice: word(&guidance.advice),
            variation: guidance.variation_id.clone(),
            rule: guidance.rule.to_owned(),
            because: guidance.because.clone(),
        },
        sample_ratio: SnapshotSampleRatio { p_value, mismatch },
        multiple_exposure_units: results.multiple_exposure_units,
        overridden_units: results.overridden_units,
        variations: results
            .variations
            .iter()
            .map(|variation| SnapshotVariation {
                variation: variation.id.clone(),
                is_control: variation.is_control,
                weight: variation.weight,
                units: variation.units,
            })
            .collect(),
        metrics: results
            .metrics
            .iter()
            .filter(|metric| metric.role != Role::Secondary)
            .map(metric)
            .collect(),
    }
}

fn metric(metric: &MetricResults) -> SnapshotMetric {
    SnapshotMetric {
        metric: metric.id.clone(),
        role: word(&metric.role),
        better: word(&metric.better),
        margin: metric.margin,
        confidence: metric.confidence,
        arms: metric.arms.iter().map(arm).collect(),
    }
}

fn arm(arm: &ArmResults) -> SnapshotArm {
    let lift = arm.decisive();
    SnapshotArm {
        variation: arm.variation_id.clone(),
        units: arm.units,
        value: arm.estimate.map(|estimate| estimate.value),
        absolute: lift.map(|lift| effect(&lift.absolute)),
        relative: lift.map(|lift| effect(&lift.relative)),
        adjusted_p_value: arm.adjusted_p_value,
        harm_p_value: arm.harm.map(|harm| harm.p_value),
        verdict: arm.verdict.as_ref().map(word),
    }
}

fn effect(effect: &ShownEffect) -> SnapshotEffect {
    SnapshotEffect {
        estimate: effect.estimate,
        lower: effect.lower,
        upper: effect.upper,
        p_value: effect.p_value,
    }
}

/// A word of the results' JSON.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => format!("{other:?}"),
    }
}
