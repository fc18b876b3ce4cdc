//! Welch's t-test, two- and one-sided: valid once, at the planned end.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::effects::confidence::{Alternative, Confidence};
use crate::effects::contrast::Spread;
use crate::effects::inference::Procedure;

/// Welch's t-test at this level. Whoever looks before the planned end, or twice, is misled more often than α:
/// [`super::anytime::AnytimeValid`] is for that.
///
/// Welch (Biometrika 34, 1947) with Satterthwaite's degrees of freedom ([`Spread`]). For Fieller's region of a relative
/// effect the degrees of freedom are those of the tested contrast m_t − w·m_c at the null value. One-sided, α must be below ½.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FixedHorizon {
    /// Its level.
    pub confidence: Confidence,
    /// What it looks for.
    pub alternative: Alternative,
}

impl Procedure for FixedHorizon {
    fn alternative(&self) -> Alternative {
        self.alternative
    }

    fn confidence(&self) -> Confidence {
        self.confidence
    }

    fn critical_value(&self, spread: &Spread, confidence: Confidence) -> Result<f64, Unavailable> {
        let alpha = confidence.alpha();
        let tail = match self.alternative {
            Alternative::TwoSided => alpha / 2.0,
            // From here on the region would leave out the estimate itself.
            Alternative::Greater | Alternative::Lesser if alpha >= 0.5 => return Err(Unavailable::OutOfDomain),
            Alternative::Greater | Alternative::Lesser => alpha,
        };
        spread.student_t()?.upper_quantile(tail)
    }

    fn p_value(&self, spread: &Spread, oriented: f64) -> Result<f64, Unavailable> {
        if oriented.is_nan() {
            return Err(Unavailable::OutOfDomain);
        }
        let distribution = spread.student_t()?;
        Ok(match self.alternative {
            Alternative::TwoSided => distribution.two_sided(oriented),
            Alternative::Greater | Alternative::Lesser => distribution.upper_tail(oriented),
        })
    }
}
