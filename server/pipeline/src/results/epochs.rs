//! A metric over all epochs of a phase: weights changed in between, so that its units must not simply be added up.

use evenhand_stats::{ArmEstimate, MetricKind, MinimumData, Unavailable, over_epochs};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    banded,
    effect::{Judge, ShownLift},
    harm::{Harm, harm},
    metric::{Frame, estimate, missing},
};
use crate::{
    analytics::{NamedCell, TargetAggregates},
    catalog::{Reading, Role},
    process::aggregate::{Standing, Sums},
};

/// A variation against control over all epochs of the phase: each epoch's difference counts by its traffic, which is unbiased also where weights followed
/// the data (a bandit).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct OverEpochsResults {
    /// Epochs that count: both variations had at least two units in them.
    pub epochs: u64,
    /// Units of either variation that are left out with the other epochs.
    pub units_left_out: u64,
    /// Both effects by the experiment's method; None before the metric's minimum.
    pub lift: Option<ShownLift>,
    /// P-value of "no effect in any epoch" by the batched statistic (Zhang, Janson, Murphy 2020): for one look, whatever chose the weights.
    pub batched_p_value: Option<f64>,
}

/// Sums of one epoch, in the order of the variations, with the weights that held.
pub(super) struct EpochSums {
    pub weights: Vec<u32>,
    pub arms: Vec<Sums>,
}

/// Two arms of a metric.
pub(super) struct Pair<'a> {
    pub kind: MetricKind,
    pub control: usize,
    pub treatment: usize,
    pub reading: &'a Reading,
    /// What both must have.
    pub minimum: MinimumData,
    /// Control and treatment of the epoch shown.
    pub shown: Option<(ArmEstimate, ArmEstimate)>,
    pub judge: Judge,
}

/// A metric's counted units by epoch, in the order of time; drawn in to one percentile of all of them, where the metric is capped so.
pub(super) fn by_epoch(
    target: &TargetAggregates,
    frame: &Frame<'_>,
    reading: &Reading,
) -> Result<Vec<EpochSums>, Unavailable> {
    let variations = &frame.experiment.variations;
    let mut epochs: Vec<EpochSums> = (frame.epochs.iter())
        .map(|epoch| EpochSums {
            weights: frame.experiment.weights(*epoch),
            arms: vec![Sums::default(); variations.len()],
        })
        .collect();
    let counted = target
        .cells
        .iter()
        .filter(|cell| cell.standing == Standing::Counted && frame.key_kind.is_none_or(|kind| kind == cell.key_kind));
    for cell in counted {
        let place = frame.epochs.binary_search(&cell.epoch).ok();
        let arm = variations
            .iter()
            .position(|known| cell.variation.as_ref() == Some(&known.id));
        let sums = place
            .zip(arm)
            .and_then(|(place, arm)| epochs.get_mut(place)?.arms.get_mut(arm));
        if let Some(sums) = sums {
            sums.merge(&cell.sums);
        }
    }
    let Some(percentile) = reading.cap else {
        return Ok(epochs);
    };
    let whole: Vec<Sums> = epochs.iter().flat_map(|epoch| epoch.arms.iter().copied()).collect();
    if whole.iter().all(|sums| sums.n == 0) {
        return Ok(epochs);
    }
    if target.bands.is_empty() {
        return Err(Unavailable::NotKept);
    }
    let mut bands = Vec::with_capacity(whole.len());
    for epoch in frame.epochs {
        let of_epoch =
            |cell: &NamedCell| cell.epoch == *epoch && frame.key_kind.is_none_or(|kind| kind == cell.key_kind);
        bands.extend(banded::arms(
            target,
            &of_epoch,
            variations.iter().map(|v| v.id.as_str()),
        )?);
    }
    let (_, capped) = banded::cap(&bands, &whole, percentile)?;
    let places = epochs.iter_mut().flat_map(|epoch| &mut epoch.arms);
    places.zip(capped).for_each(|(sums, capped)| *sums = capped);
    Ok(epochs)
}

/// What all epochs together say of two arms. Quantiles don't add up: of them the epoch shown speaks.
pub(super) fn watched(epochs: &[EpochSums], pair: &Pair<'_>) -> (Option<Harm>, Option<OverEpochsResults>) {
    let enough = [pair.control, pair.treatment]
        .iter()
        .all(|arm| missing(&pooled(epochs, *arm), &pair.minimum).is_none());
    let (arms, over_epochs) = if epochs.len() > 1 && pair.kind != MetricKind::Quantile {
        together(epochs, pair, enough).unzip()
    } else {
        (pair.shown, None)
    };
    let arms = arms.filter(|_| enough);
    let harm = if pair.reading.role == Role::Guardrail {
        harm(epochs, pair, arms.as_ref())
    } else {
        None
    };
    (harm, over_epochs)
}

/// All epochs' units of an arm, added up.
pub(super) fn pooled(epochs: &[EpochSums], arm: usize) -> Sums {
    let mut all = Sums::default();
    for sums in epochs.iter().filter_map(|epoch| epoch.arms.get(arm)) {
        all.merge(sums);
    }
    all
}

/// Control and treatment as if they had come in one epoch, and what is shown of them.
fn together(
    epochs: &[EpochSums],
    pair: &Pair<'_>,
    enough: bool,
) -> Option<((ArmEstimate, ArmEstimate), OverEpochsResults)> {
    let estimates: Vec<Vec<Option<ArmEstimate>>> = (epochs.iter())
        .map(|epoch| epoch.arms.iter().map(|sums| estimate(pair.kind, sums).ok()).collect())
        .collect();
    let found = over_epochs(&estimates, pair.control, pair.treatment).ok()?;
    let lift = pair
        .judge
        .lift(&found.control, &found.treatment)
        .ok()
        .filter(|_| enough);
    Some((
        (found.control, found.treatment),
        OverEpochsResults {
            epochs: found.epochs,
            units_left_out: found.units_left_out,
            lift: lift.as_ref().map(ShownLift::of),
            batched_p_value: found.batched_p_value.filter(|_| enough),
        },
    ))
}
