//! Forcing a variation for QA: a signed token in the header `X-Evenhand-Override`, in the cookie `evenhand_override`, or in a link that sets the cookie.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evenhand_core::Context;
use evenhand_core::override_token::{self, Override};
use serde::{Deserialize, Serialize};

use super::App;
use super::error::HttpError;
use super::extract::QueryOf;
use crate::platform::now_ms;

/// The header: tokens separated by commas.
const HEADER: &str = "x-evenhand-override";
/// The cookie: tokens separated by `~`, which neither base64url nor the dot uses.
const COOKIE: &str = "evenhand_override";
/// Tokens looked at in one request: verifying one costs 30 microseconds.
const MOST_TOKENS: usize = 20;

/// A token that was not honoured, told to the caller.
#[derive(Serialize)]
pub struct Ignored {
    pub code: &'static str,
    pub message: String,
}

/// Forces what the request's tokens grant; gives back those that are not valid.
pub fn apply(app: &App, environment: &str, headers: &HeaderMap, context: &mut Context) -> Vec<Ignored> {
    let (granted, ignored) = granted(app, environment, headers);
    for grant in granted {
        context.set_forced(&grant.flag, &grant.variation);
    }
    ignored
}

/// What the request's tokens grant, in the order in which it is to be forced, and those that are not valid.
pub fn granted(app: &App, environment: &str, headers: &HeaderMap) -> (Vec<Override>, Vec<Ignored>) {
    let (mut granted, mut ignored) = (Vec::new(), Vec::new());
    let tokens = tokens(headers);
    if tokens.is_empty() {
        return (granted, ignored);
    }
    let now = now_ms();
    let keys = app.manage.override_public_keys(environment);
    if tokens.len() > MOST_TOKENS {
        let message = format!(
            "only the first {MOST_TOKENS} of {} override tokens are looked at",
            tokens.len()
        );
        ignored.push(Ignored {
            code: "too_many",
            message,
        });
    }
    for token in tokens.iter().take(MOST_TOKENS) {
        match override_token::verify(token, &keys, environment, now) {
            Ok(grant) => granted.push(grant),
            Err(error) => ignored.push(Ignored {
                code: error.code(),
                message: error.to_string(),
            }),
        }
    }
    (granted, ignored)
}

/// Cookie first, then header: what a request says itself wins.
fn tokens(headers: &HeaderMap) -> Vec<String> {
    let mut tokens = cookie_tokens(headers);
    let from_header = headers
        .get_all(HEADER)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    tokens.extend(from_header.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()));
    tokens
}

fn cookie_tokens(headers: &HeaderMap) -> Vec<String> {
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'));
    let ours = cookies
        .filter_map(|c| c.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE);
    ours.flat_map(|(_, value)| value.split('~'))
        .filter(|t| !t.is_empty())
        .map(str::to_owned)
        .collect()
}

#[derive(Deserialize)]
pub struct Link {
    token: String,
    /// Where to go afterwards: a path of this origin, or a URL of an allowed origin. Default `/`.
    redirect: Option<String>,
}

/// Follows an override link: checks the token, adds it to the cookie, and leads to the clean address, so that the token is in no history or referrer.
pub async fn follow(
    State(app): State<App>,
    QueryOf(link): QueryOf<Link>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let invalid = |message: String| HttpError::bad_request("invalid_override", message).field("token");
    let environment = named_environment(&link.token)
        .ok_or_else(|| invalid("the token of this link is damaged: copy the link again, whole".to_owned()))?;
    let keys = app.manage.override_public_keys(&environment);
    let grant =
        override_token::verify(&link.token, &keys, &environment, now_ms()).map_err(|e| invalid(e.to_string()))?;
    let target = link.redirect.as_deref().unwrap_or("/");
    if !allowed(target, &app.config.override_redirect_origins) {
        return Err(HttpError::bad_request(
            "redirect_not_allowed",
            "a link may lead to a path of this origin (`/…`), or to an origin listed in override_redirect_origins of the configuration",
        )
        .field("redirect"));
    }
    // A later link for the same flag replaces the earlier one; tokens that can't be read any more are dropped.
    let mut kept: Vec<String> = cookie_tokens(&headers)
        .into_iter()
        .filter(|t| override_token::verify(t, &keys, &environment, now_ms()).is_ok_and(|g| g.flag != grant.flag))
        .take(MOST_TOKENS - 1)
        .collect();
    kept.push(link.token);
    let cookie = format!(
        "{COOKIE}={}; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax",
        kept.join("~")
    );
    let cookie = HeaderValue::from_str(&cookie)
        .map_err(|_| invalid("the token has characters no cookie can hold".to_owned()))?;
    let location = HeaderValue::from_str(target).map_err(|_| {
        HttpError::bad_request(
            "redirect_not_allowed",
            "the address has characters that a header can't hold",
        )
        .field("redirect")
    })?;
    let no_store = HeaderValue::from_static("no-store");
    let no_referrer = HeaderValue::from_static("no-referrer");
    let response = [
        (header::SET_COOKIE, cookie),
        (header::LOCATION, location),
        (header::CACHE_CONTROL, no_store),
        (header::REFERRER_POLICY, no_referrer),
    ];
    Ok((StatusCode::FOUND, response).into_response())
}

/// The environment a token speaks of, not yet verified: it only chooses the keys to verify with.
fn named_environment(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Payload {
        env: String,
    }
    let (payload, _) = token
        .split_once('.')
        .filter(|_| token.len() <= override_token::MAX_TOKEN_BYTES)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice::<Payload>(&bytes).ok().map(|p| p.env)
}

/// Whether a redirect can't be used to lead people elsewhere. `//host` and `/\host` are other hosts to a browser.
fn allowed(target: &str, origins: &[String]) -> bool {
    let own_path = target.starts_with('/') && !target.starts_with("//") && !target.contains('\\');
    let listed = origins.iter().any(|origin| {
        let origin = origin.trim_end_matches('/');
        target
            .strip_prefix(origin)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    });
    !target.chars().any(|c| c.is_control()) && (own_path || listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_nowhere_but_home_or_to_listed_origins() {
        let origins = ["https://shop.example".to_owned()];
        for good in ["/", "/checkout?x=1", "https://shop.example", "https://shop.example/a"] {
            assert!(allowed(good, &origins), "{good}");
        }
        for bad in [
            "//evil.example",
            "/\\evil.example",
            "https://shop.example.evil",
            "https://shop.example@evil",
            "javascript:alert(1)",
            "",
            "/a\nb",
        ] {
            assert!(!allowed(bad, &origins), "{bad:?}");
        }
    }

    #[test]
    fn tokens_are_read_from_cookie_and_header() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("a=b; evenhand_override=t.1~t.2"),
        );
        headers.insert(HEADER, HeaderValue::from_static("t.3, t.4"));
        assert_eq!(tokens(&headers), ["t.1", "t.2", "t.3", "t.4"]);
    }
}
