//! Override tokens: a signed leave to see one variation of one flag for a few days
//! (`docs/contract/manifest.md`, "Override tokens").

use serde::{Deserialize, Serialize};

use crate::sign::{KeySet, Purpose, SecretKey, base64url, canonical};

/// How far ahead a token may expire: 7 days, in milliseconds.
pub const MAX_LIFETIME_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// The longest token that is looked at, in bytes: names of 256 bytes, were each of them escaped, fit.
pub const MAX_TOKEN_BYTES: usize = 8_192;
/// The longest environment id, flag key or variation key, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// What a token grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The environment's id.
    pub env: String,
    /// When it ends, in milliseconds since 1970: it is valid before that instant.
    pub exp: i64,
    /// The flag's key, as a caller asks for it.
    pub flag: String,
    /// The variation's key.
    pub variation: String,
}

/// Why a token is not valid, or can't be made. A token that is not valid is ignored, and said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideError {
    /// Longer than any token.
    TooLong,
    /// Not two parts of base64url without padding, joined by a dot.
    Malformed,
    /// The signature is none of the keys'.
    WrongSignature,
    /// The payload is not the RFC 8785 form of exactly `env`, `exp`, `flag` and `variation`.
    BadPayload,
    /// A name is empty or longer than 256 bytes.
    BadName,
    /// For another environment.
    OtherEnvironment,
    /// Its time is over.
    Expired,
    /// It would be valid for more than 7 days from now.
    TooFarAhead,
}

impl OverrideError {
    /// A stable name for answers, logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::WrongSignature => "wrong_signature",
            Self::BadPayload => "bad_payload",
            Self::BadName => "bad_name",
            Self::OtherEnvironment => "other_environment",
            Self::Expired => "expired",
            Self::TooFarAhead => "too_far_ahead",
        }
    }
}

impl core::fmt::Display for OverrideError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the override token is longer than 8,192 bytes: copy the link again",
            Self::Malformed => "the override token is not of the form payload.signature in base64url without padding: copy the link again, whole",
            Self::WrongSignature => "the override token is signed by none of the environment's override keys: make a new link",
            Self::BadPayload => "the override token's payload is not the canonical JSON of env, exp, flag and variation: make a new link",
            Self::BadName => "environment, flag and variation of an override token must have 1 to 256 bytes: name an existing flag and variation",
            Self::OtherEnvironment => "the override token is for another environment: make a link for this one",
            Self::Expired => "the override token has expired: make a new link",
            Self::TooFarAhead => "the override token would be valid for more than 7 days: make it with an expiry of at most 7 days",
        })
    }
}

impl core::error::Error for OverrideError {}

/// Makes a token. That it expires within 7 days is checked where it is used; a mint that knows the time checks it too,
/// with [`check_lifetime`].
pub fn mint(key: &SecretKey, grant: &Override) -> Result<String, OverrideError> {
    check_names(grant)?;
    let payload = canonical(grant).map_err(|_| OverrideError::BadPayload)?;
    let signature = key.sign(Purpose::Override, &payload);
    let token = format!("{}.{signature}", base64url::encode(&payload));
    if token.len() > MAX_TOKEN_BYTES {
        Err(OverrideError::TooLong)
    } else {
        Ok(token)
    }
}

/// Verifies a token for an environment at an instant. Any of the keys may have signed it.
pub fn verify(token: &str, keys: &KeySet, environment: &str, now_ms: i64) -> Result<Override, OverrideError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(OverrideError::TooLong);
    }
    let (payload, signature) = token.split_once('.').ok_or(OverrideError::Malformed)?;
    let payload = base64url::decode(payload).ok_or(OverrideError::Malformed)?;
    base64url::decode(signature)
        .filter(|bytes| bytes.len() == 64)
        .ok_or(OverrideError::Malformed)?;
    // Nothing of the payload is looked at before its signature is right.
    if !keys
        .iter()
        .any(|(_, key)| key.verify(Purpose::Override, &payload, signature))
    {
        return Err(OverrideError::WrongSignature);
    }
    let grant: Override = serde_json::from_slice(&payload).map_err(|_| OverrideError::BadPayload)?;
    if canonical(&grant).ok().as_deref() != Some(payload.as_slice()) {
        return Err(OverrideError::BadPayload);
    }
    check_names(&grant)?;
    if grant.env != environment {
        return Err(OverrideError::OtherEnvironment);
    }
    check_lifetime(grant.exp, now_ms)?;
    Ok(grant)
}

/// `now < exp`, and `exp` at most 7 days from now.
pub fn check_lifetime(exp_ms: i64, now_ms: i64) -> Result<(), OverrideError> {
    match exp_ms.checked_sub(now_ms) {
        Some(left) if left > MAX_LIFETIME_MS => Err(OverrideError::TooFarAhead),
        Some(left) if left > 0 => Ok(()),
        // An overflow upwards is far ahead, one downwards long over.
        None if exp_ms > now_ms => Err(OverrideError::TooFarAhead),
        _ => Err(OverrideError::Expired),
    }
}

