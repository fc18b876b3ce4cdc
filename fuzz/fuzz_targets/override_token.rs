//! Any text as an override token, and any bytes as the payload of one that is signed: ignored with a reason, or a grant for
//! this environment that has not expired and that mints the very same token again.
#![no_main]

use std::sync::LazyLock;

use evenhand_core::override_token::{MAX_LIFETIME_MS, mint, verify};
use evenhand_core::sign::{KeySet, Purpose, SecretKey, base64url};

const NOW_MS: i64 = 1_764_000_000_000;
static SECRET: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed(&[7; 32]));
static KEYS: LazyLock<KeySet> = LazyLock::new(|| KeySet::new().with("k", SECRET.public()));

fn check(token: &str) {
    let Ok(grant) = verify(token, &KEYS, "production", NOW_MS) else {
        return;
    };
    assert_eq!(grant.env, "production");
    assert!(grant.exp > NOW_MS && grant.exp <= NOW_MS + MAX_LIFETIME_MS);
    assert_eq!(mint(&SECRET, &grant).as_deref(), Ok(token), "two tokens of one grant");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = core::str::from_utf8(bytes) {
        check(text);
    }
    check(&format!(
        "{}.{}",
        base64url::encode(bytes),
        SECRET.sign(Purpose::Override, bytes)
    ));
});
