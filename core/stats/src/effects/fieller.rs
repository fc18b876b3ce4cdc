//! Fieller's region for a relative effect: right however near zero control's mean is.
//!
//! A relative effect r is refused when m_t − w(r)·m_c, which is zero if r is true, lies beyond the critical value of its own
//! standard error (Fieller, "Some Problems in Interval Estimation", J. R. Stat. Soc. B 16, 1954). With σ the sign of control's
//! mean, w = 1 + σr, so that the accepted r solve (m_t − w·m_c)² ≤ c²(v_t + w²·v_c): a quadratic inequality, whose solution is
//! an interval only while control's mean is itself beyond c standard errors. Below that, the region is open to one side or
//! both, which is the truth of the data and not a failure (Gleser and Hwang, "The Nonexistence of 100(1 − α)% Confidence Sets
//! of Finite Expected Diameter", Ann. Stat. 15, 1987: no method of bounded length can keep its level there).

use crate::Unavailable;
use crate::arms::estimate::ArmEstimate;
use crate::effects::confidence::Alternative;
use crate::effects::contrast::components;
use crate::effects::region::Region;

/// Beyond this g = c²·v_c/m_c² the delta method gives way to Fieller's region: control's mean is then less than ten times the
/// half-width of its own interval away from zero.
///
/// Finney ("Statistical Method in Biological Assay", 1952) neglects g below 0.05, for tests at 5 %. Near no effect and with
/// even arms, a delta interval is off centre by √(g/2) of its half-width: at 0.05 by a sixth, which at the critical values of
/// sequential tests (3 standard errors and more) makes one end four times as likely to miss as it should; at 0.01 by a
/// fourteenth.
pub const FIELLER_BEYOND: f64 = 0.01;

/// g = c²·v_c/m_c²: how near zero control's mean is, at this critical value.
///
/// # Errors
/// [`Unavailable::TooFewUnits`].
pub fn control_share(control: &ArmEstimate, critical: f64) -> Result<f64, Unavailable> {
    let ratio = critical * control.standard_error()? / control.value;
    Ok(ratio * ratio)
}

/// The region of the relative effect at this critical value, in standard errors.
///
/// # Errors
/// [`Unavailable::ZeroControlMean`]; [`Unavailable::TooFewUnits`]; [`Unavailable::Overflow`].
pub fn region(
    control: &ArmEstimate,
    treatment: &ArmEstimate,
    critical: f64,
    alternative: Alternative,
) -> Result<Region, Unavailable> {
    if control.value == 0.0 {
        return Err(Unavailable::ZeroControlMean);
    }
    let (_, treatment_variance) = components(control, treatment)?;
    let size = control.value.abs();
    let sign = 1f64.copysign(control.value);
    // In units of control's size: q = m_t/|m_c| = r + σ, and (1 − g)r² − 2(r̂ + σg)r + (r̂² − h − g) ≤ 0.
    let quotient = treatment.value / size;
    let effect = (treatment.value - control.value) / size;
    let g = control_share(control, critical)?;
    let scaled = critical * treatment_variance.sqrt() / size;
    let h = scaled * scaled;
    let lead = 1.0 - g;
    let half_middle = effect + sign * g;
    let last = effect * effect - h - g;
    let discriminant = h * lead + g * quotient * quotient;
    if !(half_middle.is_finite() && last.is_finite() && discriminant.is_finite()) {
        return Err(Unavailable::Overflow);
    }
    if lead < 0.0 && discriminant <= 0.0 {
        return Ok(Region::Everything);
    }
    // Both roots without cancellation: the larger by addition, the other from their product.
    let larger = half_middle + discriminant.max(0.0).sqrt().copysign(half_middle);
    if larger == 0.0 {
        // Only when treatment has neither mean nor variance and control is at the critical value, or nothing has variance.
        return if g == 0.0 {
            Err(Unavailable::ZeroVariance)
        } else {
            Ok(Region::Everything)
        };
    }
    let (one, other) = (last / larger, larger / lead);
    Ok(accepted(lead, (one.min(other), one.max(other)), effect, alternative))
}

/// The accepted region from the ordered roots.
fn accepted(lead: f64, (first, second): (f64, f64), effect: f64, alternative: Alternative) -> Region {
    let everything_or = |end: f64, region: Region| if end.is_finite() { region } else { Region::Everything };
    if lead >= 0.0 {
        // Refused below the first root for being too small, above the second for being too large. A control exactly at the
        // critical value sends one root to infinity.
        return match alternative {
            Alternative::TwoSided => Region::from_ends(first, second),
            Alternative::Greater => everything_or(first, Region::AtLeast { lower: first }),
            Alternative::Lesser => everything_or(second, Region::AtMost { upper: second }),
        };
    }
    // Refused between the roots alone, all of it to one side of the estimate.
    let too_small = first.max(f64::MIN) < effect && second <= effect;
    let looked_for = match alternative {
        Alternative::TwoSided => true,
        Alternative::Greater => too_small,
        Alternative::Lesser => !too_small,
    };
    match (looked_for, first.is_finite(), second.is_finite()) {
        (false, ..) | (_, false, false) => Region::Everything,
        (true, true, true) => Region::Outside {
            below: first,
            above: second,
        },
        (true, false, true) => Region::AtLeast { lower: second },
        (true, true, false) => Region::AtMost { upper: first },
    }
}
