//! Per-unit values as memory has them (NumPy arrays, `array.array`), added up exactly.

use evenhand_stats::{ArmEstimate, Cap, CapOver, CupedMoments, MICROS, Moments, Quantile, Unavailable};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use super::questions::json;
use crate::guard::raising;

pyo3::import_exception!(evenhand.stats._errors, StatsError);

/// Rounding to micro-units would cost a column whose greatest value is below this more than a part in 2,000.
const LEAST_GREATEST: u64 = 1_000;

/// Name, `struct` format, bytes.
type Column = (String, String, PyBackedBytes);

type Sums = (u64, i128, i128, i128, i128, i128);

/// (n, Σx, Σx², Σy, Σy², Σxy) in micro-units, of one column or two; no value above `cap`.
#[pyfunction]
#[pyo3(signature = (first, second = None, cap = None))]
pub fn _stats_sums(py: Python<'_>, first: Column, second: Option<Column>, cap: Option<i64>) -> PyResult<Sums> {
    raising(|| {
        let add = || {
            let cap = Cap::at_most(cap.unwrap_or(i64::MAX));
            let x: Vec<i64> = micros(&first)?.into_iter().map(|value| cap.apply(value)).collect();
            let Some(second) = second else {
                let sums = Moments::from_values(x).map_err(|reason| Refusal::of("overflow", reason.to_string()))?;
                return Ok((sums.n, sums.sum, sums.sum_sq, 0, 0, 0));
            };
            let y = micros(&second)?;
            if x.len() != y.len() {
                let lengths = format!(
                    "`{}` has {} values and `{}` {}: they go in pairs, one of each for each unit",
                    first.0,
                    x.len(),
                    second.0,
                    y.len()
                );
                return Err(Refusal::of("wrong_argument", lengths));
            }
            let pairs = x.into_iter().zip(y).try_fold(CupedMoments::default(), |total, (x, y)| {
                total.merge(&CupedMoments::from_unit(x, y)?)
            });
            let sums = pairs.map_err(|reason| Refusal::of("overflow", reason.to_string()))?;
            Ok((
                sums.n,
                sums.sum,
                sums.sum_sq,
                sums.sum_pre,
                sums.sum_pre_sq,
                sums.sum_cross,
            ))
        };
        py.detach(add).map_err(Refusal::raised)
    })
}

/// The arm of a quantile (in millionths) of a column, or why it has none.
#[pyfunction]
pub fn _stats_quantile(py: Python<'_>, column: Column, millionths: u32) -> PyResult<String> {
    raising(|| {
        let found = py.detach(|| {
            let values = sorted(&column)?;
            Ok(Quantile::from_millionths(millionths).and_then(|at| ArmEstimate::from_sorted(&values, at)))
        });
        answer(found)
    })
}

/// The micro-units at this percentile (in millionths) of the units of all columns together, or of those other than zero.
#[pyfunction]
pub fn _stats_cap(py: Python<'_>, columns: Vec<Column>, millionths: u32, nonzero: bool) -> PyResult<String> {
    raising(|| {
        let found = py.detach(|| {
            let arms = columns.iter().map(sorted).collect::<Result<Vec<_>, _>>()?;
            let arms: Vec<&[i64]> = arms.iter().map(Vec::as_slice).collect();
            let over = if nonzero {
                CapOver::NonZeroUnits
            } else {
                CapOver::AllUnits
            };
            let cap = |at| Cap::at_percentile(&arms, at, over).map(Cap::upper);
            Ok(Quantile::from_millionths(millionths).and_then(cap))
        });
        answer(found)
    })
}

fn sorted(column: &Column) -> Result<Vec<i64>, Refusal> {
    let mut values = micros(column)?;
    values.sort_unstable();
    Ok(values)
}

fn answer<T: serde::Serialize>(found: Result<Result<T, Unavailable>, Refusal>) -> PyResult<String> {
    let found = found.map_err(Refusal::raised)?;
    json(found).map_err(|error| PyValueError::new_err(error.to_string()))
}

struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    fn of(code: &'static str, message: String) -> Self {
        Self { code, message }
    }

    fn raised(self) -> PyErr {
        StatsError::new_err((self.code, self.message))
    }
}

/// Each value in micro-units: integers exactly, floats to the nearest.
fn micros((name, format, bytes): &Column) -> Result<Vec<i64>, Refusal> {
    fn each<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> Option<i64>) -> Vec<Option<i64>> {
        let items = bytes.chunks_exact(N);
        items.map(|item| item.try_into().ok().and_then(&read)).collect()
    }
    let found = match (format.as_str(), size_of_item(format)) {
        ("d", _) => each(bytes, |item| nearest(f64::from_ne_bytes(item))),
        ("f", _) => each(bytes, |item| nearest(f64::from(f32::from_ne_bytes(item)))),
        ("?", _) => each(bytes, |[item]| exact(u64::from(item != 0))),
        ("b", _) => each(bytes, |item| exact(i8::from_ne_bytes(item))),
        ("B", _) => each(bytes, |[item]| exact(item)),
        ("h", _) => each(bytes, |item| exact(i16::from_ne_bytes(item))),
        ("H", _) => each(bytes, |item| exact(u16::from_ne_bytes(item))),
        ("i" | "l", 4) => each(bytes, |item| exact(i32::from_ne_bytes(item))),
        ("I" | "L", 4) => each(bytes, |item| exact(u32::from_ne_bytes(item))),
        ("l" | "q", _) => each(bytes, |item| exact(i64::from_ne_bytes(item))),
        ("L" | "Q", _) => each(bytes, |item| exact(u64::from_ne_bytes(item))),
        _ => {
            let message = format!(
                "`{name}` has items of the format {format:?}: turn it into floats or integers, such as by .astype(float)"
            );
            return Err(Refusal::of("wrong_argument", message));
        }
    };
    let mut values = Vec::with_capacity(found.len());
    for (at, value) in found.iter().enumerate() {
        values.push(value.ok_or_else(|| {
            let message = format!("`{name}[{at}]` is not a finite number within ±9.2e12: drop units that are not in the experiment, and give 0 to those without events");
            Refusal::of("wrong_argument", message)
        })?);
    }
    let fraction = matches!(format.as_str(), "d" | "f");
    let greatest = values.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0);
    if fraction && greatest < LEAST_GREATEST && has_small(format, bytes) {
        let message = format!(
            "every value of `{name}` is below 0.001, and values are kept to a millionth: give it in a smaller unit (milliseconds for seconds)"
        );
        return Err(Refusal::of("wrong_argument", message));
    }
    Ok(values)
}

fn size_of_item(format: &str) -> usize {
    match format {
        "i" | "I" => size_of::<std::ffi::c_int>(),
        "l" | "L" => size_of::<std::ffi::c_long>(),
        _ => 8,
    }
}

/// Whether any value is other than zero.
fn has_small(format: &str, bytes: &[u8]) -> bool {
    let zero = |item: &[u8]| match (format, item) {
        ("d", item) => item.try_into().is_ok_and(|item| f64::from_ne_bytes(item) == 0.0),
        (_, item) => item.try_into().is_ok_and(|item| f32::from_ne_bytes(item) == 0.0),
    };
    !bytes.chunks_exact(if format == "d" { 8 } else { 4 }).all(zero)
}

/// Ties go to the even micro-unit.
fn nearest(value: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let micros = (value * MICROS as f64).round_ties_even();
    (-BOUND..BOUND).contains(&micros).then_some(micros as i64)
}

fn exact(value: impl Into<i128>) -> Option<i64> {
    i64::try_from(value.into().checked_mul(i128::from(MICROS))?).ok()
}
