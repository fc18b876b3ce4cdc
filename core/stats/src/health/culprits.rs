//! Where does a mismatch come from? Each value of each dimension (browser, country, SDK version, day) tested by itself.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::health::sample_ratio::SrmArm;
use crate::health::sequential_sample_ratio::{SEQUENTIAL_SRM_P_THRESHOLD, SequentialSrm, sequential_sample_ratio};

/// The units of one value of one dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrmSlice {
    /// Such as `browser`.
    pub dimension: String,
    /// Such as `Safari 17`.
    pub value: String,
    /// The same epochs, arms and weights as those of the whole, with the units of this value alone.
    pub epochs: Vec<Vec<SrmArm>>,
}

/// What is known of one value of one dimension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// Its dimension.
    pub dimension: String,
    /// The value.
    pub value: String,
    /// Units of this value.
    pub units: u64,
    /// ln of the evidence against this value's split, see [`SequentialSrm`].
    pub log_bayes_factor: f64,
    /// The value's own sequential p-value.
    pub p_value: f64,
    /// The same times the number of values looked at, at most 1 (Bonferroni).
    pub adjusted_p_value: f64,
    /// Whether the adjusted p-value is below [`SEQUENTIAL_SRM_P_THRESHOLD`].
    pub mismatch: bool,
    /// The p-value of all other units. Of the true culprit, it is what the whole should have been.
    pub p_value_without: f64,
    /// Whether the whole is a mismatch and all without this value is none. Values whose own split is a mismatch *and* that heal
    /// the whole are the culprits; a large sound value may heal by taking the evidence's units away.
    pub heals: bool,
}

/// Tests every value by itself and the whole without it, the most suspicious first.
///
/// The tests are sequential ones, so that a search made because an alarm went off, or at every refresh, needs no further
/// correction in time; Bonferroni's takes care of the number of values. Values of one dimension add up to the whole, of two
/// dimensions overlap: the correction holds for any dependence. Order: mismatches that heal, then other mismatches, then the
/// rest, each by falling evidence, then by dimension and value.
///
/// Values with no two arms to compare are left out, and not counted as looked at.
///
/// # Errors
/// [`Unavailable::Inconsistent`] when a slice has other epochs, arms or weights than the whole, or more units;
/// [`Unavailable::Overflow`] when counts go beyond 2⁶⁴.
pub fn suspects(whole: &[Vec<SrmArm>], slices: &[SrmSlice]) -> Result<Vec<Suspect>, Unavailable> {
    let sick = matches!(test(whole)?, SequentialSrm::Tested { mismatch: true, .. });
    let mut found = Vec::with_capacity(slices.len());
    for slice in slices {
        let rest = without(whole, &slice.epochs)?;
        let SequentialSrm::Tested {
            units,
            log_bayes_factor,
            p_value,
            ..
        } = test(&slice.epochs)?
        else {
            continue;
        };
        let (p_value_without, rest_sick) = match test(&rest)? {
            SequentialSrm::Tested { p_value, mismatch, .. } => (p_value, mismatch),
            SequentialSrm::OneArm => (1.0, false),
        };
        found.push(Suspect {
            dimension: slice.dimension.clone(),
            value: slice.value.clone(),
            units,
            log_bayes_factor,
            p_value,
            adjusted_p_value: p_value,
            mismatch: false,
            p_value_without,
            heals: sick && !rest_sick,
        });
    }
    let looked_at = found.len() as f64;
    for suspect in &mut found {
        suspect.adjusted_p_value = (suspect.p_value * looked_at).min(1.0);
        suspect.mismatch = suspect.adjusted_p_value < SEQUENTIAL_SRM_P_THRESHOLD;
    }
    found.sort_by(|left, right| {
        let rank = |suspect: &Suspect| (suspect.mismatch && suspect.heals, suspect.mismatch);
        rank(right)
            .cmp(&rank(left))
            .then(right.log_bayes_factor.total_cmp(&left.log_bayes_factor))
            .then_with(|| (&left.dimension, &left.value).cmp(&(&right.dimension, &right.value)))
    });
    Ok(found)
}

fn test(epochs: &[Vec<SrmArm>]) -> Result<SequentialSrm, Unavailable> {
    sequential_sample_ratio(epochs.iter().map(Vec::as_slice))
}

fn without(whole: &[Vec<SrmArm>], part: &[Vec<SrmArm>]) -> Result<Vec<Vec<SrmArm>>, Unavailable> {
    if whole.len() != part.len() {
        return Err(Unavailable::Inconsistent);
    }
    let epochs = whole.iter().zip(part).map(|(whole, part)| {
        if whole.len() != part.len() {
            return Err(Unavailable::Inconsistent);
        }
        let arms = whole.iter().zip(part).map(|(whole, part)| {
            let observed = whole.observed.checked_sub(part.observed);
            match observed {
                Some(observed) if whole.weight == part.weight => Ok(SrmArm {
                    observed,
                    weight: whole.weight,
                }),
                _ => Err(Unavailable::Inconsistent),
            }
        });
        arms.collect()
    });
    epochs.collect()
}
