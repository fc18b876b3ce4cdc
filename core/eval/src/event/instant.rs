//! Instants: RFC 3339 text or integer milliseconds, to milliseconds since 1970-01-01T00:00:00Z.

const MS_PER_DAY: i64 = 86_400_000;
/// 9999-12-31T23:59:59.999Z: the last instant RFC 3339 can write.
const LAST_MS: i64 = 253_402_300_799_999;

/// Reads a JSON value that is an RFC 3339 string or an integer of milliseconds, both from 1970 to the year 9999.
#[must_use]
pub fn parse_instant_ms(json: &str) -> Option<i64> {
    let ms = if json.starts_with('"') {
        parse_rfc3339_ms(&serde_json::from_str::<String>(json).ok()?)?
    } else {
        json.parse::<i64>().ok()?
    };
    (0..=LAST_MS).contains(&ms).then_some(ms)
}

/// Reads `2026-11-23T08:30:00.123Z`: date, `T` (or `t`, or a space), time, optional fraction (cut, not rounded, to milliseconds),
/// and an offset (`Z`, `z` or `±hh:mm`). A leap second `:60` is the first instant of the next minute.
#[must_use]
pub fn parse_rfc3339_ms(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let punctuation = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if punctuation.iter().any(|(at, want)| bytes.get(*at) != Some(want)) {
        return None;
    }
    if !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let year = digits(bytes, 0, 4)?;
    let month = digits(bytes, 5, 2)?;
    let day = digits(bytes, 8, 2)?;
    let hour = digits(bytes, 11, 2)?;
    let minute = digits(bytes, 14, 2)?;
    let second = digits(bytes, 17, 2)?;
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (millis, offset_at) = fraction_ms(bytes, 19)?;
    let offset_minutes = offset_minutes(bytes, offset_at)?;
    let minutes = hour.checked_mul(60)?.checked_add(minute)?.checked_sub(offset_minutes)?;
    let in_day = minutes
        .checked_mul(60)?
        .checked_add(second)?
        .checked_mul(1_000)?
        .checked_add(millis)?;
    days_since_1970(year, month, day)?
        .checked_mul(MS_PER_DAY)?
        .checked_add(in_day)
}

fn digits(bytes: &[u8], at: usize, count: usize) -> Option<i64> {
    let mut value = 0_i64;
    for byte in bytes.get(at..at.checked_add(count)?)? {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i64::from(byte.checked_sub(b'0')?))?;
    }
    Some(value)
}

/// The milliseconds of an optional fraction at `at`, and where the offset begins.
fn fraction_ms(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    if bytes.get(at) != Some(&b'.') {
        return Some((0, at));
    }
    let start = at.checked_add(1)?;
    let count = bytes.get(start..)?.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let mut millis = digits(bytes, start, count.min(3))?;
    for _ in count..3 {
        millis = millis.checked_mul(10)?;
    }
    Some((millis, start.checked_add(count)?))
}

fn offset_minutes(bytes: &[u8], at: usize) -> Option<i64> {
    match bytes.get(at..)? {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let hours = digits(bytes, at.checked_add(1)?, 2)?;
            let minutes = digits(bytes, at.checked_add(4)?, 2)?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            let total = hours.checked_mul(60)?.checked_add(minutes)?;
            if *sign == b'-' {
                total.checked_neg()
            } else {
                Some(total)
            }
        }
        _ => None,
    }
}

fn is_leap(year: i64) -> bool {
    let divides = |by: i64| year.checked_rem(by) == Some(0);
    divides(4) && (!divides(100) || divides(400))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar: whole years, whole months, days.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let before = year.checked_sub(1)?;
    let leaps = before
        .checked_div(4)?
        .checked_sub(before.checked_div(100)?)?
        .checked_add(before.checked_div(400)?)?;
    // 719162 days lie between 0001-01-01 and 1970-01-01.
    let mut days = before.checked_mul(365)?.checked_add(leaps)?.checked_sub(719_162)?;
    for earlier in 1..month {
        days = days.checked_add(days_in_month(year, earlier))?;
    }
    days.checked_add(day)?.checked_sub(1)
}
