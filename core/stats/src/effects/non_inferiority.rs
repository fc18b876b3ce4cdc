//! Non-inferiority: is treatment at most a margin worse than control?

use serde::{Deserialize, Serialize};

use crate::arms::estimate::ArmEstimate;
use crate::effects::confidence::Alternative;
use crate::effects::effect::{Effect, PointEstimate};
use crate::effects::inference::{Inference, NullValue, Procedure, test_against};

/// The harm that would still be accepted, as a size: not negative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "scale", content = "value", rename_all = "snake_case")]
pub enum Margin {
    /// In the metric's units.
    Absolute(f64),
    /// Of control's value: 0.02 is 2 %.
    Relative(f64),
}

/// The outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NonInferiority {
    /// The margin asked for.
    pub margin: Margin,
    /// Estimate and region on the margin's scale; the p-value is that of "worse by the margin or more".
    pub inference: Inference,
    /// Whether "worse by the margin or more" is refused. When it is not, nothing is shown: not that treatment is worse.
    pub non_inferior: bool,
    /// Whether the region also leaves out "no effect": superiority, at no cost of level, since the two hypotheses are nested
    /// (Committee for Proprietary Medicinal Products, "Points to Consider on Switching between Superiority and
    /// Non-inferiority", 2000, section IV).
    pub superior: bool,
}

impl PointEstimate for NonInferiority {
    fn point_estimate(&self) -> f64 {
        self.inference.estimate
    }
}

/// Tests treatment for non-inferiority. The procedure's alternative says which direction is better: `Greater` when a higher
/// value is, `Lesser` when a lower one is.
///
/// With the better direction up, "m_t − m_c ≤ −margin" (or "≤ −margin·|m_c|") is to be refused by a one-sided test.
///
/// [`Effect::PointOnly`] with [`crate::Unavailable::OutOfDomain`] for a two-sided procedure, and for a margin that is negative or not
/// finite.
pub fn non_inferiority<P: Procedure + ?Sized>(
    control: &ArmEstimate,
    treatment: &ArmEstimate,
    margin: Margin,
    procedure: &P,
) -> Effect<NonInferiority> {
    let (size, null): (f64, fn(f64) -> NullValue) = match margin {
        Margin::Absolute(size) => (size, NullValue::Absolute),
        Margin::Relative(size) => (size, NullValue::Relative),
    };
    let worse = match procedure.alternative() {
        Alternative::Greater if size >= 0.0 => -size,
        Alternative::Lesser if size >= 0.0 => size,
        // No such value: test_against refuses it as out of the domain.
        _ => f64::NAN,
    };
    match test_against(control, treatment, null(worse), procedure) {
        Effect::Interval(inference) => Effect::Interval(NonInferiority {
            margin,
            inference,
            non_inferior: inference.significant,
            superior: inference.significant && !inference.region.contains(0.0),
        }),
        Effect::PointOnly { estimate, reason } => Effect::PointOnly { estimate, reason },
        Effect::Unavailable { reason } => Effect::Unavailable { reason },
    }
}
