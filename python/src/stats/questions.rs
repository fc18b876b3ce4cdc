//! Every question that the statistics engine is asked by Python.

use evenhand_stats::{
    Alternative, AnytimeValid, ArmData, ArmEstimate, ArmProgress, BanditPolicy, BestArm, Better, Confidence,
    Conversions, Correction, CupedMoments, CupedRatioMoments, Design, Effect, EffectPrior, EffectScale, FixedHorizon,
    GroupSequential, Look, Margin, Member, MinimumData, Moments, NullValue, Plan, Posteriors, PrePeriod, Procedure,
    RatePrior, RatioMoments, SampleSize, ShownInterval, Spending, SrmArm, SrmSlice, Target, Unavailable,
    adjust_by_pre_period, adjust_ratio_by_pre_period, adjusted_p_values, best_arm, compare, compare_rates, days_left,
    effect_posterior, infer, infer_family, multiple_exposure, non_inferiority, over_epochs, pre_period_balance,
    relative_lift_density, sample_ratio_by_epoch, sequential_sample_ratio_with, suspects, test_against, time_needed,
    update_weights,
};
use serde::{Deserialize, Serialize};

/// A question; its answer is the result's own JSON.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// What a reason means.
    Explain(Unavailable),
    Arm(Moments),
    RatioArm(RatioMoments),
    Cuped(Vec<CupedMoments>),
    CupedRatio(Vec<CupedRatioMoments>),
    Welch(Arms, Confidence),
    Compare(Arms, Judge),
    Against(Arms, Judge, NullValue),
    NonInferiority(Arms, Judge, Margin),
    AdjustedPValues(Vec<Option<f64>>, Correction),
    Family(Vec<(Arms, Option<Unavailable>)>, Judge, Correction),
    Boundary(Judge, u64),
    Looks(Judge),
    MinimumData(MinimumData, ArmData, ArmData),
    EffectPosterior(Arms, EffectScale, EffectPrior, Confidence),
    EffectDensity(Arms, EffectScale, EffectPrior, usize),
    CompareRates(Conversions, Conversions, RatePrior, Confidence),
    RateDensity(Conversions, Conversions, RatePrior, usize),
    SampleRatio(Vec<Vec<SrmArm>>),
    SequentialSampleRatio(Vec<Vec<SrmArm>>, Vec<f64>),
    Suspects(Vec<Vec<SrmArm>>, Vec<SrmSlice>),
    MultipleExposure(u64, u64),
    Balance(Vec<PrePeriod>),
    Power(Plan, f64, u64),
    SampleSize(Plan, f64, f64),
    DetectableEffect(Plan, u64, f64),
    Days(SampleSize, u64),
    DesignSize(Design, f64, f64),
    DesignLift(Design, u64, f64),
    DesignPower(Design, f64, u64),
    TimeNeeded(u64, Vec<u64>),
    DaysLeft(ArmProgress, ArmProgress, Target, Judge),
    BestRate(Vec<Conversions>, RatePrior, Better),
    BestMean(Vec<Option<ArmEstimate>>, Better),
    UpdateWeights(BestArm, Vec<u64>, BanditPolicy),
    OverEpochs(Vec<Vec<Option<ArmEstimate>>>, usize, usize),
}

/// Control and treatment.
#[derive(Deserialize)]
pub struct Arms(ArmEstimate, ArmEstimate);

/// A procedure with its settings.
#[derive(Deserialize)]
pub struct Judge {
    /// α.
    confidence: Confidence,
    alternative: Alternative,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    FixedHorizon,
    AnytimeValid {
        planned_units: Option<u64>,
        rho_squared: Option<f64>,
    },
    GroupSequential {
        spending: Spending,
        fractions: Vec<f64>,
        is_last: bool,
    },
}