fn check_names(grant: &Override) -> Result<(), OverrideError> {
    let names = [&grant.env, &grant.flag, &grant.variation];
    let good = names.iter().all(|name| (1..=MAX_NAME_BYTES).contains(&name.len()));
    if good { Ok(()) } else { Err(OverrideError::BadName) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_700_000_000_000;

    fn key() -> SecretKey {
        SecretKey::from_seed(&[3; 32])
    }

    fn keys() -> KeySet {
        KeySet::new()
            .with("other", SecretKey::from_seed(&[4; 32]).public())
            .with("mine", key().public())
    }

    fn grant() -> Override {
        Override {
            env: "prod".into(),
            exp: NOW + 1000,
            flag: "checkout".into(),
            variation: "treatment".into(),
        }
    }

    /// A token of any payload, rightly signed.
    fn signed(payload: &str) -> String {
        format!(
            "{}.{}",
            base64url::encode(payload.as_bytes()),
            key().sign(Purpose::Override, payload.as_bytes())
        )
    }

    #[test]
    fn a_token_says_what_was_granted() {
        let token = mint(&key(), &grant()).unwrap();
        assert_eq!(verify(&token, &keys(), "prod", NOW), Ok(grant()));
        let payload = r#"{"env":"prod","exp":1700000001000,"flag":"checkout","variation":"treatment"}"#;
        assert_eq!(token, signed(payload), "the payload is the contract's");
    }

    #[test]
    fn time() {
        let token = mint(&key(), &grant()).unwrap();
        assert_eq!(verify(&token, &keys(), "prod", NOW + 999), Ok(grant()));
        assert_eq!(verify(&token, &keys(), "prod", NOW + 1000), Err(OverrideError::Expired));
        assert_eq!(
            verify(&token, &keys(), "prod", NOW + 1000 - MAX_LIFETIME_MS),
            Ok(grant())
        );
        assert_eq!(
            verify(&token, &keys(), "prod", NOW + 999 - MAX_LIFETIME_MS),
            Err(OverrideError::TooFarAhead)
        );
        assert_eq!(check_lifetime(i64::MAX, -1), Err(OverrideError::TooFarAhead));
        assert_eq!(check_lifetime(i64::MIN, 1), Err(OverrideError::Expired));
    }

    #[test]
    fn refused() {
        let token = mint(&key(), &grant()).unwrap();
        let of = |token: &str| verify(token, &keys(), "prod", NOW).unwrap_err();
        assert_eq!(
            verify(&token, &keys(), "staging", NOW),
            Err(OverrideError::OtherEnvironment)
        );
        assert_eq!(
            verify(&token, &KeySet::new(), "prod", NOW),
            Err(OverrideError::WrongSignature)
        );
        assert_eq!(of(""), OverrideError::Malformed);
        assert_eq!(of("."), OverrideError::Malformed);
        assert_eq!(of(&token.replace('.', "")), OverrideError::Malformed);
        assert_eq!(of(&format!("{token}=")), OverrideError::Malformed);
        assert_eq!(of(&format!("{token}.x")), OverrideError::Malformed);
        assert_eq!(of(&token[..token.len() - 2]), OverrideError::Malformed);
        assert_eq!(of(&"A".repeat(MAX_TOKEN_BYTES + 1)), OverrideError::TooLong);
        let (payload, signature) = token.split_once('.').unwrap();
        let other = mint(
            &key(),
            &Override {
                variation: "control".into(),
                ..grant()
            },
        )
        .unwrap();
        assert_eq!(
            of(&format!("{}.{signature}", other.split_once('.').unwrap().0)),
            OverrideError::WrongSignature
        );
        // A manifest's signature over the same bytes is none of an override.
        let manifests = key().sign(Purpose::Manifest, &base64url::decode(payload).unwrap());
        assert_eq!(of(&format!("{payload}.{manifests}")), OverrideError::WrongSignature);
        for payload in [
            "",
            "{}",
            "[]",
            r#"["prod",1700000001000,"f","v"]"#,
            r#"{"env":"prod","exp":1700000001000,"flag":"f"}"#,
            r#"{"env":"prod","exp":1700000001000,"flag":"f","variation":"v","x":1}"#,
            r#"{"env":"prod","exp":1700000001000,"exp":1700000001000,"flag":"f","variation":"v"}"#,
            r#"{"env":"prod","exp":1700000001000.5,"flag":"f","variation":"v"}"#,
            r#"{"env":"prod","exp":"1700000001000","flag":"f","variation":"v"}"#,
            r#"{"exp":1700000001000,"env":"prod","flag":"f","variation":"v"}"#,
            r#"{"env":"prod", "exp":1700000001000,"flag":"f","variation":"v"}"#,
            r#"{"env":"prod","exp":1700000001000,"flag":"\u0066","variation":"v"}"#,
        ] {
            assert_eq!(of(&signed(payload)), OverrideError::BadPayload, "{payload}");
        }
        let empty = r#"{"env":"prod","exp":1700000001000,"flag":"","variation":"v"}"#;
        assert_eq!(of(&signed(empty)), OverrideError::BadName);
        assert_eq!(
            mint(
                &key(),
                &Override {
                    flag: "x".repeat(257),
                    ..grant()
                }
            ),
            Err(OverrideError::BadName)
        );
        assert!(
            mint(
                &key(),
                &Override {
                    flag: "\u{1}".repeat(256),
                    variation: "\u{1}".repeat(256),
                    ..grant()
                }
            )
            .is_ok()
        );
    }

    proptest! {
        #[test]
        fn any_text_is_refused(token in "[A-Za-z0-9_.-]{0,200}|\\PC{0,60}") {
            prop_assert!(verify(&token, &keys(), "prod", NOW).is_err());
        }

        /// Whatever bytes are signed: no panic, and what is accepted is what was minted.
        #[test]
        fn any_payload_is_judged(payload in "\\PC{0,60}|\\{\"env\":\"prod\",\"exp\":17[0-9]{11},\"flag\":\"[a-b]{0,3}\",\"variation\":\"v\"\\}") {
            let token = signed(&payload);
            if let Ok(grant) = verify(&token, &keys(), "prod", NOW) {
                prop_assert_eq!(mint(&key(), &grant).unwrap(), token);
            }
        }
    }
}
