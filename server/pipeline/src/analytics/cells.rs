//! The cell table: read, add, write. Touched once per batch and cell.

use evenhand_stats::{band_of, band_start};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::dictionary::Dictionary;
use crate::{
    error::{Doing, StoreError},
    process::{
        aggregate::{Changes, Sums},
        cut::Cut,
        exact::Exact,
    },
};

/// Writes gathered changes. A cell that comes to nothing is removed, so that equal sets of events leave equal tables.
pub(super) fn write(connection: &Connection, dictionary: &mut Dictionary, changes: Changes) -> Result<(), StoreError> {
    const DOING: &str = "updating the aggregates";
    let key_of =
        "target = ?1 AND cut = ?2 AND day = ?3 AND epoch = ?4 AND variation = ?5 AND key_kind = ?6 AND standing = ?7";
    let prepare = |sql: &str| connection.prepare_cached(sql).doing(DOING);
    let mut read_cell = prepare(&format!(
        "SELECT n, sum, sum_sq, pair_sum, pair_sum_sq, pair_cross FROM cell WHERE {key_of}"
    ))?;
    let mut delete = prepare(&format!("DELETE FROM cell WHERE {key_of}"))?;
    let mut replace =
        prepare("INSERT OR REPLACE INTO cell VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")?;
    for (key, change) in changes.cells() {
        let cut = match &key.cut {
            Cut::All => 0,
            Cut::Band(start) => -1 - i64::from(band_of(*start)),
            Cut::Value(text) => dictionary.intern(connection, text)?,
        };
        let standing = key.standing.code();
        let place = params![
            key.target,
            cut,
            key.day,
            key.epoch,
            key.variation,
            key.key_kind,
            standing
        ];
        let mut sums = read_cell
            .query_row(place, |row| sums(row, 0))
            .optional()
            .doing(DOING)?
            .unwrap_or_default();
        sums.merge(&change);
        if sums.is_zero() {
            delete.execute(place).doing(DOING)?;
            continue;
        }
        replace
            .execute(params![
                key.target,
                cut,
                key.day,
                key.epoch,
                key.variation,
                key.key_kind,
                standing,
                sums.n,
                sums.sum.to_string(),
                sums.sum_sq.to_string(),
                sums.pair_sum.to_string(),
                sums.pair_sum_sq.to_string(),
                sums.pair_cross.to_string()
            ])
            .doing(DOING)?;
    }
    Ok(())
}

/// The cut with this number, whose text the dictionary holds.
pub(super) fn cut(number: i64, text: Option<String>) -> Cut {
    let band = || band_start(u16::try_from(-1 - number).ok()?).map(Cut::Band);
    match text {
        Some(text) => Cut::Value(text.into()),
        None => band().unwrap_or(Cut::All),
    }
}

/// Six columns from `at` on.
pub(super) fn sums(row: &Row<'_>, at: usize) -> rusqlite::Result<Sums> {
    let exact = |place: usize| -> rusqlite::Result<Exact> {
        row.get_ref(place)?.as_str()?.parse().map_err(|fault: String| {
            rusqlite::Error::FromSqlConversionFailure(place, rusqlite::types::Type::Text, fault.into())
        })
    };
    Ok(Sums {
        n: row.get(at)?,
        sum: exact(at + 1)?,
        sum_sq: exact(at + 2)?,
        pair_sum: exact(at + 3)?,
        pair_sum_sq: exact(at + 4)?,
        pair_cross: exact(at + 5)?,
    })
}
