//! Several tests at once: adjusted p-values, and intervals that go with them.
//!
//! A family is all the tests whose errors are to be bounded together, commonly the primary metrics of an experiment times its
//! variations. Tests without a verdict yet (too few data) belong to it and count as p = 1, so that the others do not gain from
//! their absence.
//!
//! **Intervals.** Another engine keeps the estimate and stretches the interval until its p-value is the adjusted one. That is
//! unsound: it fits the width to one value only, "no effect", and makes it depend on the estimate itself, so that no level
//! holds for an effect that is there; and an adjusted p-value of 1 has no finite width at all. Here instead:
//!
//! * Bonferroni: each at level α/m. All m hold together with probability 1 − α, whatever their dependence.
//! * Holm, one-sided: the simultaneous bounds that belong to the step-down test (Strassburger and Bretz, "Compatible Simultaneous
//!   Lower Confidence Bounds for the Holm Procedure and Other Bonferroni-based Closed Tests", Statistics in Medicine 27, 2008;
//!   Guilbaud, Biometrical Journal 50, 2008). With r refused, what is not refused is bounded at level α/(m − r), what is
//!   refused by zero; when all are refused, by the better of zero and the bound at level α/m. All hold together with
//!   probability 1 − α.
//! * Holm, two-sided: the same argument leaves a refused effect nothing but "not zero", without a sign. So all get
//!   Bonferroni's intervals, which hold together; one that Holm refuses and Bonferroni does not may contain zero.
//! * Benjamini–Hochberg: each at level max(R, 1)·α/m, R being the number refused: the false coverage-statement rate of the
//!   refused ones, the expected share of their intervals that miss, is at most α (Benjamini and Yekutieli, "False Discovery
//!   Rate–Adjusted Multiple Confidence Intervals for Selected Parameters", J. Am. Stat. Assoc. 100, 2005), under the
//!   dependence that the adjusted p-values ask for as well. Zero is outside exactly for the refused ones. Of the others'
//!   intervals nothing is claimed together.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::effects::confidence::{Alternative, Confidence};
use crate::effects::effect::{Effect, Lift, PointEstimate};
use crate::effects::inference::{Inference, Procedure, infer, infer_at};
use crate::effects::region::Region;

/// How the errors of a family are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Probability of any false refusal at most α, under any dependence: m·p.
    Bonferroni,
    /// The same, by stepping down, never weaker: "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Stat. 6,
    /// 1979.
    Holm,
    /// Expected share of false ones among the refused at most α, for independent or positively dependent tests: Benjamini and
    /// Hochberg, "Controlling the False Discovery Rate", J. R. Stat. Soc. B 57, 1995. Metrics of one experiment mostly are.
    BenjaminiHochberg,
}

/// One test in the light of its family.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Adjusted {
    /// The test on its own.
    pub single: Inference,
    /// The adjusted p-value: the least level of the family at which this test refuses.
    pub p_value: f64,
    /// Whether it refuses at the family's level.
    pub significant: bool,
    /// The level of the adjusted region (1 − α of it, α in JSON).
    pub confidence: Confidence,
    /// The adjusted region.
    pub region: Region,
}

impl PointEstimate for Adjusted {
    fn point_estimate(&self) -> f64 {
        self.single.estimate
    }
}

/// A comparison that belongs to a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// Control.
    pub control: ArmEstimate,
    /// Treatment.
    pub treatment: ArmEstimate,
    /// Why it gets no verdict yet ([`super::minimum_data`]), where that is so.
    pub withheld: Option<Unavailable>,
}

/// The adjusted p-values, in the order given; `None` stays `None` and counts as 1.
///
/// Sorted as p₍₁₎ ≤ … ≤ p₍ₘ₎: Bonferroni m·p; Holm the greatest of (m − j + 1)·p₍ⱼ₎ over j ≤ i; Benjamini–Hochberg the least of
/// m·p₍ⱼ₎/j over j ≥ i; all at most 1.
///
/// # Errors
/// [`Unavailable::OutOfDomain`] unless every p-value lies in 0 to 1.
pub fn adjusted_p_values(p_values: &[Option<f64>], correction: Correction) -> Result<Vec<Option<f64>>, Unavailable> {
    if p_values.iter().flatten().any(|p| !(0.0..=1.0).contains(p)) {
        return Err(Unavailable::OutOfDomain);
    }
    let size = p_values.len() as f64;
    let mut sorted: Vec<(usize, f64)> = p_values.iter().map(|p| p.unwrap_or(1.0)).enumerate().collect();
    sorted.sort_by(|left, right| left.1.total_cmp(&right.1));
    let ranked = sorted
        .iter()
        .enumerate()
        .map(|(before, (place, p))| (*place, *p, before as f64 + 1.0));
    let adjusted: Vec<(usize, f64)> = match correction {
        Correction::Bonferroni => ranked.map(|(place, p, _)| (place, p * size)).collect(),
        Correction::Holm => ranked
            .scan(0.0f64, |greatest, (place, p, rank)| {
                *greatest = greatest.max((size - rank + 1.0) * p);
                Some((place, *greatest))
            })
            .collect(),
        Correction::BenjaminiHochberg => ranked
            .rev()
            .scan(1.0f64, |least, (place, p, rank)| {
                *least = least.min(p * (size / rank));
                Some((place, *least))
            })
            .collect(),
    };
    let mut in_order = vec![None; p_values.len()];
    for (place, p) in adjusted {
        if let (Some(slot), Some(Some(_))) = (in_order.get_mut(place), p_values.get(place)) {
            *slot = Some(p.min(1.0));
        }
    }
    Ok(in_order)
}

