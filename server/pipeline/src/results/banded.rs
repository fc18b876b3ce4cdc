//! Quantiles and percentile caps: what is read from units counted by bands of their values.

use std::collections::BTreeMap;

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

/// One variation's units by band, in order.
pub(super) struct ArmBands {
    sums: BTreeMap<i64, Sums>,
    bands: Bands,
}

impl ArmBands {
    /// Of the cells of a target that are shown, those of a variation.
    pub fn of(
        target: &TargetAggregates,
        shown: &impl Fn(&NamedCell) -> bool,
        variation: &str,
    ) -> Result<Self, Unavailable> {
        let mut sums: BTreeMap<i64, Sums> = BTreeMap::new();
        for cell in target.bands.iter().filter(|cell| shown(cell)) {
            let counts = cell.standing == Standing::Counted && cell.variation.as_deref() == Some(variation);
            if let (Cut::Band(start), true) = (&cell.cut, counts) {
                sums.entry(*start).or_default().merge(&cell.sums);
            }
        }
        let band = |(start, sums): (&i64, &Sums)| {
            Ok(Band {
                start: *start,
                units: super::units(sums.n),
                sum: small(&sums.sum)?,
                sum_sq: small(&sums.sum_sq)?,
            })
        };
        let bands = sums.iter().map(band).collect::<Result<Vec<_>, Unavailable>>()?;
        Ok(Self {
            bands: Bands::new(bands)?,
            sums,
        })
    }

    pub fn quantile(&self, quantile: Quantile) -> Result<ArmEstimate, Unavailable> {
        ArmEstimate::from_bands(&self.bands, quantile)
    }

    /// The arm's sums with its values drawn in. Values before the exposure stay as they are.
    fn capped(&self, whole: &Sums, cap: Cap) -> Result<Sums, Unavailable> {
        let Moments { sum, sum_sq, .. } = self.bands.capped(cap)?;
        let mut cross = Exact::default();
        for (start, sums) in &self.sums {
            if *start >= cap.upper() {
                let product = small(&sums.pair_sum)?.checked_mul(i128::from(cap.upper()));
                cross.add(product.ok_or(Unavailable::Overflow)?);
            } else {
                cross.merge(&sums.pair_cross);
            }
        }
        Ok(Sums {
            sum: Exact::from(sum),
            sum_sq: Exact::from(sum_sq),
            pair_cross: cross,
            ..*whole
        })
    }

    fn units_from(&self, at: i64) -> u64 {
        self.sums.range(at..).map(|(_, sums)| super::units(sums.n)).sum()
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
    let drawn_in = arms.iter().map(|arm| arm.units_from(cap.upper())).sum();
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