impl Judge {
    fn procedure(&self) -> Result<Box<dyn Procedure>, Unavailable> {
        Ok(match &self.kind {
            Kind::FixedHorizon => Box::new(FixedHorizon {
                confidence: self.confidence,
                alternative: self.alternative,
            }),
            Kind::AnytimeValid { .. } => Box::new(self.anytime_valid()?),
            Kind::GroupSequential { .. } => Box::new(self.look()?),
        })
    }

    fn anytime_valid(&self) -> Result<AnytimeValid, Unavailable> {
        match &self.kind {
            Kind::AnytimeValid {
                rho_squared: Some(rho_squared),
                ..
            } => AnytimeValid::with_rho_squared(self.confidence, self.alternative, *rho_squared),
            Kind::AnytimeValid { planned_units, .. } => {
                AnytimeValid::new(self.confidence, self.alternative, *planned_units)
            }
            _ => Err(Unavailable::OutOfDomain),
        }
    }

    fn shown(&self) -> Result<ShownInterval, Unavailable> {
        match &self.kind {
            Kind::FixedHorizon => Ok(ShownInterval::FixedHorizon(self.confidence)),
            _ => self.anytime_valid().map(ShownInterval::Anytime),
        }
    }

    fn look(&self) -> Result<Look, Unavailable> {
        match &self.kind {
            Kind::GroupSequential {
                spending,
                fractions,
                is_last,
            } => GroupSequential {
                confidence: self.confidence,
                alternative: self.alternative,
                spending: *spending,
            }
            .look(fractions, *is_last),
            _ => Err(Unavailable::OutOfDomain),
        }
    }
}

/// An arm and what minimum data counts of it.
#[derive(Serialize)]
struct Arm {
    estimate: Result<ArmEstimate, Unavailable>,
    data: ArmData,
}

#[derive(Serialize)]
struct Looks {
    bounds: Vec<f64>,
    spent: f64,
}

#[derive(Serialize)]
struct Boundary {
    rho_squared: f64,
    boundary: f64,
}