/// The comparisons of a family by this procedure, at its own level over the whole family. The absolute effects are one family,
/// the relative ones the same family on the other scale.
///
/// Anytime-valid p-values may be corrected at every look, and Bonferroni's and Holm's guarantees then hold at every look.
///
/// # Errors
/// [`Unavailable::OutOfDomain`] for a level of the family that leaves less than 1e-15 to one of its tests.
pub fn infer_family<P: Procedure + ?Sized>(
    members: &[Member],
    procedure: &P,
    correction: Correction,
) -> Result<Vec<Lift<Adjusted>>, Unavailable> {
    let singles: Vec<Lift<Inference>> = members
        .iter()
        .map(|member| {
            let lift = infer(&member.control, &member.treatment, procedure);
            member.withheld.map_or(lift, |reason| lift.withheld(reason))
        })
        .collect();
    let scale = |of: fn(&Lift<Inference>) -> &Effect<Inference>| {
        let effects: Vec<&Effect<Inference>> = singles.iter().map(of).collect();
        adjust(&effects, members, procedure, correction, of)
    };
    let absolute = scale(|lift| &lift.absolute)?;
    let relative = scale(|lift| &lift.relative)?;
    Ok(absolute
        .into_iter()
        .zip(relative)
        .map(|(absolute, relative)| Lift { absolute, relative })
        .collect())
}

/// One scale of a family.
fn adjust<P: Procedure + ?Sized>(
    effects: &[&Effect<Inference>],
    members: &[Member],
    procedure: &P,
    correction: Correction,
    of: fn(&Lift<Inference>) -> &Effect<Inference>,
) -> Result<Vec<Effect<Adjusted>>, Unavailable> {
    let p_values: Vec<Option<f64>> = effects
        .iter()
        .map(|effect| effect.interval().map(|inference| inference.p_value))
        .collect();
    let adjusted = adjusted_p_values(&p_values, correction)?;
    let family = Family {
        alpha: procedure.confidence().alpha(),
        size: effects.len(),
        refused: 0,
        correction,
        alternative: procedure.alternative(),
    };
    let refused = adjusted.iter().flatten().filter(|p| **p <= family.alpha).count();
    let family = Family { refused, ..family };
    effects
        .iter()
        .zip(members)
        .zip(adjusted)
        .map(|((effect, member), p_value)| match (**effect, p_value) {
            (Effect::Interval(single), Some(p_value)) => {
                let significant = p_value <= family.alpha;
                let confidence = family.level(significant)?;
                let lift = infer_at(&member.control, &member.treatment, procedure, confidence);
                Ok(match of(&lift) {
                    Effect::Interval(at_level) => Effect::Interval(Adjusted {
                        single,
                        p_value,
                        significant,
                        confidence,
                        region: family.region(at_level.region, significant),
                    }),
                    Effect::PointOnly { estimate, reason } => Effect::PointOnly {
                        estimate: *estimate,
                        reason: *reason,
                    },
                    Effect::Unavailable { reason } => Effect::Unavailable { reason: *reason },
                })
            }
            (Effect::PointOnly { estimate, reason }, _) => Ok(Effect::PointOnly { estimate, reason }),
            (Effect::Unavailable { reason }, _) => Ok(Effect::Unavailable { reason }),
            (Effect::Interval(_), None) => Err(Unavailable::OutOfDomain),
        })
        .collect()
}

struct Family {
    alpha: f64,
    size: usize,
    refused: usize,
    correction: Correction,
    alternative: Alternative,
}

impl Family {
    fn steps_down(&self) -> bool {
        self.correction == Correction::Holm && self.alternative != Alternative::TwoSided
    }

    /// The level of one member's region.
    fn level(&self, significant: bool) -> Result<Confidence, Unavailable> {
        let size = self.size as f64;
        Confidence::from_alpha(match self.correction {
            Correction::BenjaminiHochberg => self.alpha * self.refused.max(1) as f64 / size,
            Correction::Holm if self.steps_down() && !significant => {
                self.alpha / self.size.saturating_sub(self.refused).max(1) as f64
            }
            Correction::Holm | Correction::Bonferroni => self.alpha / size,
        })
    }

    /// The region of one member from that at its level.
    fn region(&self, at_level: Region, significant: bool) -> Region {
        if !(self.steps_down() && significant) {
            return at_level;
        }
        // Nothing but the sign, unless all are refused; then what lies on that side of zero.
        let beyond = self.refused == self.size && !at_level.contains(0.0);
        match (self.alternative, at_level) {
            (Alternative::Greater, Region::AtLeast { lower } | Region::Outside { above: lower, .. }) if beyond => {
                Region::AtLeast { lower }
            }
            (Alternative::Lesser, Region::AtMost { upper } | Region::Outside { below: upper, .. }) if beyond => {
                Region::AtMost { upper }
            }
            (Alternative::Lesser, _) => Region::AtMost { upper: 0.0 },
            (Alternative::Greater | Alternative::TwoSided, _) => Region::AtLeast { lower: 0.0 },
        }
    }
}
