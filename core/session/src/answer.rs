//! What an HTTP status means to the session (`docs/contract/session.md`, "Answers").

/// The classes of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 2xx.
    Good,
    /// 304.
    NotModified,
    /// 400, 413, 422: this body. Only batches have one.
    Body,
    /// Will hardly change by itself: 401, 403, 404, …, and redirections the host did not follow.
    Denied,
    /// Worth another try: 408, 425, 429, 5xx, and whatever is no answer at all.
    Passing,
}

impl Answer {
    pub fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Good,
            304 => Self::NotModified,
            400 | 413 | 422 => Self::Body,
            408 | 425 | 429 | 500..=599 => Self::Passing,
            300..=499 => Self::Denied,
            _ => Self::Passing,
        }
    }
}

/// The milliseconds of a `Retry-After` header: whole seconds. A date, or anything else, counts as absent.
pub(crate) fn retry_after_ms(header: Option<&str>) -> Option<i64> {
    let text = header?.trim_matches([' ', '\t']);
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Too many digits: the bound counts.
    Some(text.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_only() {
        assert_eq!(retry_after_ms(Some(" 7 ")), Some(7_000));
        assert_eq!(retry_after_ms(Some("0")), Some(0));
        assert_eq!(retry_after_ms(Some("99999999999999999999999")), Some(i64::MAX));
        for none in [
            None,
            Some(""),
            Some("-1"),
            Some("1.5"),
            Some("Fri, 31 Dec 1999 23:59:59 GMT"),
        ] {
            assert_eq!(retry_after_ms(none), None);
        }
    }
}
