//! What can be done to a flag in an environment: kill it, give it another default, force variations by unit id, mint override tokens.

use evenhand_core::override_token::{MAX_LIFETIME_MS, Override, mint};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::definition::Flag;
use crate::edit::Edit;
use crate::problem::{ManageError, Problems, Result};
use crate::secrets::SigningKey;
use crate::state::FlagState;
use crate::validate::{check_attribute, known_variations};

/// Forced variations by unit id that a flag may have (docs/contract/manifest.md).
pub const MAX_OVERRIDES: usize = 10_000;

/// Switches a flag off for everybody in an environment, or on again.
pub fn set_killed(edit: &mut Edit, environment: &str, key: &str, killed: bool) -> Result<()> {
    if edit.model.find::<FlagState>(environment, key)?.body.killed == killed {
        let state = if killed { "killed already" } else { "not killed" };
        return Err(ManageError::conflict(
            "wrong_state",
            format!("flag `{key}` is {state} in `{environment}`: there is nothing to do"),
        ));
    }
    edit.modify(environment, key, |state: &mut FlagState| state.killed = killed)
}

/// Sets the answer when no rule matches, in this environment; none: the definition's again.
pub fn set_default(edit: &mut Edit, environment: &str, key: &str, variation: Option<String>) -> Result<()> {
    let flag = flag_of(edit, environment, key)?;
    if let Some(variation) = &variation {
        check_variation(&flag, "variation", variation)?;
    }
    edit.modify(environment, key, |state: &mut FlagState| state.default = variation)
}

/// Forces a variation for a unit id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitOverride {
    /// The unit type: the attribute whose value is the unit id.
    pub unit: String,
    /// The unit id.
    pub id: String,
    /// The variation it gets.
    pub variation: String,
}

/// Adds or replaces a forced variation.
pub fn set_override(edit: &mut Edit, environment: &str, key: &str, forced: UnitOverride) -> Result<()> {
    let flag = flag_of(edit, environment, key)?;
    let mut problems = Problems::default();
    check_attribute("unit", &forced.unit, &mut problems);
    problems.check(
        (1..=evenhand_core::unit::MAX_UNIT_BYTES).contains(&forced.id.len()),
        "id",
        || format!("a unit id has 1 to 4096 bytes, this has {}", forced.id.len()),
        "give the id as text",
    );
    problems.check(
        flag.has_variation(&forced.variation),
        "variation",
        || format!("flag `{key}` has no variation `{}`", forced.variation),
        &known_variations(&flag),
    );
    problems.check(
        !flag.in_client_manifest(),
        "unit",
        || format!("flag `{key}` stands in client manifests, where everybody could read the forced ids"),
        "set `remote` to true on the flag, or mint an override token for the one who tests",
    );
    let state = &edit.model.find::<FlagState>(environment, key)?.body;
    let there: usize = state.overrides.values().map(std::collections::BTreeMap::len).sum();
    let replaces = state
        .overrides
        .get(&forced.unit)
        .is_some_and(|ids| ids.contains_key(&forced.id));
    problems.check(
        replaces || there < MAX_OVERRIDES,
        "id",
        || format!("flag `{key}` has {there} overrides"),
        "use a segment with an id list for larger groups",
    );
    problems.finish()?;
    edit.modify(environment, key, |state: &mut FlagState| {
        state
            .overrides
            .entry(forced.unit)
            .or_default()
            .insert(forced.id, forced.variation);
    })
}

/// Removes a forced variation.
pub fn remove_override(edit: &mut Edit, environment: &str, key: &str, unit: &str, id: &str) -> Result<()> {
    let state = &edit.model.find::<FlagState>(environment, key)?.body;
    if !state.overrides.get(unit).is_some_and(|ids| ids.contains_key(id)) {
        return Err(ManageError::NotFound {
            kind: "override",
            key: format!("{unit}={id}"),
            place: format!(" of flag `{key}` in `{environment}`"),
        });
    }
    edit.modify(environment, key, |state: &mut FlagState| {
        if let Some(ids) = state.overrides.get_mut(unit) {
            ids.remove(id);
        }
        state.overrides.retain(|_, ids| !ids.is_empty());
    })
}

/// What an override token is to grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The flag.
    pub flag: String,
    /// The variation that whoever holds the token gets.
    pub variation: String,
    /// For how long, in seconds, at most 7 days; none: one day.
    #[serde(default)]
    pub expires_in_s: Option<i64>,
    /// Where the link leads after it has set its cookie: a path of the tested site.
    #[serde(default)]
    pub redirect: Option<String>,
}

/// A minted override token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MintedToken {
    /// For servers and the assignment API: header `X-Evenhand-Override`, or the cookie.
    pub token: String,
    /// For SDKs with a client manifest, where the variation stands under its opaque name. None when the flag is not in it.
    pub client_token: Option<String>,
    /// A link that sets the cookie, relative to the server's address.
    pub link: String,
    /// When it ends (milliseconds since 1970).
    pub expires_ms: i64,
}

/// Mints a token; the audit log says who did.
pub fn mint_token(edit: &mut Edit, environment: &str, request: &TokenRequest, key: &SigningKey) -> Result<MintedToken> {
    let flag = flag_of(edit, environment, &request.flag)?;
    check_variation(&flag, "variation", &request.variation)?;
    let seconds = request.expires_in_s.unwrap_or(86_400);
    if !(1..=MAX_LIFETIME_MS / 1_000).contains(&seconds) {
        return Err(ManageError::invalid(
            "expires_in_s",
            format!("{seconds} s is no lifetime of a token"),
            "give 1 to 604800 seconds (7 days)",
        ));
    }
    let expires_ms = edit.now_ms + seconds * 1_000;
    let grant = |variation: &str| {
        let grant = Override {
            env: environment.to_owned(),
            exp: expires_ms,
            flag: request.flag.clone(),
            variation: variation.to_owned(),
        };
        mint(&key.secret, &grant)
            .map_err(|error| ManageError::invalid("flag", error.to_string(), "name an existing flag and variation"))
    };
    let token = grant(&request.variation)?;
    let state = &edit.model.find::<FlagState>(environment, &request.flag)?.body;
    let alias = state
        .variation_aliases
        .get(&request.variation)
        .filter(|_| flag.in_client_manifest());
    let client_token = alias.map(|alias| grant(alias)).transpose()?;
    let redirect = request.redirect.as_deref().unwrap_or("/");
    let link = format!("/v1/override?token={token}&redirect={}", percent_encoded(redirect));
    edit.note(
        &format!("override_token/{environment}/{}", request.flag),
        json!({ "flag": request.flag, "variation": request.variation, "expires_ms": expires_ms }),
    );
    Ok(MintedToken {
        token,
        client_token,
        link,
        expires_ms,
    })
}

/// RFC 3986: all but the unreserved characters and `/`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte))
            }
            _ => {
                encoded.push('%');
                encoded.push_str(&crate::idlist::hex(&[byte]).to_ascii_uppercase());
            }
        }
    }
    encoded
}

fn flag_of(edit: &Edit, environment: &str, key: &str) -> Result<Flag> {
    let project = edit.model.project_of(environment)?;
    Ok(edit.model.find::<Flag>(project, key)?.body.clone())
}

fn check_variation(flag: &Flag, field: &str, variation: &str) -> Result<()> {
    if flag.has_variation(variation) {
        return Ok(());
    }
    Err(ManageError::invalid(
        field,
        format!("flag `{}` has no variation `{variation}`", flag.key),
        known_variations(flag),
    ))
}
