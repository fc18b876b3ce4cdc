//! Instants: RFC 3339 text or a number, as whole milliseconds since 1970-01-01T00:00:00Z.

/// The furthest instant a number may name, in milliseconds either side of 1970: ECMAScript's range of time values.
pub const MAX_INSTANT_MS: f64 = 8.64e15;

/// Reads `YYYY-MM-DDThh:mm:ss[.f…](Z|±hh:mm)`; `None` for everything else (see the contract for each bound).
///
/// Fraction digits after the third are cut off, which is always towards the earlier instant.
pub fn parse_rfc3339_ms(text: &str) -> Option<i64> {
    let (head, tail) = text.as_bytes().split_at_checked(19)?;
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        mo1,
        mo2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        mi1,
        mi2,
        b':',
        s1,
        s2,
    ] = head
    else {
        return None;
    };
    let year = digits([y1, y2, y3, y4])?;
    let month = digits([mo1, mo2])?;
    let day = digits([d1, d2])?;
    let hour = digits([h1, h2])?;
    let minute = digits([mi1, mi2])?;
    let second = digits([s1, s2])?;
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (millis, zone) = match tail.strip_prefix(b".") {
        None => (0, tail),
        Some(fraction) => fraction_ms(fraction)?,
    };
    let offset_minutes = match *zone {
        [b'Z'] => 0,
        [sign, oh1, oh2, b':', om1, om2] => {
            let (hours, minutes) = (digits([oh1, oh2])?, digits([om1, om2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = minute_count(hours, minutes);
            match sign {
                b'+' => offset,
                b'-' => offset.wrapping_neg(),
                _ => return None,
            }
        }
        _ => return None,
    };
    let minutes = minute_count(hour, minute).wrapping_sub(offset_minutes);
    Some(join(days_from_civil(year, month, day), minutes, second, millis))
}

/// A number as an instant: an integral value within ±8.64e15.
#[inline]
pub fn from_number(number: f64) -> Option<i64> {
    // NaN fails the comparison. The cast is exact: the value is integral and far below 2^63.
    (number.abs() <= MAX_INSTANT_MS && number.trunc() == number).then_some(number as i64)
}

/// `N` ASCII digits as a number.
#[inline]
fn digits<const N: usize>(bytes: [u8; N]) -> Option<i64> {
    let mut value = 0i64;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
    }
    Some(value)
}

/// 1 to 9 digits after the point: their milliseconds, and what follows them.
#[inline]
fn fraction_ms(text: &[u8]) -> Option<(i64, &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, zone) = text.split_at_checked(count)?;
    if !(1..=9).contains(&count) {
        return None;
    }
    let digit = |index: usize| fraction.get(index).copied().unwrap_or(b'0');
    Some((digits([digit(0), digit(1), digit(2)])?, zone))
}

#[inline]
fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// Every operand below is the value of at most four digits that were just checked: nothing comes near an overflow.

#[allow(clippy::arithmetic_side_effects)]
#[inline]
fn minute_count(hours: i64, minutes: i64) -> i64 {
    hours * 60 + minutes
}

#[allow(clippy::arithmetic_side_effects)]
#[inline]
fn join(days: i64, minutes: i64, seconds: i64, millis: i64) -> i64 {
    ((days * 1440 + minutes) * 60 + seconds) * 1000 + millis
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar. Years run from March, so that the leap day is the
/// last one; 400 years have 146,097 days.
#[allow(clippy::arithmetic_side_effects)]
#[inline]
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values from Python: `int(datetime.fromisoformat(…).timestamp() * 1000)` computed with integers.
    #[test]
    fn table() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("1969-12-31T23:59:59.999Z", -1),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T23:30:00-00:30", 0),
            ("1970-01-01T00:00:00-00:00", 0),
            ("2024-02-29T12:34:56.789Z", 1_709_210_096_789),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            ("9999-12-31T23:59:59.999999999Z", 253_402_300_799_999),
            ("9999-12-31T23:59:59-23:59", 253_402_387_139_000),
            ("0000-01-01T00:00:00+23:59", -62_167_305_540_000),
        ] {
            assert_eq!(parse_rfc3339_ms(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "2024-01-01",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01t00:00:00Z",
            "2024-01-01T00:00:00z",
            "2024-01-01T00:00:60Z",
            "2016-12-31T23:59:60Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2024-04-31T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00,5Z",
            "2024-01-01T00:00:00.1234567890Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+00:60",
            "2024-01-01T00:00:00+0000",
            "2024-01-01T00:00:00+00",
            "+2024-01-01T00:00:00Z",
            "12024-01-01T00:00:00Z",
            "2024-01-01T00:00:00Z ",
            "2024-1-01T00:00:00Z",
            "２024-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339_ms(text), None, "{text:?} is no instant");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(from_number(0.0), Some(0));
        assert_eq!(from_number(-0.0), Some(0));
        assert_eq!(from_number(-1.0), Some(-1));
        assert_eq!(from_number(8.64e15), Some(8_640_000_000_000_000));
        assert_eq!(from_number(-8.64e15), Some(-8_640_000_000_000_000));
        for number in [
            0.5,
            8.64e15 + 1.0,
            -8.64e15 - 1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
        ] {
            assert_eq!(from_number(number), None, "{number} is no instant");
        }
    }

    proptest! {
        /// Oracle: jiff, whose parser is laxer, so it is asked only for texts in the contract's form.
        #[test]
        fn agrees_with_jiff(
            (year, month, day) in (0i16..=9999, 1i8..=13, 1i8..=32),
            (hour, minute, second) in (0i8..=25, 0i8..=61, 0i8..=59),
            fraction in "|\\.[0-9]{1,9}",
            zone in "Z|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]",
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
            let oracle = text.parse::<jiff::Timestamp>().ok().map(|t| {
                i64::try_from(t.as_nanosecond().div_euclid(1_000_000)).unwrap()
            });
            // jiff reads hour 24 as no hour too; it holds no instant before year -9999 or after 9999.
            if year < 9999 {
                prop_assert_eq!(parse_rfc3339_ms(&text), oracle, "{}", text);
            }
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}|[0-9TZ:+.-]{18,36}") {
            let _ = parse_rfc3339_ms(&text);
        }
    }
}
