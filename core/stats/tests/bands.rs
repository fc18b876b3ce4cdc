//! Bands against the values they are made of: the same units, quantiles within a band's width, caps whose sums are exact.

use std::collections::BTreeMap;

use evenhand_stats::{ArmEstimate, Band, Bands, Cap, CapOver, Moments, Quantile, band_of, band_start};
use proptest::prelude::*;

/// By the definition, without its arithmetic: the leading six binary digits, as text.
fn start_by_text(value: i64) -> i64 {
    let digits = format!("{:b}", value.unsigned_abs());
    let kept = digits.len().min(6);
    let text = format!("{}{}", &digits[..kept], "0".repeat(digits.len() - kept));
    let size = i128::from(u64::from_str_radix(&text, 2).unwrap());
    i64::try_from(if value < 0 { -size } else { size }).unwrap()
}

fn bands(values: &[i64]) -> Bands {
    let mut all = BTreeMap::<i64, Band>::new();
    for value in values {
        let start = band_start(band_of(*value)).unwrap();
        let band = all.entry(start).or_insert(Band {
            start,
            units: 0,
            sum: 0,
            sum_sq: 0,
        });
        let x = i128::from(*value);
        band.units += 1;
        band.sum += x;
        band.sum_sq += x * x;
    }
    Bands::new(all.into_values().collect()).unwrap()
}

fn any_value() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => Just(0_i64),
        2 => prop::sample::select(vec![19_990_000, 4_990_000, 255, 256, -1]),
        4 => (0_u32..44, 0_u64..1 << 20).prop_map(|(shift, x)| ((x as i64) << shift) >> 1),
        1 => (0_i64..1 << 40).prop_map(|x| -x),
        1 => Just(1_i64 << 55),
    ]
}

#[test]
fn every_number_begins_its_band() {
    let mut last = None;
    for number in 0..8_192 {
        let Some(start) = band_start(number) else {
            assert!(number > 1_887, "{number}");
            continue;
        };
        assert_eq!(band_of(start), number);
        assert!(last < Some(start), "in order");
        last = Some(start);
    }
    for value in [
        0,
        1,
        255,
        256,
        257,
        511,
        512,
        1 << 40,
        i64::MAX,
        i64::MIN,
        i64::MIN + 1,
        -1,
        -300,
    ] {
        assert_eq!(band_start(band_of(value)), Some(start_by_text(value)), "{value}");
    }
}

proptest! {
    #[test]
    fn a_band_holds_what_agrees_in_six_digits(value in any::<i64>()) {
        prop_assert_eq!(band_start(band_of(value)), Some(start_by_text(value)));
    }

    #[test]
    fn quantiles_are_within_a_band(mut values in prop::collection::vec(any_value(), 1..400), millionths in 1_u32..1_000_000) {
        values.sort_unstable();
        let quantile = Quantile::from_millionths(millionths).unwrap();
        let exact = ArmEstimate::from_sorted(&values, quantile).unwrap();
        let ours = ArmEstimate::from_bands(&bands(&values), quantile).unwrap();
        prop_assert!((ours.value - exact.value).abs() <= exact.value.abs() / 31.0, "{} for {}", ours.value, exact.value);
        prop_assert_eq!(ours.units, exact.units);
        prop_assert_eq!(ours.unit_variance.is_some(), exact.unit_variance.is_some());
    }

    /// What a shop sells has few prices: bands of one value lose nothing.
    #[test]
    fn equal_values_lose_nothing(mut values in prop::collection::vec(prop::sample::select(vec![0_i64, 4_990_000, 19_990_000, 99_000_000, -5_000_000]), 1..400), millionths in 1_u32..1_000_000) {
        values.sort_unstable();
        let quantile = Quantile::from_millionths(millionths).unwrap();
        let (ours, exact) = (ArmEstimate::from_bands(&bands(&values), quantile).unwrap(), ArmEstimate::from_sorted(&values, quantile).unwrap());
        prop_assert_eq!(ours.value, exact.value);
        let close = |(ours, exact): (f64, f64)| (ours - exact).abs() <= 1e-12 * exact;
        prop_assert!(ours.unit_variance.zip(exact.unit_variance).is_none_or(close), "{ours:?} for {exact:?}");
    }

    #[test]
    fn a_cap_is_just_above_the_percentile_and_its_sums_are_exact(
        one in prop::collection::vec(any_value(), 1..200), other in prop::collection::vec(any_value(), 1..200), millionths in 1_u32..1_000_000, all in any::<bool>(),
    ) {
        let quantile = Quantile::from_millionths(millionths).unwrap();
        let over = if all { CapOver::AllUnits } else { CapOver::NonZeroUnits };
        let sorted = |values: &[i64]| { let mut sorted = values.to_vec(); sorted.sort_unstable(); sorted };
        let (a, b) = (sorted(&one), sorted(&other));
        let (in_bands, other_bands) = (bands(&one), bands(&other));
        let ours = Cap::at_percentile_of_bands(&[&in_bands, &other_bands], quantile, over);
        let exact = Cap::at_percentile(&[&a, &b], quantile, over);
        prop_assert_eq!(ours.is_ok(), exact.is_ok());
        let (Ok(ours), Ok(exact)) = (ours, exact) else { return Ok(()) };
        prop_assert!(ours.upper() > exact.upper().max(0) || ours.upper() == i64::MAX);
        prop_assert!(i128::from(ours.upper()) <= i128::from(exact.upper().max(0)) * 33 / 32 + 1);
        let by_values = ours.moments(one.iter().copied()).unwrap();
        prop_assert_eq!(in_bands.capped(ours), Ok::<Moments, _>(by_values));
    }
}
