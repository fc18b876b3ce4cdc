//! Who is asking: the API key of a request, looked up, checked for its kind and counted against its limit.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use evenhand_manage::{KeyInfo, KeyKind};

use super::App;
use super::error::HttpError;

/// The caller's key, valid and within its rate limit.
pub struct Caller {
    pub key: KeyInfo,
}

impl Caller {
    /// Refuses a key of another kind; the answer says which kinds would do.
    pub fn require(&self, kinds: &[KeyKind]) -> Result<(), HttpError> {
        if kinds.contains(&self.key.kind) {
            return Ok(());
        }
        let accepted: Vec<&str> = kinds.iter().map(|k| k.as_str()).collect();
        Err(HttpError::new(
            StatusCode::FORBIDDEN,
            "wrong_key_kind",
            format!(
                "this route takes a {} key; this one is a {} key",
                accepted.join(" or "),
                self.key.kind.as_str()
            ),
        ))
    }

    /// Looks a key up and counts the request.
    pub fn admit(app: &App, key: &str, address: Option<IpAddr>) -> Result<Caller, HttpError> {
        let found = app.manage.authenticate_key(key).ok_or_else(|| {
            HttpError::new(
                StatusCode::UNAUTHORIZED,
                "unknown_key",
                "this API key is unknown or revoked; keys are made under /api, those of the first start are in keys.json of the data directory",
            )
        });
        // A wrong key costs its address the same as a right one, so that guessing is limited too.
        let label = found.as_ref().map(|k| k.key_id.as_str()).unwrap_or("");
        app.limits.check(label, address)?;
        Ok(Caller { key: found? })
    }
}

/// The key as sent: `Authorization: Bearer`, `X-Evenhand-Key`, or `?key=`.
pub fn key_of(headers: &HeaderMap, query: Option<&str>) -> Result<String, HttpError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| unreadable("Authorization"))?;
        let (scheme, key) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") || key.trim().is_empty() {
            return Err(HttpError::new(
                StatusCode::UNAUTHORIZED,
                "no_key",
                "the Authorization header must read `Bearer KEY`",
            ));
        }
        return Ok(key.trim().to_owned());
    }
    if let Some(value) = headers.get("x-evenhand-key") {
        return value
            .to_str()
            .map(str::to_owned)
            .map_err(|_| unreadable("X-Evenhand-Key"));
    }
    let from_query = form_urlencoded::parse(query.unwrap_or("").as_bytes()).find(|(name, _)| name == "key");
    from_query.map(|(_, key)| key.into_owned()).ok_or_else(|| {
        HttpError::new(
            StatusCode::UNAUTHORIZED,
            "no_key",
            "no API key: send `Authorization: Bearer KEY`, or `X-Evenhand-Key: KEY`, or `?key=KEY`",
        )
    })
}

fn unreadable(header: &str) -> HttpError {
    HttpError::new(
        StatusCode::UNAUTHORIZED,
        "no_key",
        format!("the {header} header is not plain ASCII text"),
    )
}

impl FromRequestParts<App> for Caller {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, HttpError> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip());
        let key = key_of(&parts.headers, parts.uri.query())?;
        Caller::admit(app, &key, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_wherever_it_may_stand() {
        let mut headers = HeaderMap::new();
        assert_eq!(key_of(&headers, Some("flags=a&key=k%2D1")).unwrap(), "k-1");
        headers.insert("x-evenhand-key", "k-2".parse().unwrap());
        assert_eq!(key_of(&headers, Some("key=k-1")).unwrap(), "k-2");
        headers.insert(header::AUTHORIZATION, "bearer k-3".parse().unwrap());
        assert_eq!(key_of(&headers, None).unwrap(), "k-3");
        headers.insert(header::AUTHORIZATION, "Basic abc".parse().unwrap());
        assert_eq!(key_of(&headers, None).unwrap_err().code, "no_key");
    }
}
