//! Quantiles and percentile caps: what is read from units counted by bands of their values.

use evenhand_stats::{ArmEstimate, Band, Bands, Cap, CapOver, Moments, Quantile, Unavailable};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    analytics::{NamedCell, TargetAggregates},
    process::{
        aggregate::{Standing, Sums},
        cut::Cut,
        exact::Exact,
    },
};

/// A cap at a percentile, as it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShownCap {
    /// The percentile, in millionths: 999,000 is the 99.9th.
    pub percentile_millionths: u32,
    /// Values from here on count as this, in micro-units; none: no value is so large.
    pub at_micros: Option<i64>,
    /// Units whose value was drawn in.
    pub units: u64,
}

/// One variation's units by band.
pub(super) struct ArmBands {
    bands: Bands,
    /// Where each band begins, with Σy and Σxy of its units' paired values; in order.
    pairs: Vec<(i64, i128, i128)>,
}

/// Of the cells of a target that are shown, those of each of these variations.
pub(super) fn arms<'v>(
    target: &TargetAggregates,
    shown: &impl Fn(&NamedCell) -> bool,
    variations: impl Iterator<Item = &'v str>,
) -> Result<Vec<ArmBands>, Unavailable> {
    let mut arms: Vec<(&str, Vec<(i64, &Sums)>)> = variations.map(|id| (id, Vec::new())).collect();
    let counted = |cell: &&NamedCell| cell.standing == Standing::Counted && shown(cell);
    for cell in target.bands.iter().filter(counted) {
        let (Cut::Band(start), Some(variation)) = (&cell.cut, &cell.variation) else {
            continue;
        };
        if let Some((_, cells)) = arms.iter_mut().find(|(id, _)| id == variation) {
            cells.push((*start, &cell.sums));
        }
    }
    arms.into_iter().map(|(_, cells)| ArmBands::of(cells)).collect()
}

impl ArmBands {
    fn of(mut cells: Vec<(i64, &Sums)>) -> Result<Self, Unavailable> {
        cells.sort_by_key(|(start, _)| *start);
        let (mut bands, mut pairs) = (Vec::new(), Vec::new());
        for of_band in cells.chunk_by(|one, next| one.0 == next.0) {
            let mut all = Sums::default();
            of_band.iter().for_each(|(_, sums)| all.merge(sums));
            let Some((start, _)) = of_band.first() else { continue };
            bands.push(Band {
                start: *start,
                units: super::units(all.n),
                sum: small(&all.sum)?,
                sum_sq: small(&all.sum_sq)?,
            });
            pairs.push((*start, small(&all.pair_sum)?, small(&all.pair_cross)?));
        }
        Ok(Self {
            bands: Bands::new(bands)?,
            pairs,
        })
    }

    pub fn quantile(&self, quantile: Quantile) -> Result<ArmEstimate, Unavailable> {
        ArmEstimate::from_bands(&self.bands, quantile)
    }

    /// The arm's sums with its values drawn in. Values before the exposure stay as they are.
    fn capped(&self, whole: &Sums, cap: Cap) -> Result<Sums, Unavailable> {
        let Moments { sum, sum_sq, .. } = self.bands.capped(cap)?;
        let mut cross = Exact::default();
        for (start, pair_sum, pair_cross) in &self.pairs {
            cross.add(if *start >= cap.upper() {
                pair_sum
                    .checked_mul(i128::from(cap.upper()))
                    .ok_or(Unavailable::Overflow)?
            } else {
                *pair_cross
            });
        }
        Ok(Sums {
            sum: Exact::from(sum),
            sum_sq: Exact::from(sum_sq),
            pair_cross: cross,
            ..*whole
        })
    }
}

/// Draws in what lies beyond a percentile of the units of all arms together. Where that is zero, for fewer than so many units have any value, it
/// is the percentile of those that have one.
pub(super) fn cap(
    arms: &[ArmBands],
    sums: &[Sums],
    percentile: Quantile,
) -> Result<(ShownCap, Vec<Sums>), Unavailable> {
    let bands: Vec<&Bands> = arms.iter().map(|arm| &arm.bands).collect();
    let mut cap = Cap::at_percentile_of_bands(&bands, percentile, CapOver::AllUnits)?;
    // One above zero is where the band behind zero begins.
    if cap.upper() <= 1 {
        match Cap::at_percentile_of_bands(&bands, percentile, CapOver::NonZeroUnits) {
            Ok(of_those_with_value) => cap = of_those_with_value,
            Err(Unavailable::NoUnits) => {}
            Err(other) => return Err(other),
        }
    }
    let drawn_in = bands.iter().map(|bands| bands.units_from(cap.upper())).sum();
    let capped = arms.iter().zip(sums).map(|(arm, sums)| arm.capped(sums, cap));
    let shown = ShownCap {
        percentile_millionths: percentile.millionths(),
        at_micros: (drawn_in > 0).then_some(cap.upper()),
        units: drawn_in,
    };
    Ok((shown, capped.collect::<Result<_, _>>()?))
}

fn small(sum: &Exact) -> Result<i128, Unavailable> {
    sum.to_i128().ok_or(Unavailable::Overflow)
}
