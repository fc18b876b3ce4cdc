//! An effect as it may be shown.

use evenhand_stats::{
    Alternative, AnytimeValid, ArmEstimate, Confidence, Effect, FixedHorizon, Inference, Lift, Procedure, Region,
    Unavailable, infer_at,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::looks::Reached;
use crate::catalog::{Better, Method};

/// A lift as it may be shown now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShownLift {
    /// Difference in the metric's units.
    pub absolute: ShownEffect,
    /// Difference over the size of control's value: 0.12 is +12 %.
    pub relative: ShownEffect,
}

/// An effect as it may be shown now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShownEffect {
    /// The point estimate.
    pub estimate: Option<f64>,
    /// Its standard error.
    pub standard_error: Option<f64>,
    /// Lower end of the interval; none where there is none, or where `region` says that it reaches further.
    pub lower: Option<f64>,
    /// Upper end of the interval.
    pub upper: Option<f64>,
    /// The values that are not refused, also where they are no interval (a relative effect whose control may be zero).
    #[schema(value_type = Option<Object>, example = json!({"shape": "between", "lower": -0.01, "upper": 0.25}))]
    pub region: Option<Region>,
    /// Two-sided p-value of "no effect"; under the sequential method true at every look, under the group-sequential one at all planned looks together.
    pub p_value: Option<f64>,
    /// Whether "no effect" is refused at the interval's level.
    pub significant: Option<bool>,
    /// Why something is missing.
    #[schema(value_type = Option<String>, example = "minimum_data")]
    pub unavailable: Option<Unavailable>,
}

impl ShownEffect {
    fn of(effect: &Effect<Inference>) -> Self {
        let found = effect.interval();
        Self {
            estimate: effect.estimate(),
            standard_error: found.map(|i| i.standard_error),
            lower: found.and_then(|i| i.region.lower()),
            upper: found.and_then(|i| i.region.upper()),
            region: found.map(|i| i.region),
            p_value: found.map(|i| i.p_value),
            significant: found.map(|i| i.significant),
            unavailable: effect.reason(),
        }
    }
}

impl ShownLift {
    /// A lift by its figures.
    pub(super) fn of(lift: &Lift<Inference>) -> Self {
        Self {
            absolute: ShownEffect::of(&lift.absolute),
            relative: ShownEffect::of(&lift.relative),
        }
    }
}

/// How two arms are compared: the method, tuned before the first look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge {
    pub method: Method,
    /// Of each interval, after its share of a correction.
    pub confidence: Confidence,
    /// Of the experiment.
    pub nominal: Confidence,
    /// Units planned in both compared arms together.
    pub planned_units: Option<u64>,
    /// The look that is being taken; none: there are intervals at planned looks only, if the method is theirs.
    pub look: Option<Reached>,
}

impl Judge {
    /// The same for two of several arms: the plan is shared out by their weights.
    pub fn between(&self, weights: &[u32], control: usize, treatment: usize) -> Self {
        let all: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let of = |at: usize| weights.get(at).copied().map_or(0.0, f64::from);
        let both = of(control) + of(treatment);
        let share = if both > 0.0 { both / all } else { 1.0 };
        Self {
            planned_units: self.planned_units.map(|units| ((units as f64 * share) as u64).max(1)),
            ..*self
        }
    }

    /// Both effects by the method.
    pub fn lift(&self, control: &ArmEstimate, treatment: &ArmEstimate) -> Result<Lift<Inference>, Unavailable> {
        Ok(match self.method {
            // The tuning follows the experiment's own level, so that a correction widens the interval and leaves the process as it was.
            Method::Sequential => infer_at(
                control,
                treatment,
                &AnytimeValid::new(self.nominal, Alternative::TwoSided, self.planned_units)?,
                self.confidence,
            ),
            Method::FixedHorizon => self.fixed_horizon(control, treatment),
            Method::GroupSequential => match &self.look {
                Some(look) => {
                    let look = look.procedure(self.nominal, Alternative::TwoSided)?;
                    infer_at(control, treatment, &look, self.confidence)
                }
                None => self
                    .fixed_horizon(control, treatment)
                    .withheld(Unavailable::PlannedLook),
            },
        })
    }

    /// Both effects by Welch's test, whatever the method.
    pub fn fixed_horizon(&self, control: &ArmEstimate, treatment: &ArmEstimate) -> Lift<Inference> {
        let welch = FixedHorizon {
            confidence: self.nominal,
            alternative: Alternative::TwoSided,
        };
        infer_at(control, treatment, &welch, self.confidence)
    }

    /// The method's one-sided test in one direction.
    pub fn one_sided(&self, better: Better) -> Result<Box<dyn Procedure>, Unavailable> {
        let alternative = match better {
            Better::Higher => Alternative::Greater,
            Better::Lower => Alternative::Lesser,
        };
        Ok(match self.method {
            Method::Sequential => Box::new(AnytimeValid::new(self.nominal, alternative, self.planned_units)?),
            Method::FixedHorizon => Box::new(FixedHorizon {
                confidence: self.nominal,
                alternative,
            }),
            Method::GroupSequential => {
                let look = self.look.as_ref().ok_or(Unavailable::PlannedLook)?;
                Box::new(look.procedure(self.nominal, alternative)?)
            }
        })
    }
}
