use super::{clock::*, envelope, pseudonym::Pseudonymiser, *};
use crate::config::Pseudonyms;

const DAY: i64 = 86_400_000;
const RECEIVED: i64 = 1_795_392_000_000;

/// (timestamp, sent_at, effective time), all relative to the receipt; worked out by hand.
#[test]
fn a_wrong_clock_is_corrected_and_never_ahead_of_the_receipt() {
    let rows = [
        (-5_000, None, -5_000),
        (5_000, None, 0),
        // The client's clock is an hour slow: it sent "an hour ago", and the event was 10 s before that.
        (-3_610_000, Some(-3_600_000), -10_000),
        // An hour fast.
        (3_590_000, Some(3_600_000), -10_000),
        // Later than its own sending: at the receipt.
        (3_700_000, Some(3_600_000), 0),
        // A spool sent two days late by a right clock stays where it was.
        (-2 * DAY, Some(0), -2 * DAY),
    ];
    for (timestamp, sent_at, expected) in rows {
        let effective = effective_time_ms(RECEIVED + timestamp, sent_at.map(|s: i64| RECEIVED + s), RECEIVED);
        assert_eq!(effective - RECEIVED, expected, "{timestamp} {sent_at:?}");
    }
    assert_eq!(effective_time_ms(i64::MAX, Some(i64::MIN), RECEIVED), RECEIVED);
    assert_eq!(effective_time_ms(0, Some(i64::MAX), RECEIVED), 0);
}

#[test]
fn thirty_days_to_the_millisecond() {
    assert!(check_age(RECEIVED - MAX_AGE_MS, 0, RECEIVED).is_ok());
    let error = check_age(RECEIVED - MAX_AGE_MS - 1, RECEIVED - MAX_AGE_MS - 1, RECEIVED).unwrap_err();
    assert_eq!(error.code, EventErrorCode::TooOld);
    let seconds = check_age(RECEIVED / 1_000, RECEIVED / 1_000, RECEIVED).unwrap_err();
    assert!(seconds.message.contains("seconds"), "{seconds}");
}

fn events(body: &str) -> Result<(usize, Option<i64>), IngestError> {
    envelope::open(body.as_bytes(), ContentKind::Json).map(|e| (e.events.len(), e.sent_at_ms))
}

#[test]
fn the_four_shapes_of_a_body() {
    assert_eq!(events(r#"{"event_id":1}"#).unwrap(), (1, None));
    assert_eq!(events(" [ {}, 7 ]\n").unwrap(), (2, None));
    assert_eq!(events(r#"{"sent_at":5,"events":[{}]}"#).unwrap(), (1, Some(5)));
    assert_eq!(events(r#"{"events":[],"sent_at":null}"#).unwrap(), (0, None));
    let lines = envelope::open(b"{}\r\n\n  nonsense \n{}", ContentKind::Ndjson).unwrap();
    assert_eq!(lines.events, [&b"{}"[..], b"nonsense", b"{}"]);
}

#[test]
fn a_body_that_cannot_be_read_is_refused_whole() {
    for body in ["", "null", "nonsense", "{", "[{}", "[{}] x", "\"x\"", "[NaN]"] {
        assert!(matches!(events(body), Err(IngestError::Unreadable { .. })), "{body}");
    }
    for (body, at) in [
        (r#"{"events":[],"extra":1}"#, "extra"),
        (r#"{"events":{}}"#, "events"),
        (r#"{"events":[],"events":[]}"#, "events"),
        (r#"{"events":[],"sent_at":"yesterday"}"#, "sent_at"),
    ] {
        let Err(IngestError::Unreadable { field, message }) = events(body) else {
            panic!("{body} was read")
        };
        assert_eq!(field, at, "{message}");
    }
    assert!(matches!(
        envelope::open(b"\xff", ContentKind::Json),
        Err(IngestError::Unreadable { .. })
    ));
    assert!(matches!(
        envelope::open(b"\n \n", ContentKind::Ndjson),
        Err(IngestError::Unreadable { .. })
    ));
    let many = format!("[{}1]", "1,".repeat(MAX_BATCH_EVENTS));
    assert!(matches!(events(&many), Err(IngestError::TooLarge(_))));
    let long = "x".repeat(MAX_BODY_BYTES + 1);
    assert!(matches!(events(&long), Err(IngestError::TooLarge(_))));
    let lines = "{}\n".repeat(MAX_BATCH_EVENTS + 1);
    assert!(matches!(
        envelope::open(lines.as_bytes(), ContentKind::Ndjson),
        Err(IngestError::TooLarge(_))
    ));
}

/// Expected from Python:
/// `hmac.new(bytes(range(32)), b"user_id:user-42", "sha256").hexdigest()[:32]`, the same for `device_id`.
#[test]
fn pseudonyms_are_hmac_sha256_by_unit_type() {
    let dir = tempfile::tempdir().unwrap();
    let (data, key) = (dir.path().join("data"), dir.path().join("key"));
    std::fs::create_dir(&data).unwrap();
    let digits: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&key, digits).unwrap();
    let keyed = Pseudonymiser::open(&Pseudonyms::KeyFile(key), &data).unwrap();
    assert_eq!(keyed.pseudonym("user_id", "user-42"), PSEUDONYM_USER);
    assert_eq!(keyed.pseudonym("device_id", "user-42"), PSEUDONYM_DEVICE);
    let shared = Pseudonymiser::shared(&Pseudonyms::KeyFile(dir.path().join("key"))).unwrap();
    assert_eq!(shared.pseudonym("user_id", "user-42"), PSEUDONYM_USER);
    let missing = Pseudonyms::KeyFile(dir.path().join("none"));
    let message = Pseudonymiser::shared(&missing).err().unwrap().to_string();
    assert!(message.contains("every node needs the same one"), "{message}");
    assert!(!dir.path().join("none").exists());
    let off = Pseudonymiser::open(&Pseudonyms::Off, &data).unwrap();
    assert_eq!(off.pseudonym("user_id", "user-42"), "user-42");
}

const PSEUDONYM_USER: &str = "~6dc61dc65879e1c8e66c715d3f5f9c88";
const PSEUDONYM_DEVICE: &str = "~189a141aee6cde2bf4bf33788dc8a194";

#[cfg(unix)]
#[test]
fn the_key_file_is_made_once_private_and_outside_the_data() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (data, key) = (dir.path().join("data"), dir.path().join("secret/key"));
    std::fs::create_dir(&data).unwrap();
    let config = Pseudonyms::KeyFile(key.clone());
    let first = Pseudonymiser::open(&config, &data).unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Pseudonymiser::open(&config, &data).unwrap();
    assert_eq!(first.pseudonym("user_id", "x"), again.pseudonym("user_id", "x"));
    std::fs::write(&key, "too short").unwrap();
    assert!(Pseudonymiser::open(&config, &data).is_err());
    let inside = Pseudonyms::KeyFile(data.join("key"));
    let message = Pseudonymiser::open(&inside, &data).err().unwrap().to_string();
    assert!(message.contains("inside the data directory"), "{message}");
    assert!(!data.join("key").exists());
}
