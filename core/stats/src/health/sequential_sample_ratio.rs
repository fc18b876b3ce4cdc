//! Sample-ratio mismatch, watched as units arrive: a test that stays true however often it is looked at.
//!
//! Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022: their sequential test of
//! multinomial hypotheses. The expected split θ stands against a Dirichlet mixture of all other splits; the ratio of the two
//! likelihoods of the counts s,
//!
//! O = B(α + s)/B(α) / Π θᵢ^sᵢ, B(α) = Π Γ(αᵢ)/Γ(Σ αᵢ),
//!
//! is a martingale that starts at 1 when θ is true, so P(ever O ≥ 1/p) ≤ p (Ville) for any number of units, small ones too: no
//! minimum is needed and no expansion is involved.
//!
//! **Prior.** α = κθ with the concentration κ. A κ finds deviations of some √(θ(1 − θ)/κ) soonest: the authors' `ssrm-test` has
//! 10,000 (half a percentage point of an even split), their later gist 100 (5 points). Wrong by a factor of a hundred it costs
//! dearly either way, so the default is the mean of the three statistics with [`SRM_CONCENTRATIONS`]. A mean of martingales is
//! one, and costs at most a factor of 3 against the best of them.
//!
//! **Epochs.** When the weights change, the next epoch's statistic multiplies what there was, with a prior that is chosen from
//! the epochs before and so leaves the product a martingale. What lets units of one arm go missing loses a share of *that arm*,
//! whatever its weight, so the prior carries over each arm's ratio of posterior to expected share: its mean is proportional to
//! θ'ᵢρᵢ, with ρᵢ = (αᵢ + sᵢ)/Σ(αⱼ + sⱼ)/θᵢ (1 for an arm not seen yet). Its concentration is such that Σ 1/α'ᵢ, the sum of the
//! variances of the arms' log shares, stays what it was: no more is claimed to be known, and no less. (An arm not seen yet
//! counts with κ.) Hence an epoch cut in two with the same weights gives what it gave before, and a hundred short epochs of a
//! bandit find a leak as one long one does.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::distributions::divergence::divergence;
use crate::distributions::log_gamma::stirling_remainder;
use crate::health::sample_ratio::SrmArm;

/// A mismatch is called when the sequential p-value is below this: at most one sound experiment in a hundred is ever blamed,
/// however long it is watched. (The 0.001 of the χ² test is so strict because that test is not made for many looks.)
pub const SEQUENTIAL_SRM_P_THRESHOLD: f64 = 0.01;

/// Concentrations of the default prior: deviations of 5, 0.5 and 0.05 percentage points of an even split.
pub const SRM_CONCENTRATIONS: [f64; 3] = [100.0, 10_000.0, 1_000_000.0];

/// The outcome of the sequential test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SequentialSrm {
    /// At least one epoch has two arms of positive weight.
    Tested {
        /// Units counted: those in arms of positive weight of epochs with at least two.
        units: u64,
        /// ln O, the evidence against the planned split: 0 at the start; above 4.6 it is a mismatch.
        log_bayes_factor: f64,
        /// min(1, 1/O) of these counts. Valid at any time; [`SrmWatch`] keeps the least so far, which is valid too.
        p_value: f64,
        /// Whether the p-value is below [`SEQUENTIAL_SRM_P_THRESHOLD`].
        mismatch: bool,
    },
    /// No epoch has two arms of positive weight: nothing to compare.
    OneArm,
}

/// What a caller keeps between looks, so that an alarm once raised stays: the least p-value seen (Lindon and Malek's sequential
/// p-value is this running minimum).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SrmWatch {
    /// The least p-value so far; 1 at the start.
    pub p_value: f64,
}

impl Default for SrmWatch {
    fn default() -> Self {
        Self { p_value: 1.0 }
    }
}

