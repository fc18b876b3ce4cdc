//! Override tokens.

use evenhand_core::override_token;
use napi::bindgen_prelude::Result;
use napi_derive::napi;

use crate::engine::key_set;

#[napi(object)]
pub struct VerifiedOverride {
    pub flag: Option<String>,
    pub variation: Option<String>,
    pub expires_at_ms: Option<f64>,
    pub code: Option<String>,
    pub message: Option<String>,
}

/// Verifies a token with any of `keys` (base64url). A token that is not valid gives `code` and `message` instead of a flag.
#[napi(catch_unwind)]
pub fn verify_override_token(
    token: String,
    keys: Vec<String>,
    environment: String,
    now_ms: f64,
) -> Result<VerifiedOverride> {
    let keys = keys.into_iter().enumerate().map(|(at, key)| (at.to_string(), key));
    let keys = key_set(keys)?;
    Ok(
        match override_token::verify(&token, &keys, &environment, now_ms as i64) {
            Ok(grant) => VerifiedOverride {
                flag: Some(grant.flag),
                variation: Some(grant.variation),
                // At most 7 days ahead of a time that JavaScript gave.
                expires_at_ms: Some(grant.exp as f64),
                code: None,
                message: None,
            },
            Err(error) => VerifiedOverride {
                flag: None,
                variation: None,
                expires_at_ms: None,
                code: Some(error.code().to_owned()),
                message: Some(error.to_string()),
            },
        },
    )
}