impl Question {
    /// The answer as JSON.
    pub fn answer(self) -> Result<String, serde_json::Error> {
        match self {
            Self::Explain(reason) => json(Ok(reason.to_string())),
            Self::Arm(sums) => json(Ok(Arm {
                estimate: ArmEstimate::from_moments(&sums),
                data: ArmData::from_moments(&sums),
            })),
            Self::RatioArm(sums) => json(Ok(Arm {
                estimate: ArmEstimate::from_ratio(&sums),
                data: ArmData::from_moments(&sums.numerator()),
            })),
            Self::Cuped(arms) => json(adjust_by_pre_period(&arms).map(|adjusted| {
                let data: Vec<ArmData> = (arms.iter().map(CupedMoments::value))
                    .map(|sums| ArmData::from_moments(&sums))
                    .collect();
                (adjusted, data)
            })),
            Self::CupedRatio(arms) => json(adjust_ratio_by_pre_period(&arms).map(|adjusted| {
                let data: Vec<ArmData> = (arms.iter().map(|arm| arm.value().numerator()))
                    .map(|sums| ArmData::from_moments(&sums))
                    .collect();
                (adjusted, data)
            })),
            Self::Welch(Arms(control, treatment), confidence) => json(Ok(compare(&control, &treatment, confidence))),
            Self::Compare(Arms(control, treatment), judge) => {
                json((judge.procedure()).map(|procedure| infer(&control, &treatment, procedure.as_ref())))
            }
            Self::Against(Arms(control, treatment), judge, null) => {
                json((judge.procedure()).map(|procedure| test_against(&control, &treatment, null, procedure.as_ref())))
            }
            Self::NonInferiority(Arms(control, treatment), judge, margin) => {
                let tested = |procedure: Box<dyn Procedure>| -> Effect<_> {
                    non_inferiority(&control, &treatment, margin, procedure.as_ref())
                };
                json(judge.procedure().map(tested))
            }
            Self::AdjustedPValues(p_values, correction) => json(adjusted_p_values(&p_values, correction)),
            Self::Family(members, judge, correction) => {
                let members: Vec<Member> = members
                    .into_iter()
                    .map(|(Arms(control, treatment), withheld)| Member {
                        control,
                        treatment,
                        withheld,
                    })
                    .collect();
                json((judge.procedure()).and_then(|procedure| infer_family(&members, procedure.as_ref(), correction)))
            }
            Self::Boundary(judge, units) => json(judge.anytime_valid().and_then(|sequence| {
                Ok(Boundary {
                    rho_squared: sequence.rho_squared(),
                    boundary: sequence.boundary(units, judge.confidence)?,
                })
            })),
            Self::Looks(judge) => json(judge.look().and_then(|look| {
                Ok(Looks {
                    bounds: look.bounds().to_vec(),
                    spent: look.spent()?,
                })
            })),
            Self::MinimumData(minimum, control, treatment) => {
                json(Ok((minimum.shortfall(&control), minimum.shortfall(&treatment))))
            }
            Self::EffectPosterior(Arms(control, treatment), scale, prior, confidence) => {
                json(effect_posterior(&control, &treatment, scale, &prior, confidence))
            }
            Self::EffectDensity(Arms(control, treatment), scale, prior, places) => json(
                effect_posterior(&control, &treatment, scale, &prior, Confidence::P95)
                    .map(|posterior| posterior.density(places)),
            ),
            Self::CompareRates(control, treatment, prior, confidence) => {
                json(compare_rates(&control, &treatment, &prior, confidence))
            }
            Self::RateDensity(control, treatment, prior, places) => {
                json(relative_lift_density(&control, &treatment, &prior, places))
            }
            Self::SampleRatio(epochs) => json(sample_ratio_by_epoch(epochs.iter().map(Vec::as_slice))),
            Self::SequentialSampleRatio(epochs, concentrations) => json(sequential_sample_ratio_with(
                epochs.iter().map(Vec::as_slice),
                &concentrations,
            )),
            Self::Suspects(whole, slices) => json(suspects(&whole, &slices)),
            Self::MultipleExposure(units, in_several) => json(multiple_exposure(units, in_several)),
            Self::Balance(metrics) => json(Ok(pre_period_balance(&metrics))),
            Self::Power(plan, effect, control_units) => json(plan.power(effect, control_units)),
            Self::SampleSize(plan, effect, power) => json(plan.sample_size(effect, power)),
            Self::DetectableEffect(plan, control_units, power) => {
                json(plan.minimum_detectable_effect(control_units, power))
            }
            Self::Days(size, units_per_day) => json(size.days(units_per_day)),
            Self::DesignSize(design, lift, power) => json(design.sample_size(lift, power)),
            Self::DesignLift(design, units, power) => json(design.detectable_lift(units, power)),
            Self::DesignPower(design, lift, units) => json(design.power(lift, units)),
            Self::TimeNeeded(units, by_day) => json(time_needed(units, &by_day)),
            Self::DaysLeft(control, treatment, target, judge) => {
                json((judge.shown()).and_then(|interval| days_left(&control, &treatment, target, interval)))
            }
            Self::BestRate(arms, prior, better) => {
                json(Posteriors::of_rates(&arms, &prior).and_then(|posteriors| best_arm(&posteriors, better)))
            }
            Self::BestMean(arms, better) => {
                json(Posteriors::of_means(&arms).and_then(|posteriors| best_arm(&posteriors, better)))
            }
            Self::UpdateWeights(best, units, policy) => json(update_weights(&best, &units, &policy)),
            Self::OverEpochs(epochs, control, treatment) => json(over_epochs(&epochs, control, treatment)),
        }
    }
}

pub(super) fn json<T: Serialize>(answer: Result<T, Unavailable>) -> Result<String, serde_json::Error> {
    serde_json::to_string(&answer)
}