impl SrmWatch {
    /// The state after a look at these results.
    #[must_use]
    pub fn after(self, look: &SequentialSrm) -> Self {
        match look {
            SequentialSrm::Tested { p_value, .. } => Self {
                p_value: self.p_value.min(*p_value),
            },
            SequentialSrm::OneArm => self,
        }
    }

    /// Whether a look so far called a mismatch.
    pub fn mismatch(self) -> bool {
        self.p_value < SEQUENTIAL_SRM_P_THRESHOLD
    }
}

/// The sequential test of cumulative counts with the default prior; see [`sequential_sample_ratio_with`].
///
/// # Errors
/// [`Unavailable::Overflow`] when counts go beyond 2⁶⁴.
pub fn sequential_sample_ratio<'a>(
    epochs: impl IntoIterator<Item = &'a [SrmArm]>,
) -> Result<SequentialSrm, Unavailable> {
    sequential_sample_ratio_with(epochs, &SRM_CONCENTRATIONS)
}

/// The sequential test of cumulative counts, one slice of arms for each epoch of weights, in the order of time.
///
/// An arm keeps its place in the slices; a later epoch may add arms at the end. Arms of weight zero do not count, nor do their
/// units. `concentrations` are the κ of the module's text, mixed in equal parts.
///
/// # Errors
/// [`Unavailable::OutOfDomain`] unless there is a concentration and each is within 1e-3 ..= 1e12;
/// [`Unavailable::Overflow`] when counts go beyond 2⁶⁴.
pub fn sequential_sample_ratio_with<'a>(
    epochs: impl IntoIterator<Item = &'a [SrmArm]>,
    concentrations: &[f64],
) -> Result<SequentialSrm, Unavailable> {
    if concentrations.is_empty() || !concentrations.iter().all(|kappa| (1e-3..=1e12).contains(kappa)) {
        return Err(Unavailable::OutOfDomain);
    }
    let mut mixture: Vec<Learned> = concentrations.iter().map(|kappa| Learned::new(*kappa)).collect();
    let (mut units, mut compared) = (0u64, false);
    for arms in epochs {
        let Some(epoch) = Epoch::of(arms)? else { continue };
        compared = true;
        units = units.checked_add(epoch.units).ok_or(Unavailable::Overflow)?;
        for learned in &mut mixture {
            learned.see(&epoch);
        }
    }
    if !compared {
        return Ok(SequentialSrm::OneArm);
    }
    let highest = mixture
        .iter()
        .map(|learned| learned.log_bayes_factor)
        .fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = mixture
        .iter()
        .map(|learned| libm::exp(learned.log_bayes_factor - highest))
        .sum();
    let log_bayes_factor = highest + libm::log(sum / mixture.len() as f64);
    let p_value = libm::exp(-log_bayes_factor).min(1.0);
    Ok(SequentialSrm::Tested {
        units,
        log_bayes_factor,
        p_value,
        mismatch: p_value < SEQUENTIAL_SRM_P_THRESHOLD,
    })
}

/// An epoch with at least two arms of positive weight.
struct Epoch {
    units: u64,
    arms: Vec<EpochArm>,
}

struct EpochArm {
    place: usize,
    /// θ.
    share: f64,
    /// s.
    observed: f64,
    /// s − units·θ, from an exact difference.
    excess: f64,
}

