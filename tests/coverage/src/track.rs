//! What is held to its promise: each kind of interval, of the absolute and of the relative effect, and what
//! watches the split.

use evenhand_stats::distributions::normal::normal_upper_quantile;
use evenhand_stats::{
    Alternative, AnytimeValid, ArmData, ArmEstimate, Confidence, FixedHorizon, GroupSequential, Inference, Lift,
    Procedure, Region, SEQUENTIAL_SRM_P_THRESHOLD, SRM_P_THRESHOLD, SequentialSrm, Spending, Spread, Srm, SrmArm,
    Unavailable, infer, sample_ratio, sequential_sample_ratio,
};

use crate::draw::Arm;
use crate::scenario::Scenario;

/// When an interval is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At the fixed horizon alone.
    Once,
    /// At every look from the minimum data on.
    Always,
    /// At the stages of the plan.
    Stages,
}

/// One kind of interval of one effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// Its name in the figures.
    pub name: &'static str,
    /// When it is looked at.
    pub when: When,
    /// Whether it promises to stay below α however it is looked at: then the study fails when it does not.
    pub promised: bool,
    /// Whether it is of the relative effect.
    pub relative: bool,
    /// Its level.
    pub alpha: f64,
}

impl Track {
    /// Whether a scenario has it: the split is watched by itself.
    pub fn applies(&self, scenario: &Scenario) -> bool {
        self.name.starts_with("split") == scenario.split && (self.name != ALL_ARMS || scenario.weights.len() > 2)
    }
}

/// Any of several treatments.
pub const ALL_ARMS: &str = "anytime-valid, all arms, absolute";

const fn track(name: &'static str, when: When, promised: bool, relative: bool) -> Track {
    Track {
        name,
        when,
        promised,
        relative,
        alpha: ALPHA,
    }
}

/// All kinds, in the order of [`Judge::look`].
pub const TRACKS: [Track; 17] = [
    track("fixed horizon, once, absolute", When::Once, false, false),
    track("fixed horizon, once, relative", When::Once, false, true),
    track("fixed horizon, peeked at, absolute", When::Always, false, false),
    track("fixed horizon, peeked at, relative", When::Always, false, true),
    track("anytime-valid, absolute", When::Always, true, false),
    track("anytime-valid, relative", When::Always, true, true),
    track("anytime-valid, higher, absolute", When::Always, true, false),
    track("anytime-valid, higher, relative", When::Always, true, true),
    track("anytime-valid, lower, absolute", When::Always, true, false),
    track("anytime-valid, lower, relative", When::Always, true, true),
    track(ALL_ARMS, When::Always, true, false),
    track("group-sequential, absolute", When::Stages, true, false),
    track("group-sequential, relative", When::Stages, true, true),
    track("group-sequential, Pocock, absolute", When::Stages, true, false),
    track("split, sequential at 5 %", When::Always, true, false),
    Track {
        alpha: SEQUENTIAL_SRM_P_THRESHOLD,
        ..track("split, sequential", When::Always, true, false)
    },
    track("split, χ², looked at every time", When::Always, false, false),
];

/// α of every interval.
pub const ALPHA: f64 = 0.05;

/// What a look says of one track.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Whether it holds zero.
    pub holds_zero: bool,
    /// Whether it holds the truth.
    pub holds_truth: bool,
    /// Its ends, where it has both.
    pub ends: Option<(f64, f64)>,
}

/// The procedures of a scenario, tuned before its first unit.
pub struct Judge<'a> {
    scenario: &'a Scenario,
    fixed: RegionOnly<FixedHorizon>,
    peeked: Peeked,
    /// Two-sided, higher, lower.
    anytime: [RegionOnly<AnytimeValid>; 3],
    /// Two-sided at α over the number of treatments; where there are several.
    each_of_several: Option<RegionOnly<AnytimeValid>>,
    /// By stage, spending as O'Brien and Fleming and as Pocock have it.
    stages: [Vec<Stage>; 2],
}

/// A procedure without its p-value, which costs a group-sequential test many designs and is not looked at here.
struct RegionOnly<P>(P);

/// The fixed-horizon test as it is looked at every time: Student's quantile from its expansion about the normal one (Abramowitz and
/// Stegun 26.7.5), right to 10⁻⁸ from 99 degrees of freedom on. The exact one would be three quarters of the whole study.
struct Peeked {
    confidence: Confidence,
    z: f64,
}

