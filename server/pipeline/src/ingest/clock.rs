//! The effective time of an event: the client's clock, corrected by how far off it was when it sent.

use evenhand_core::event::{EventError, EventErrorCode};

/// Older events are refused (`too_old`), except imports: 30 days.
pub const MAX_AGE_MS: i64 = 30 * 86_400_000;

/// `timestamp + (received_at − sent_at)`, at most `received_at`, at least 0. Without `sent_at` the clock is believed.
#[must_use]
pub fn effective_time_ms(timestamp_ms: i64, sent_at_ms: Option<i64>, received_at_ms: i64) -> i64 {
    let offset = sent_at_ms.map_or(0, |sent| received_at_ms.saturating_sub(sent));
    timestamp_ms.saturating_add(offset).min(received_at_ms).max(0)
}

/// Refuses what is older than [`MAX_AGE_MS`].
///
/// # Errors
/// `too_old`, with a hint when the number looks like seconds.
pub fn check_age(effective_ms: i64, timestamp_ms: i64, received_at_ms: i64) -> Result<(), EventError> {
    let age = received_at_ms.saturating_sub(effective_ms);
    if age <= MAX_AGE_MS {
        return Ok(());
    }
    let in_seconds = received_at_ms.saturating_sub(timestamp_ms.saturating_mul(1_000)).abs() <= MAX_AGE_MS;
    let message = if in_seconds {
        "Looks like seconds: timestamps are milliseconds since 1970 (or RFC 3339).".to_owned()
    } else {
        format!(
            "{} days old; at most 30 are accepted. History is imported with a server key (`evenhand events import`).",
            age / 86_400_000
        )
    };
    Err(EventError::new(EventErrorCode::TooOld, "timestamp", message))
}
