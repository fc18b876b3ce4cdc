//! Whether a guardrail is harmed, as one asks who acts by himself: one-sided, true at every look whatever the experiment's method, and from the first errors on.
//!
//! Two tests share the error. The **bound** is the one-sided confidence sequence, from the metric's minimum on. It is blind while control has hardly any
//! conversions, which is how a sound service looks beside a broken one. So rates are also judged by **counts**: units are dealt to two variations by their
//! weights, hence at equal rates the units that convert are, too, and the sequential multinomial test (Lindon and Malek, "Anytime-Valid Inference for Multinomial
//! Count Data", NeurIPS 2022, section on conversions) says at any time, exactly, whether too many fall to one. Within a margin m the rate of treatment may be
//! 1 ± m times control's, which tilts the expected split. Its rejections are for an excess on the harmful side only; a rate inside the null makes
//! such an excess less likely than one at its edge, which is what is tested.

use evenhand_stats::{
    AnytimeValid, ArmData, ArmEstimate, MetricKind, Moments, NullValue, SequentialSrm, SrmArm,
    sequential_sample_ratio_with, test_against,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    effect::Judge,
    epochs::{EpochSums, Pair, pooled},
    verdict::harmful,
};
use crate::{
    catalog::{Better, Reading},
    process::aggregate::Sums,
};

/// Concentrations of the mixture: the first is uniform over all splits and finds a broken variation within a dozen errors, the last finds a tenth more of them.
const CONCENTRATIONS: [f64; 3] = [2.0, 100.0, 10_000.0];

/// What speaks for harm, at this look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Harm {
    /// P-value of "worse by no more than the margin". True at every look, whatever the experiment's method; least of both tests, doubled where there are two.
    pub p_value: f64,
    /// What the harm is at least, by the one-sided bound at the experiment's confidence: relative to control where there is a margin, else in the metric's units; None
    /// before the metric's minimum.
    pub at_least: Option<f64>,
    /// Units with an event, in the variation and in control, of a rate.
    pub conversions: Option<[u64; 2]>,
}

/// None while there is too little for either test.
pub(super) fn harm(epochs: &[EpochSums], pair: &Pair<'_>, arms: Option<&(ArmEstimate, ArmEstimate)>) -> Option<Harm> {
    let reading = pair.reading;
    let bound = arms.and_then(|(control, treatment)| bound(control, treatment, reading, &pair.judge));
    let counts = (pair.kind == MetricKind::Proportion)
        .then(|| counts(epochs, pair.control, pair.treatment, reading))
        .flatten();
    let p_value = match (bound, counts) {
        (None, None) => return None,
        (Some((p, _)), None) | (None, Some((p, _))) => p,
        (Some((bound, _)), Some((counts, _))) => (2.0 * bound.min(counts)).min(1.0),
    };
    Some(Harm {
        p_value,
        at_least: bound.map(|(_, at_least)| at_least),
        conversions: counts.map(|(_, conversions)| conversions),
    })
}

/// By the one-sided sequence: p-value, and the least harm.
fn bound(control: &ArmEstimate, treatment: &ArmEstimate, reading: &Reading, judge: &Judge) -> Option<(f64, f64)> {
    let (alternative, harm) = harmful(reading);
    let sequence = AnytimeValid::new(judge.nominal, alternative, judge.planned_units).ok()?;
    // A margin of nothing is the same on both scales, and the absolute one knows no control of zero.
    let null = if reading.margin == 0.0 {
        NullValue::Absolute(0.0)
    } else {
        NullValue::Relative(harm)
    };
    let found = *test_against(control, treatment, null, &sequence).interval()?;
    let at_least = match reading.better {
        Better::Lower => found.region.lower()?,
        Better::Higher => -found.region.upper()?,
    };
    Some((found.p_value, at_least))
}

/// By counts: p-value, and the units with an event.
fn counts(epochs: &[EpochSums], control: usize, treatment: usize, reading: &Reading) -> Option<(f64, [u64; 2])> {
    let minimum = reading.minimum;
    let all = [pooled(epochs, control), pooled(epochs, treatment)];
    let (of_control, of_treatment) = (conversions(&all[0])?, conversions(&all[1])?);
    if super::units(all[0].n.min(all[1].n)) < minimum.units || of_control + of_treatment < minimum.conversions {
        return None;
    }
    // Weights and margins are whole basis points.
    let margin = (reading.margin * 10_000.0).round() as u32;
    let tilt = match reading.better {
        Better::Lower => 10_000u32.checked_add(margin)?,
        Better::Higher => 10_000u32.checked_sub(margin)?,
    };
    let mut due = 0.0;
    let mut pairs: Vec<[SrmArm; 2]> = Vec::with_capacity(epochs.len());
    for epoch in epochs {
        let of = |arm: usize, tilt: u32| {
            Some(SrmArm {
                observed: conversions(epoch.arms.get(arm)?)?,
                weight: epoch.weights.get(arm)?.checked_mul(tilt)?,
            })
        };
        let pair = [of(control, 10_000)?, of(treatment, tilt)?];
        let weights = f64::from(pair[0].weight) + f64::from(pair[1].weight);
        // An epoch in which one of them had no weight compares nothing.
        if pair.iter().all(|arm| arm.weight > 0) {
            due += (pair[0].observed + pair[1].observed) as f64 * f64::from(pair[1].weight) / weights;
            pairs.push(pair);
        }
    }
    let seen: u64 = pairs.iter().map(|pair| pair[1].observed).sum();
    let test = sequential_sample_ratio_with(pairs.iter().map(|pair| pair.as_slice()), &CONCENTRATIONS).ok()?;
    let SequentialSrm::Tested { p_value, .. } = test else {
        return None;
    };
    let towards_harm = match reading.better {
        Better::Lower => seen as f64 > due,
        Better::Higher => (seen as f64) < due,
    };
    Some((if towards_harm { p_value } else { 1.0 }, [of_treatment, of_control]))
}