impl Peeked {
    fn new(confidence: Confidence) -> Self {
        let z = normal_upper_quantile(confidence.alpha() / 2.0).expect("a level");
        Self { confidence, z }
    }
}

impl Procedure for Peeked {
    fn alternative(&self) -> Alternative {
        Alternative::TwoSided
    }

    fn confidence(&self) -> Confidence {
        self.confidence
    }

    fn critical_value(&self, spread: &Spread, _: Confidence) -> Result<f64, Unavailable> {
        let (z, inverse) = (self.z, 1.0 / spread.degrees_of_freedom);
        let z2 = z * z;
        let terms = [
            (z2 + 1.0) / 4.0,
            ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0,
            (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0,
            ((((79.0 * z2 + 776.0) * z2 + 1482.0) * z2 - 1920.0) * z2 - 945.0) / 92_160.0,
        ];
        let sum = terms.iter().rev().fold(0.0, |sum, term| (sum + term) * inverse);
        Ok(z * (1.0 + sum))
    }

    fn p_value(&self, _: &Spread, _: f64) -> Result<f64, Unavailable> {
        Ok(1.0)
    }
}

/// A look of a group-sequential design, its bound computed once for all runs.
type Stage = RegionOnly<evenhand_stats::Look>;

impl<P: Procedure> Procedure for RegionOnly<P> {
    fn alternative(&self) -> Alternative {
        self.0.alternative()
    }

    fn confidence(&self) -> Confidence {
        self.0.confidence()
    }

    fn critical_value(&self, spread: &Spread, confidence: Confidence) -> Result<f64, Unavailable> {
        self.0.critical_value(spread, confidence)
    }

    fn p_value(&self, _: &Spread, _: f64) -> Result<f64, Unavailable> {
        Ok(1.0)
    }
}

impl<'a> Judge<'a> {
    /// The plan ends at the scenario's horizon: units of the two compared arms together.
    pub fn new(scenario: &'a Scenario) -> Self {
        let confidence = |alpha| Confidence::from_alpha(alpha).expect("a level");
        let share = |arms: &[u32]| arms.iter().map(|weight| f64::from(*weight)).sum::<f64>();
        let planned = scenario.horizon() as f64 * share(&scenario.weights[..2]) / share(&scenario.weights);
        let anytime = |alternative, alpha| {
            RegionOnly(
                AnytimeValid::new(confidence(alpha), alternative, Some(planned as u64)).expect("a plan of some units"),
            )
        };
        let treatments = scenario.weights.len() - 1;
        let fractions: Vec<f64> = (scenario.stages.iter())
            .map(|stage| scenario.looks[*stage] as f64 / scenario.horizon() as f64)
            .collect();
        let stages = |spending| {
            let design = GroupSequential {
                confidence: confidence(ALPHA),
                alternative: Alternative::TwoSided,
                spending,
            };
            let stage = |number: usize| design.look(&fractions[..number], number == fractions.len());
            (1..=fractions.len())
                .map(|number| RegionOnly(stage(number).expect("a design")))
                .collect()
        };
        Self {
            scenario,
            fixed: RegionOnly(FixedHorizon {
                confidence: confidence(ALPHA),
                alternative: Alternative::TwoSided,
            }),
            anytime: [Alternative::TwoSided, Alternative::Greater, Alternative::Lesser]
                .map(|alternative| anytime(alternative, ALPHA)),
            peeked: Peeked::new(confidence(ALPHA)),
            stages: [Spending::OBrienFleming, Spending::Pocock].map(stages),
            each_of_several: (treatments > 1).then(|| anytime(Alternative::TwoSided, ALPHA / treatments as f64)),
        }
    }

