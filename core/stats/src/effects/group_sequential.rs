//! Group-sequential tests: a few looks on the way to a planned size, each with its own bound, α in all.
//!
//! Where the planned size is known and looks are few, they need fewer units than anytime-valid tests; they promise nothing at
//! looks that are not counted, nor beyond the planned size. The bounds come from spending α over the looks (Lan and DeMets,
//! Biometrika 70, 1983), so that neither their number nor their times need to be known in advance, only not be chosen by what
//! the effect looked like; the exit probabilities from recursive integration (Armitage, McPherson and Rowe, 1969).
//!
//! **Information fraction** of a look: units of both arms so far over planned units of both arms, while the arms' split and the
//! variance stay as they were (the information on a difference of means is 1/(v_t + v_c)).
//!
//! **Intervals** are repeated confidence intervals, estimate ± bound · standard error: they hold together at all looks, and
//! whether or not one stops (Jennison and Turnbull, "Interim Analyses: The Repeated Confidence Interval Approach", J. R. Stat.
//! Soc. B 51, 1989). **p-values** are repeated p-values in the same sense: the least level at which the design, with its looks
//! so far, would refuse at *this* look. A stage-wise-ordering p-value would be smaller at early looks that did not stop, and
//! below 5 % there without being significant, which is what a results page must not show; it is the better summary only after
//! a stop at a bound, and then both are below α.
//!
//! Bounds are those of a normal statistic; each arm's minimum data ([`super::minimum_data`]) makes Student's t no matter.

use serde::{Deserialize, Serialize};

use crate::Unavailable;
use crate::distributions::normal::normal_upper_tail;
use crate::effects::alpha_spending::Spending;
use crate::effects::confidence::{Alternative, Confidence};
use crate::effects::contrast::Spread;
use crate::effects::first_exit;
use crate::effects::inference::Procedure;

/// Most looks of a design. Who looks more often wants [`super::anytime::AnytimeValid`].
pub const MOST_LOOKS: usize = 100;

/// Least increase of the information fraction from one look to the next.
pub const LEAST_STEP: f64 = 1e-4;

/// A group-sequential design.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GroupSequential {
    /// Its level over all looks.
    pub confidence: Confidence,
    /// What it looks for; two-sided bounds are symmetric.
    pub alternative: Alternative,
    /// How α is spent.
    pub spending: Spending,
}

/// One look of a design: a [`Procedure`] whose bound is that of the last fraction given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Look {
    design: GroupSequential,
    fractions: Vec<f64>,
    is_last: bool,
    bounds: Vec<f64>,
}

impl GroupSequential {
    /// The latest of these looks, given the information fractions of all looks so far.
    ///
    /// `is_last` says that none will follow: it then spends all that is left, also when fewer units came than planned. A
    /// fraction of 1 or more does so by itself, and must be the last; beyond 1 more units came than planned, which the
    /// correlations take into account.
    ///
    /// # Errors
    /// [`Unavailable::OutOfDomain`] unless there are 1 to [`MOST_LOOKS`] fractions, each [`LEAST_STEP`] above the one before
    /// and none but the last at 1 or beyond (10 at most); and unless α is below 1, one-sided below ½.
    pub fn look(&self, fractions: &[f64], is_last: bool) -> Result<Look, Unavailable> {
        let mut earlier = 0.0;
        for (at, fraction) in fractions.iter().enumerate() {
            let last = at.saturating_add(1) == fractions.len();
            let most = if last { 10.0 } else { 1.0 - LEAST_STEP };
            // A step of just the least may come out a few bits short.
            if !(*fraction >= earlier + LEAST_STEP * (1.0 - 1e-6) && *fraction <= most) {
                return Err(Unavailable::OutOfDomain);
            }
            earlier = *fraction;
        }
        if fractions.is_empty() || fractions.len() > MOST_LOOKS {
            return Err(Unavailable::OutOfDomain);
        }
        let mut look = Look {
            design: *self,
            fractions: fractions.to_vec(),
            is_last,
            bounds: Vec::new(),
        };
        look.bounds = look.bounds_at(self.confidence.alpha())?;
        Ok(look)
    }
}

impl Look {
    /// The bounds of all looks so far, in standard errors.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// α spent up to and with this look, of both sides.
    ///
    /// # Errors
    /// None for a look that was made.
    pub fn spent(&self) -> Result<f64, Unavailable> {
        let sides = self.sides();
        let spent = self.spending(self.design.confidence.alpha() / sides)?;
        Ok(spent.last().copied().unwrap_or(0.0) * sides)
    }

