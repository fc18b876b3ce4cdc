//! What needs no object.

use std::collections::HashMap;

use evenhand_core::{bucket, override_token};

use crate::engine::key_set;
use crate::error::{Answer, NativeError, guard};
use crate::records::{BucketRow, VerifiedOverride};

/// Hashes a unit id, as text, under a salt.
#[uniffi::export]
pub fn bucket_of(salt: String, unit: String) -> Answer<BucketRow> {
    guard(|| {
        let h = bucket::hash(&salt, &unit);
        Ok(BucketRow {
            h,
            basis_point: bucket::basis_point(h),
            slot: bucket::slot(h),
        })
    })
}

/// Verifies an override token for an environment at `now_ms`; any of the keys may have signed it. Refused when it is not valid.
#[uniffi::export]
pub fn verify_override_token(
    token: String,
    keys: HashMap<String, String>,
    environment: String,
    now_ms: i64,
) -> Answer<VerifiedOverride> {
    guard(|| {
        let keys = key_set(keys)?.unwrap_or_default();
        let granted = override_token::verify(&token, &keys, &environment, now_ms)
            .map_err(|error| NativeError::refused(error.code(), error))?;
        Ok(VerifiedOverride {
            flag: granted.flag,
            variation: granted.variation,
            expires_at_ms: granted.exp,
        })
    })
}

/// Panics inside the boundary, on purpose: an error is thrown, and the process lives. For tests only.
#[uniffi::export]
pub fn panic_for_tests() -> Answer<()> {
    guard(|| panic!("a deliberate panic, asked for by panic_for_tests"))
}