/// Units with an event: values of a rate are all the same, 1 or the metric's cap.
fn conversions(sums: &Sums) -> Option<u64> {
    let moments = Moments {
        n: super::units(sums.n),
        sum: sums.sum.to_i128()?,
        sum_sq: sums.sum_sq.to_i128()?,
    };
    ArmData::from_moments(&moments).conversions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::exact::Exact;
    use evenhand_stats::MinimumData;

    /// A conversion, in micro-units.
    const ONE: i128 = 1_000_000;

    fn sums(units: i64, conversions: i64) -> Sums {
        let whole = |factor: i128| {
            let mut exact = Exact::default();
            exact.add(i128::from(conversions) * factor);
            exact
        };
        Sums {
            n: units,
            sum: whole(ONE),
            sum_sq: whole(ONE * ONE),
            ..Sums::default()
        }
    }

    fn epoch(weights: [u32; 2], arms: [(i64, i64); 2]) -> EpochSums {
        EpochSums {
            weights: weights.to_vec(),
            arms: arms
                .iter()
                .map(|(units, conversions)| sums(*units, *conversions))
                .collect(),
        }
    }

    fn errors() -> Reading {
        Reading {
            better: Better::Lower,
            minimum: MinimumData::default(),
            ..Reading::default()
        }
    }

    /// ∫ of the Dirichlet mixture in closed form: B(α + s)/B(α)/Πθ^s by factorials, for whole α.
    fn by_hand(alpha: u32, control: u32, treatment: u32) -> f64 {
        let rising = |from: u32, steps: u32| (0..steps).map(|step| f64::from(from + step)).product::<f64>();
        let all = control + treatment;
        rising(alpha, control) * rising(alpha, treatment) / rising(2 * alpha, all) * 2f64.powi(all as i32)
    }

    #[test]
    fn a_control_without_errors_does_not_hide_what_is_broken() {
        let found = counts(&[epoch([5_000, 5_000], [(500, 0), (500, 12)])], 0, 1, &errors()).unwrap();
        let expected = 3.0 / (by_hand(1, 0, 12) + by_hand(50, 0, 12) + by_hand(5_000, 0, 12));
        assert!((found.0 / expected - 1.0).abs() < 1e-9, "{} {expected}", found.0);
        assert!(found.0 < 0.01);
        assert_eq!(found.1, [12, 0]);
        // The mirror image is no harm.
        assert_eq!(
            counts(&[epoch([5_000, 5_000], [(500, 12), (500, 0)])], 0, 1, &errors())
                .unwrap()
                .0,
            1.0
        );
        // Nine errors are no matter yet.
        assert!(counts(&[epoch([5_000, 5_000], [(500, 0), (500, 9)])], 0, 1, &errors()).is_none());
    }

    #[test]
    fn an_uneven_split_and_a_margin_are_what_is_expected() {
        // One unit in a hundred is treated: twelve errors of 1,200 fall to it, as is due.
        let due = counts(&[epoch([9_900, 100], [(99_000, 1_188), (1_000, 12)])], 0, 1, &errors()).unwrap();
        assert!(due.0 > 0.5, "{}", due.0);
        let tolerant = Reading {
            margin: 0.5,
            ..errors()
        };
        let half_more = [epoch([5_000, 5_000], [(10_000, 400), (10_000, 600)])];
        assert!(counts(&half_more, 0, 1, &errors()).unwrap().0 < 1e-6);
        assert!(counts(&half_more, 0, 1, &tolerant).unwrap().0 > 0.5);
    }

    /// Sound experiments, looked at after each of 400 errors: at most one in twenty may ever be called at 5 %, and the extremes of uneven splits are no worse.
    #[test]
    fn sound_variations_are_hardly_ever_blamed_however_often_one_looks() {
        let mut state = 20_261_126_u64;
        let mut draw = || {
            // xorshift64*, of Vigna.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
        };
        for weights in [[5_000, 5_000], [9_900, 100]] {
            let share = f64::from(weights[1]) / 10_000.0;
            let mut blamed = 0;
            for _ in 0..400 {
                let (mut control, mut treatment) = (0, 0);
                for error in 0..400 {
                    if draw() < share {
                        treatment += 1;
                    } else {
                        control += 1;
                    }
                    if error < 10 {
                        continue;
                    }
                    let looked = [epoch(weights, [(1_000, control), (1_000, treatment)])];
                    if counts(&looked, 0, 1, &errors()).unwrap().0 < 0.05 {
                        blamed += 1;
                        break;
                    }
                }
            }
            assert!(blamed <= 20, "{blamed} of 400 at {weights:?}");
        }
    }
}
