//! Override tokens: a forced variation that a signature vouches for.

use evenhand_core::override_token::verify;
use evenhand_core::sign::{KeySet, PublicKey};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::evaluator::clock_ms;

/// What an override token says, or why it counts for nothing.
#[pyclass(frozen, get_all, module = "evenhand")]
pub struct OverrideResult {
    /// Whether it counts.
    valid: bool,
    /// The flag it forces, and to what: pass `forced={flag: variation}`.
    flag: Option<String>,
    /// The variation's key.
    variation: Option<String>,
    /// Until when, in milliseconds since 1970.
    expires_at_ms: Option<i64>,
    /// A stable name of what is wrong with it.
    code: Option<&'static str>,
    /// What is wrong, and how to mend it.
    message: Option<String>,
}

/// Verifies an override token. Any of the keys (Ed25519 public keys, base64url) may have signed it.
#[pyfunction]
#[pyo3(signature = (token, keys, environment, now_ms=None))]
pub fn verify_override(
    token: &Bound<'_, PyAny>,
    keys: Vec<String>,
    environment: &str,
    now_ms: Option<i64>,
) -> PyResult<OverrideResult> {
    let mut set = KeySet::new();
    for (at, key) in keys.iter().enumerate() {
        let key = PublicKey::from_text(key).map_err(|error| PyValueError::new_err(format!("keys[{at}]: {error}")))?;
        set.insert(&at.to_string(), key);
    }
    // Text with a lone surrogate is no token, and no exception either: it came from a link.
    let token = token.extract::<String>().unwrap_or_default();
    Ok(
        match verify(&token, &set, environment, now_ms.unwrap_or_else(clock_ms)) {
            Ok(grant) => OverrideResult {
                valid: true,
                flag: Some(grant.flag),
                variation: Some(grant.variation),
                expires_at_ms: Some(grant.exp),
                code: None,
                message: None,
            },
            Err(error) => OverrideResult {
                valid: false,
                flag: None,
                variation: None,
                expires_at_ms: None,
                code: Some(error.code()),
                message: Some(error.to_string()),
            },
        },
    )
}