impl Epoch {
    fn of(arms: &[SrmArm]) -> Result<Option<Self>, Unavailable> {
        let weighted = || arms.iter().enumerate().filter(|(_, arm)| arm.weight > 0);
        if weighted().count() < 2 {
            return Ok(None);
        }
        let weights: u64 = weighted().map(|(_, arm)| u64::from(arm.weight)).sum();
        let units = weighted()
            .try_fold(0u64, |total, (_, arm)| total.checked_add(arm.observed))
            .ok_or(Unavailable::Overflow)?;
        let arms = weighted()
            .map(|(place, arm)| {
                let seen = i128::from(arm.observed).checked_mul(i128::from(weights));
                let due = i128::from(units).checked_mul(i128::from(arm.weight));
                let gap = seen.zip(due).and_then(|(seen, due)| seen.checked_sub(due));
                Ok(EpochArm {
                    place,
                    share: f64::from(arm.weight) / weights as f64,
                    observed: arm.observed as f64,
                    excess: gap.ok_or(Unavailable::Overflow)? as f64 / weights as f64,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Some(Self { units, arms }))
    }
}

/// What one concentration has learned so far.
struct Learned {
    kappa: f64,
    log_bayes_factor: f64,
    /// By the arm's place, of the last epoch in which it had weight.
    arms: Vec<Option<LearnedArm>>,
}

#[derive(Clone, Copy)]
struct LearnedArm {
    /// α + s.
    posterior: f64,
    /// ρ.
    ratio: f64,
    /// ρ − 1, which has its own digits near zero.
    tilt: f64,
}

impl Learned {
    fn new(kappa: f64) -> Self {
        Self {
            kappa,
            log_bayes_factor: 0.0,
            arms: Vec::new(),
        }
    }

    /// ln O of an epoch in a form without large terms that cancel: with A = α + s, C = Σα, C' = ΣA and D(A) = C'·KL(A/C' ‖ θ),
    ///
    /// ln O = D(A) − D(α) − ½ Σ ln(1 + sᵢ/αᵢ) + ½ ln(1 + n/C) + Σ (δ(Aᵢ) − δ(αᵢ)) − δ(C') + δ(C),
    ///
    /// where δ is what Stirling's formula leaves over; what is linear in the counts cancels exactly.
    fn see(&mut self, epoch: &Epoch) {
        let known = |place: usize| self.arms.get(place).copied().flatten();
        // Σ θρ − 1: the prior's mean over θ is ρ/(1 + drift).
        let drift: f64 = (epoch.arms.iter())
            .map(|arm| known(arm.place).map_or(0.0, |known| arm.share * known.tilt))
            .sum();
        // The prior's mean over θ, and the same less 1.
        let priors: Vec<(f64, f64)> = (epoch.arms.iter())
            .map(|arm| {
                let (ratio, tilt) = known(arm.place).map_or((1.0, 0.0), |known| (known.ratio, known.tilt));
                (ratio / (1.0 + drift), (tilt - drift) / (1.0 + drift))
            })
            .collect();
        // Σ 1/m over Σ 1/(α + s): with α' = Cm the sum of 1/α' stays what it was.
        let (mut spread, mut known_spread) = (0.0, 0.0);
        for (arm, (ratio, _)) in epoch.arms.iter().zip(&priors) {
            let mean = arm.share * ratio;
            spread += 1.0 / mean;
            known_spread += 1.0 / known(arm.place).map_or(self.kappa * mean, |known| known.posterior);
        }
        let concentration = spread / known_spread;
        let total = concentration + epoch.units as f64;
        let mut log_factor = 0.5 * libm::log1p(epoch.units as f64 / concentration) + stirling_remainder(concentration)
            - stirling_remainder(total);
        for (arm, (ratio, tilt)) in epoch.arms.iter().zip(&priors) {
            let prior = concentration * arm.share * ratio;
            let learned = LearnedArm {
                posterior: prior + arm.observed,
                ratio: (prior + arm.observed) / (total * arm.share),
                tilt: (concentration * arm.share * tilt + arm.excess) / (total * arm.share),
            };
            log_factor += total * arm.share * divergence(learned.tilt) - concentration * arm.share * divergence(*tilt);
            log_factor += stirling_remainder(learned.posterior) - stirling_remainder(prior);
            log_factor -= 0.5 * libm::log1p(arm.observed / prior);
            if self.arms.len() <= arm.place {
                self.arms.resize(arm.place.saturating_add(1), None);
            }
            if let Some(known) = self.arms.get_mut(arm.place) {
                *known = Some(learned);
            }
        }
        self.log_bayes_factor += log_factor;
    }
}