    /// What every track says at this look (from 0), in the order of [`TRACKS`]; nothing before the minimum data.
    pub fn look(&self, index: usize, arms: &[Arm]) -> [Option<Look>; TRACKS.len()] {
        let mut looks = [None; TRACKS.len()];
        if self.scenario.split {
            looks[14..].copy_from_slice(&self.split(arms));
            return looks;
        }
        let data = |arm: &Arm| ArmData::from_moments(&arm.moments);
        let open = |treatment: &Arm| self.scenario.minimum.gate(&data(&arms[0]), &data(treatment)).is_open();
        let estimate = |arm: &Arm| ArmEstimate::from_moments(&arm.moments).ok();
        if let (true, Some(control), Some(treatment)) = (open(&arms[1]), estimate(&arms[0]), estimate(&arms[1])) {
            if self.scenario.stages.last() == Some(&index) {
                looks[0..2].copy_from_slice(&self.both(&infer(&control, &treatment, &self.fixed)));
            }
            looks[2..4].copy_from_slice(&self.both(&infer(&control, &treatment, &self.peeked)));
            for (place, procedure) in self.anytime.iter().enumerate() {
                let both = self.both(&infer(&control, &treatment, procedure));
                looks[4 + 2 * place..6 + 2 * place].copy_from_slice(&both);
            }
            if let Some(stage) = self.scenario.stages.iter().position(|look| *look == index) {
                looks[11..13].copy_from_slice(&self.both(&infer(&control, &treatment, &self.stages[0][stage])));
                looks[13] = self.both(&infer(&control, &treatment, &self.stages[1][stage]))[0];
            }
            if let Some(procedure) = &self.each_of_several {
                let others = arms[1..].iter().filter(|arm| open(arm)).filter_map(estimate);
                let regions = others.filter_map(|other| {
                    let lift = infer(&control, &other, procedure);
                    lift.absolute.interval().map(|inference| inference.region)
                });
                // One verdict on all comparisons: whether each holds.
                looks[10] = regions
                    .map(|region| self.judge(&region, false))
                    .reduce(|one, other| Look {
                        holds_zero: one.holds_zero && other.holds_zero,
                        holds_truth: one.holds_truth && other.holds_truth,
                        ends: None,
                    });
            }
        }
        looks
    }

    /// The sequential test at α, both tests at the thresholds of a results page.
    fn split(&self, arms: &[Arm]) -> [Option<Look>; 3] {
        let counts: Vec<SrmArm> = (arms.iter().zip(&self.scenario.weights))
            .map(|(arm, weight)| SrmArm {
                observed: arm.moments.n,
                weight: *weight,
            })
            .collect();
        let verdict = |alarm: bool| {
            Some(Look {
                holds_zero: !alarm,
                holds_truth: !alarm,
                ends: None,
            })
        };
        let sequential = match sequential_sample_ratio([counts.as_slice()]) {
            Ok(SequentialSrm::Tested { p_value, .. }) => Some(p_value),
            _ => None,
        };
        let chi_square = match sample_ratio(&counts) {
            Ok(Srm::Tested { p_value, .. }) => Some(p_value),
            _ => None,
        };
        [
            sequential.and_then(|p| verdict(p < ALPHA)),
            sequential.and_then(|p| verdict(p < SEQUENTIAL_SRM_P_THRESHOLD)),
            chi_square.and_then(|p| verdict(p < SRM_P_THRESHOLD)),
        ]
    }

    fn both(&self, lift: &Lift<Inference>) -> [Option<Look>; 2] {
        [(&lift.absolute, false), (&lift.relative, true)].map(|(effect, relative)| {
            let inference = effect.interval()?;
            Some(self.judge(&inference.region, relative))
        })
    }

    fn judge(&self, region: &Region, relative: bool) -> Look {
        let truth = self.scenario.truth();
        Look {
            holds_zero: region.contains(0.0),
            holds_truth: region.contains(if relative { truth.1 } else { truth.0 }),
            ends: region.lower().zip(region.upper()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_quantile_is_the_exact_one() {
        let fixed = FixedHorizon {
            confidence: Confidence::P95,
            alternative: Alternative::TwoSided,
        };
        for degrees_of_freedom in [99.0, 120.5, 400.0, 1e4, 1e9] {
            let spread = Spread {
                standard_error: 1.0,
                degrees_of_freedom,
                units: 1_000,
            };
            let exact = fixed.critical_value(&spread, Confidence::P95).unwrap();
            let quick = Peeked::new(Confidence::P95)
                .critical_value(&spread, Confidence::P95)
                .unwrap();
            assert!(
                (quick / exact - 1.0).abs() < 1e-8,
                "{degrees_of_freedom}: {quick} {exact}"
            );
        }
    }
}
