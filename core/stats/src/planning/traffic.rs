//! How long a number of units takes, from the traffic that was seen.

use serde::{Deserialize, Serialize};

use crate::Unavailable;

/// How long it takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimeNeeded {
    /// New units a day that were reckoned with.
    pub units_per_day: f64,
    /// Days until the units are there.
    pub days: u64,
    /// The same in whole weeks, which an experiment should run, since who comes on a Sunday is not who comes on a Monday.
    pub weeks: u64,
}

/// Days until `units` new ones have come, from the **new** units of each of the last days, oldest first (who came on an earlier
/// day is no new unit: a count of visitors a day would promise too much). Reckons with the mean of the last whole weeks; with
/// fewer than seven days, of all.
///
/// # Errors
/// [`Unavailable::NoUnits`] when none came; [`Unavailable::Overflow`] beyond 2⁶³ days.
pub fn time_needed(units: u64, new_units_by_day: &[u64]) -> Result<TimeNeeded, Unavailable> {
    let days = new_units_by_day.len();
    let taken = if days < 7 { days } else { days.saturating_sub(days % 7) };
    let seen: f64 = new_units_by_day
        .iter()
        .rev()
        .take(taken)
        .map(|units| *units as f64)
        .sum();
    if seen == 0.0 {
        return Err(Unavailable::NoUnits);
    }
    let units_per_day = seen / taken as f64;
    let needed = (units as f64 / units_per_day * (1.0 - 1e-12)).ceil();
    if needed >= 9e18 {
        return Err(Unavailable::Overflow);
    }
    Ok(TimeNeeded {
        units_per_day,
        days: needed as u64,
        weeks: (needed as u64).div_ceil(7),
    })
}
