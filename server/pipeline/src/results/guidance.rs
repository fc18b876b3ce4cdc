//! What to do next, with the rule that says so. A proposal: people decide.

use serde::Serialize;
use utoipa::ToSchema;

use super::{metric::MetricResults, verdict::Verdict};
use crate::catalog::{Better, Role};

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// Find out why the split is wrong; no figure means anything before.
    FixTheData,
    /// Give everybody the variation.
    Ship,
    /// Take the variation away: it does harm.
    Stop,
    /// Nothing is gained and nothing lost, within the margin: choose by other reasons.
    NoEffect,
    /// The plan is over and an effect is not shown, which is no proof that there is none: plan more units, or choose by other reasons.
    NothingShown,
    /// Not known yet.
    KeepRunning,
}

/// What to do next, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Guidance {
    /// What to do.
    pub advice: Advice,
    /// The variation it is about; none: all of them.
    pub variation_id: Option<String>,
    /// The rule that gave it: `sample_ratio_mismatch`, `still_counting`, `a_part_of_the_units`, `no_primary_metric`, `guardrail_harmed`, `primary_worse`,
    /// `primary_better`, `primary_within_margin`, `planned_end_without_effect`, `undecided`, `too_early`.
    pub rule: &'static str,
    /// The same in a sentence.
    pub because: String,
}

/// What the rules look at.
pub(super) struct Situation<'a> {
    pub mismatch: bool,
    /// Whether only a part of the units is looked at.
    pub part: bool,
    pub complete: bool,
    pub planned_end_reached: bool,
    pub treatments: Vec<&'a str>,
    pub metrics: &'a [MetricResults],
}

impl Situation<'_> {
    fn verdicts(&self, variation: &str, role: Role) -> Vec<(&str, Verdict)> {
        let of = |metric: &MetricResults| {
            let arm = metric.arms.iter().find(|arm| arm.variation_id == variation)?;
            arm.verdict
        };
        let role = self.metrics.iter().filter(|metric| metric.role == role);
        role.filter_map(|metric| Some((metric.id.as_str(), of(metric)?)))
            .collect()
    }

    /// How far the first primary metric is on the better side, to choose between two variations that are both better.
    fn gain(&self, variation: &str) -> f64 {
        let primary = self.metrics.iter().find(|metric| metric.role == Role::Primary);
        let arm = primary.and_then(|metric| metric.arms.iter().find(|arm| arm.variation_id == variation));
        let estimate = arm
            .and_then(|arm| arm.decisive())
            .and_then(|lift| lift.absolute.estimate);
        let gain = estimate.unwrap_or(0.0);
        match primary.map(|metric| metric.better) {
            Some(Better::Lower) => -gain,
            _ => gain,
        }
    }

    /// The first rule that holds, in the order in which they are written.
    pub fn guidance(&self) -> Guidance {
        let say = |advice, variation: Option<&str>, rule, because: String| Guidance {
            advice,
            variation_id: variation.map(str::to_owned),
            rule,
            because,
        };
        if self.mismatch {
            return say(
                Advice::FixTheData,
                None,
                "sample_ratio_mismatch",
                "units do not split as the weights say: something loses or adds units in one arm".into(),
            );
        }
        if !self.complete {
            return say(
                Advice::KeepRunning,
                None,
                "still_counting",
                "units are still being counted in; the figures are of a part".into(),
            );
        }
        if self.part {
            return say(
                Advice::KeepRunning,
                None,
                "a_part_of_the_units",
                "these are a part of the units: what is found in one of many parts is a question for the next experiment".into(),
            );
        }
        if self.metrics.iter().all(|metric| metric.role != Role::Primary) {
            return say(
                Advice::KeepRunning,
                None,
                "no_primary_metric",
                "no metric is primary, so there is nothing to decide by".into(),
            );
        }
        let with = |variation: &str, role, verdict| {
            let found = self.verdicts(variation, role).into_iter().find(|(_, v)| *v == verdict);
            found.map(|(metric, _)| metric.to_owned())
        };
        for variation in &self.treatments {
            if let Some(metric) = with(variation, Role::Guardrail, Verdict::Worse) {
                let because = format!("{variation} is worse on the guardrail {metric}, by more than its margin");
                return say(Advice::Stop, Some(variation), "guardrail_harmed", because);
            }
        }
        let better: Vec<&str> = self
            .treatments
            .iter()
            .copied()
            .filter(|variation| {
                with(variation, Role::Primary, Verdict::Better).is_some()
                    && with(variation, Role::Primary, Verdict::Worse).is_none()
            })
            .collect();
        if let Some(variation) = better
            .iter()
            .copied()
            .max_by(|a, b| self.gain(a).total_cmp(&self.gain(b)))
        {
            let metric = with(variation, Role::Primary, Verdict::Better).unwrap_or_default();
            let because = format!("{variation} is better on {metric}, and no primary metric or guardrail is worse");
            return say(Advice::Ship, Some(variation), "primary_better", because);
        }
        for variation in &self.treatments {
            if let Some(metric) = with(variation, Role::Primary, Verdict::Worse) {
                let because = format!("{variation} is worse on {metric}");
                return say(Advice::Stop, Some(variation), "primary_worse", because);
            }
        }
        let all = |verdict| {
            let mut of_all = self
                .treatments
                .iter()
                .flat_map(|v| self.verdicts(v, Role::Primary))
                .peekable();
            of_all.peek().is_some() && of_all.all(|(_, v)| v == verdict)
        };
        if all(Verdict::WithinMargin) {
            return say(
                Advice::NoEffect,
                None,
                "primary_within_margin",
                "every primary metric differs from control by less than its margin".into(),
            );
        }
        if all(Verdict::TooEarly) {
            return say(
                Advice::KeepRunning,
                None,
                "too_early",
                "no primary metric has what it needs for a verdict yet".into(),
            );
        }
        if self.planned_end_reached {
            return say(
                Advice::NothingShown,
                None,
                "planned_end_without_effect",
                "the planned end is reached and no primary metric shows an effect, which does not prove that there is none".into(),
            );
        }
        say(
            Advice::KeepRunning,
            None,
            "undecided",
            "no primary metric shows an effect yet".into(),
        )
    }
}
