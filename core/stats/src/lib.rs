//! Evenhand statistics: inference from sufficient statistics. Pure: no clock, I/O, thread or randomness.
//!
//! The path of a number, one folder a step:
//!
//! 1. [`arms`]: exact integer sums of one arm, merged and retracted without loss, and the arm's mean, ratio or quantile with the
//!    variance of its estimator;
//! 2. [`health`]: did the traffic split as the weights say? Look at this before anything else;
//! 3. [`effects`]: treatment against control, absolute and relative, with intervals and p-values;
//! 4. [`bayes`]: what to believe of an effect, given a prior;
//! 5. [`planning`]: how many units, and so how many days, an experiment needs;
//! 6. [`bandit`]: weights that follow what was learned, and lifts over epochs of such weights.
//!
//! [`distributions`] holds what they are computed with.
//!
//! **Units.** Metric values enter as micro-units (1.0 is `1_000_000`), as the event contract has them; every `f64` that
//! leaves is in the metric's own units.
//!
//! **No NaN.** Where a figure does not exist (one unit, no variance, a control mean of zero), an enum says so:
//! [`Unavailable`].
//!
//! ```
//! use evenhand_stats::{ArmEstimate, Confidence, Effect, Moments, compare};
//! let control = ArmEstimate::from_moments(&Moments::from_conversions(5_000, 500)?)?;
//! let treatment = ArmEstimate::from_moments(&Moments::from_conversions(5_000, 560)?)?;
//! let lift = compare(&control, &treatment, Confidence::P95);
//! let Effect::Interval(relative) = lift.relative else { unreachable!() };
//! assert!((relative.estimate - 0.12).abs() < 1e-12);
//! # Ok::<(), evenhand_stats::Unavailable>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod arms;
pub mod bandit;
pub mod bayes;
pub mod distributions;
pub mod effects;
pub mod health;
pub mod planning;
mod unavailable;

pub use arms::bands::{Band, Bands, band_of, band_start};
pub use arms::cuped::{PrePeriodAdjusted, adjust_by_pre_period};
pub use arms::cuped_ratio::adjust_ratio_by_pre_period;
pub use arms::estimate::ArmEstimate;
pub use arms::metric::{Headline, MetricKind};
pub use arms::moments::{CupedMoments, CupedRatioMoments, MICROS, Moments, RatioMoments};
pub use arms::quantile::Quantile;
pub use arms::winsorise::{Cap, CapOver};
pub use bandit::best_arm::{BestArm, MOST_ARMS, best_arm};
pub use bandit::over_epochs::{OverEpochs, over_epochs};
pub use bandit::posterior::{NormalArm, Posteriors};
pub use bandit::weights::{BanditPolicy, BanditUpdate, basis_points, update_weights};
pub use bayes::effect::{Better, EffectPosterior, EffectPrior, EffectScale, ExpectedLoss, effect_posterior};
pub use bayes::rates::{Conversions, Credible, RatePosterior, RatePrior, compare_rates, relative_lift_density};
pub use effects::alpha_spending::Spending;
pub use effects::anytime::{AnytimeValid, UNPLANNED_UNITS};
pub use effects::confidence::{Alternative, Confidence};
pub use effects::contrast::{Contrast, Spread};
pub use effects::effect::{Effect, Lift, PointEstimate};
pub use effects::fixed_horizon::FixedHorizon;
pub use effects::group_sequential::{GroupSequential, Look};
pub use effects::inference::{Form, Inference, NullValue, Procedure, infer, infer_at, test_against};
pub use effects::minimum_data::{ArmData, Gate, MinimumData, Shortfall};
pub use effects::multiple::{Adjusted, Correction, Member, adjusted_p_values, infer_family};
pub use effects::non_inferiority::{Margin, NonInferiority, non_inferiority};
pub use effects::region::Region;
pub use effects::welch::{EffectInterval, compare};
pub use health::balance::{Balance, PRE_PERIOD_P_THRESHOLD, PrePeriod, PrePeriodBalance, pre_period_balance};
pub use health::culprits::{SrmSlice, Suspect, suspects};
pub use health::exposure::{MultipleExposure, Verdict, multiple_exposure};
pub use health::loss::{EXPOSURE_LOSS_MIN_UNITS, ExposureLoss, exposure_loss};
pub use health::sample_ratio::{SRM_MIN_EXPECTED, SRM_P_THRESHOLD, Srm, SrmArm, sample_ratio, sample_ratio_by_epoch};
pub use health::sequential_sample_ratio::{
    SEQUENTIAL_SRM_P_THRESHOLD, SRM_CONCENTRATIONS, SequentialSrm, SrmWatch, sequential_sample_ratio,
    sequential_sample_ratio_with,
};
pub use planning::design::{Baseline, Design, Looks, PlannedSize};
pub use planning::power::{Plan, SampleSize};
pub use planning::remaining::{ArmProgress, LONGEST_FORECAST_DAYS, Remaining, ShownInterval, Target, days_left};
pub use planning::traffic::{TimeNeeded, time_needed};
pub use unavailable::Unavailable;