    fn sides(&self) -> f64 {
        match self.design.alternative {
            Alternative::TwoSided => 2.0,
            Alternative::Greater | Alternative::Lesser => 1.0,
        }
    }

    /// What one side has spent after each look.
    fn spending(&self, side_alpha: f64) -> Result<Vec<f64>, Unavailable> {
        let mut spent = self
            .fractions
            .iter()
            .map(|fraction| self.design.spending.spent(side_alpha, *fraction))
            .collect::<Result<Vec<f64>, Unavailable>>()?;
        if let (Some(last), true) = (spent.last_mut(), self.is_last) {
            *last = side_alpha;
        }
        Ok(spent)
    }

    fn bounds_at(&self, alpha: f64) -> Result<Vec<f64>, Unavailable> {
        let side_alpha = alpha / self.sides();
        // At ½ and above the bound of one side would be below zero.
        if side_alpha >= 0.5 {
            return Err(Unavailable::OutOfDomain);
        }
        let mut earlier = 0.0;
        let leaving: Vec<f64> = self
            .spending(side_alpha)?
            .iter()
            .map(|spent| spent - std::mem::replace(&mut earlier, *spent))
            .collect();
        first_exit::bounds(
            &self.fractions,
            &leaving,
            self.design.alternative == Alternative::TwoSided,
        )
    }

    fn bound_at(&self, alpha: f64) -> Result<f64, Unavailable> {
        self.bounds_at(alpha)?.last().copied().ok_or(Unavailable::OutOfDomain)
    }
}

impl Procedure for Look {
    fn alternative(&self) -> Alternative {
        self.design.alternative
    }

    fn confidence(&self) -> Confidence {
        self.design.confidence
    }

    fn critical_value(&self, _: &Spread, confidence: Confidence) -> Result<f64, Unavailable> {
        if confidence == self.design.confidence {
            self.bounds.last().copied().ok_or(Unavailable::OutOfDomain)
        } else {
            self.bound_at(confidence.alpha())
        }
    }

    /// The repeated p-value, to about ten digits: 1 where no level below the greatest (one-sided ½) refuses, and 1e-100 where
    /// it is that or less.
    ///
    /// Sought as the level at which the bound meets the statistic, by regula falsi (Illinois) on √(−2 ln α), in which the
    /// bound is nearly a straight line: some ten designs are computed, sixty at most.
    fn p_value(&self, _: &Spread, oriented: f64) -> Result<f64, Unavailable> {
        if oriented.is_nan() {
            return Err(Unavailable::OutOfDomain);
        }
        if oriented <= 0.0 {
            return Ok(1.0);
        }
        let level = |x: f64| libm::exp(-0.5 * x * x);
        let at_level = |alpha: f64| (-2.0 * libm::log(alpha)).sqrt();
        let excess = |x: f64| self.bound_at(level(x)).map(|bound| bound - oriented);
        // No look refuses below the level at which a single look of its own would.
        let single = (self.sides() * normal_upper_tail(oriented)).clamp(1e-100, 1.0);
        let greatest: f64 = if self.sides() > 1.0 { 1.0 - 1e-6 } else { 0.5 - 1e-6 };
        let (mut low, mut high) = (at_level(greatest), at_level(single));
        if low >= high {
            return Ok(1.0);
        }
        let (mut below, mut above) = (excess(low)?, excess(high)?);
        if below >= 0.0 {
            return Ok(1.0);
        }
        if above <= 0.0 {
            return Ok(level(high));
        }
        let mut moved = Moved::Neither;
        for _ in 0..60 {
            let x = (high - above * (high - low) / (above - below)).clamp(low, high);
            let value = excess(x)?;
            let step = if value > 0.0 { high - x } else { x - low };
            // An end that stays twice has its weight halved, so that neither can stay for ever.
            match (value > 0.0, &moved) {
                (true, Moved::High) => below *= 0.5,
                (false, Moved::Low) => above *= 0.5,
                _ => {}
            }
            if value > 0.0 {
                (high, above, moved) = (x, value, Moved::High);
            } else {
                (low, below, moved) = (x, value, Moved::Low);
            }
            if value.abs() <= 4e-15 * oriented || step.min(high - low) <= 1e-15 * high {
                return Ok(level(x));
            }
        }
        Ok(level(0.5 * (low + high)))
    }
}

/// Which end of the bracket moved last.
enum Moved {
    Neither,
    Low,
    High,
}
