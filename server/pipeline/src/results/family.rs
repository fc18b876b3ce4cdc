//! The comparisons of primary metrics as one family, whose errors are bounded together.

use evenhand_stats::{Confidence, effects::multiple};

use super::{metric::MetricResults, verdict::of_interval};
use crate::catalog::{Correction, Reading, Role};

/// The comparisons of primary metrics.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub correction: Correction,
    /// Of the experiment.
    pub nominal: Confidence,
    /// Primary metrics times treatments; those without a verdict yet count too.
    pub size: usize,
}

impl Family {
    fn method(&self) -> Option<multiple::Correction> {
        match self.correction {
            Correction::Bonferroni => Some(multiple::Correction::Bonferroni),
            Correction::Holm => Some(multiple::Correction::Holm),
            Correction::BenjaminiHochberg => Some(multiple::Correction::BenjaminiHochberg),
            Correction::None => None,
        }
    }

    /// Adjusted p-values of the primary comparisons, in the order of metrics and variations.
    fn adjusted(&self, metrics: &[MetricResults]) -> Option<Vec<Option<f64>>> {
        let method = self.method()?;
        let primaries = metrics.iter().filter(|metric| metric.role == Role::Primary);
        let found = primaries
            .flat_map(|metric| &metric.arms)
            .filter(|arm| arm.verdict.is_some());
        let mut p_values: Vec<Option<f64>> = found
            .map(|arm| arm.decisive().and_then(|lift| lift.absolute.p_value))
            .collect();
        let seen = p_values.len();
        p_values.resize(self.size.max(seen), None);
        let mut adjusted = multiple::adjusted_p_values(&p_values, method).ok()?;
        adjusted.truncate(seen);
        Some(adjusted)
    }

    /// The level of each interval. Benjamini and Hochberg's grows with the number refused, which `first`, read at any level, tells.
    pub fn confidence(&self, first: impl FnOnce() -> Vec<MetricResults>) -> Confidence {
        let share = |parts: f64| Confidence::from_alpha(self.nominal.alpha() * parts / self.size.max(1) as f64);
        match self.correction {
            Correction::None => Ok(self.nominal),
            Correction::Bonferroni | Correction::Holm => share(1.0),
            Correction::BenjaminiHochberg => {
                let adjusted = self.adjusted(&first()).unwrap_or_default();
                let refused = adjusted
                    .iter()
                    .flatten()
                    .filter(|p| **p <= self.nominal.alpha())
                    .count();
                share(refused.max(1) as f64)
            }
        }
        .unwrap_or(self.nominal)
    }

    /// Writes the adjusted p-values down, and lets verdicts go by them.
    pub fn settle(&self, metrics: &mut [MetricResults]) {
        let Some(adjusted) = self.adjusted(metrics) else {
            return;
        };
        let primaries = metrics.iter_mut().filter(|metric| metric.role == Role::Primary);
        let arms = primaries.flat_map(|metric| {
            let reading = Reading {
                role: metric.role,
                better: metric.better,
                margin: metric.margin,
                minimum: metric.minimum,
                ..Reading::default()
            };
            metric.arms.iter_mut().map(move |arm| (arm, reading))
        });
        let compared = arms.filter(|(arm, _)| arm.verdict.is_some());
        for ((arm, reading), p_value) in compared.zip(adjusted) {
            arm.adjusted_p_value = p_value;
            let Some(mut lift) = arm.decisive().copied() else {
                continue;
            };
            // The interval's level says the same for all but Holm, who refuses more than his two-sided intervals show.
            lift.absolute.significant = p_value.map(|p| p <= self.nominal.alpha());
            arm.verdict = Some(of_interval(&lift, &reading));
        }
    }
}
