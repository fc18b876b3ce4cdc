//! What is to be believed of an effect under a proper prior.

use evenhand_stats::{ArmEstimate, Better, Confidence, EffectPrior, EffectScale, effect_posterior};
use serde::Serialize;
use utoipa::ToSchema;

/// The posterior of a relative effect under the prior N(0, 0.3²): no lift is expected, two in three within ±30 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Posterior {
    /// Probability that the variation is better than control.
    pub chance_to_beat_control: f64,
    /// Expected relative effect; drawn towards 0 by the prior.
    pub mean: f64,
    /// Its standard deviation: the posterior is normal.
    pub standard_deviation: f64,
    /// Lower end of the central credible interval, at the metric's confidence.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Relative loss to expect from shipping, should it be worse.
    pub expected_loss_ship: f64,
    /// Relative loss to expect from keeping control, should the variation be better.
    pub expected_loss_keep: f64,
}

/// None where a relative effect or its standard error does not exist.
pub(super) fn posterior(
    (control, treatment): (&ArmEstimate, &ArmEstimate),
    better: Better,
    confidence: Confidence,
) -> Option<Posterior> {
    let found = effect_posterior(
        control,
        treatment,
        EffectScale::Relative,
        &EffectPrior::default(),
        confidence,
    )
    .ok()?;
    let loss = found.expected_loss(better);
    Some(Posterior {
        chance_to_beat_control: found.chance_to_beat_control(better),
        mean: found.mean,
        standard_deviation: found.standard_deviation,
        lower: found.lower,
        upper: found.upper,
        expected_loss_ship: loss.ship,
        expected_loss_keep: loss.keep,
    })
}
