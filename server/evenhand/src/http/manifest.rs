//! `GET /v1/manifest/KEY`: the signed manifest, cacheable by any CDN, and `GET /v1/lists/HASH`: id lists.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use evenhand_manage::{KeyKind, Published};

use super::App;
use super::error::HttpError;
use super::keys::Caller;

/// A CDN may serve it for a minute, and for a day when we are down: a stale manifest beats none.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60, stale-if-error=86400");
const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// Middle quality: 95 % of the best ratio at a tenth of the time, and a manifest is packed once a version.
const BROTLI_QUALITY: i32 = 5;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Encoding {
    Identity,
    Gzip,
    Brotli,
}

/// Environment, whether it is the client's, encoding.
type Place = (String, bool, Encoding);
/// The content hash of what was packed, and the packed bytes.
type Packed = (String, Bytes);

/// Packed bodies of the newest manifests: one entry for an environment, audience and encoding.
#[derive(Default)]
pub struct PackedManifests {
    bodies: Mutex<HashMap<Place, Packed>>,
}

impl PackedManifests {
    fn get(&self, environment: &str, client: bool, encoding: Encoding, published: &Published) -> Bytes {
        let plain = if client {
            &published.client_bytes
        } else {
            &published.server_bytes
        };
        if encoding == Encoding::Identity {
            return Bytes::from_owner(Arc::clone(plain));
        }
        let hash = if client {
            &published.client_hash
        } else {
            &published.hash
        };
        let place = (environment.to_owned(), client, encoding);
        let lock = || self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, body)) = lock().get(&place)
            && of == hash
        {
            return body.clone();
        }
        // Packed outside the lock: two requests may pack the same version once each, none waits for another's.
        let body = Bytes::from(pack(plain, encoding));
        lock().insert(place, (hash.clone(), body.clone()));
        body
    }
}

fn pack(plain: &[u8], encoding: Encoding) -> Vec<u8> {
    let packed = match encoding {
        Encoding::Identity => Ok(plain.to_vec()),
        Encoding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(plain).and_then(|()| writer.finish())
        }
        Encoding::Brotli => {
            let mut out = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams {
                quality: BROTLI_QUALITY,
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &plain[..], &mut out, &parameters).map(|_| out)
        }
    };
    // Writing to memory does not fail; if a library says it did, the plain bytes would be mislabelled, so nothing is sent.
    packed.unwrap_or_default()
}

/// The best encoding the client accepts, by name; weights other than 0 are not compared.
fn accepted(headers: &HeaderMap) -> Encoding {
    let takes = |name: &str| {
        headers
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .any(|item| {
                let mut parts = item.split(';').map(str::trim);
                let named = parts.next().is_some_and(|n| n.eq_ignore_ascii_case(name));
                named && !parts.any(|p| matches!(p, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
    };
    if takes("br") {
        Encoding::Brotli
    } else if takes("gzip") {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}

/// The manifest for this key: full for server and sidecar keys, obfuscated for client keys.
pub async fn manifest(
    State(app): State<App>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Result<Response<Body>, HttpError> {
    let caller = Caller::admit(&app, &key, Some(address.ip()))?;
    let environment = &caller.key.environment;
    let published = app
        .manage
        .current(environment)
        .ok_or_else(|| HttpError::overloaded("nothing is published in this environment yet", 5))?;
    let client = caller.key.kind == KeyKind::Client;
    let hash = if client {
        &published.client_hash
    } else {
        &published.hash
    };
    let etag = format!("\"{hash}\"");
    let same = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|tag| matches!(tag.trim().trim_start_matches("W/"), t if t == etag || t == "*"));
    let mut response = Response::builder()
        .header(header::ETAG, &etag)
        .header(header::CACHE_CONTROL, CACHE)
        .header(header::VARY, "Accept-Encoding")
        .header("x-evenhand-version", published.version);
    if same {
        return response
            .status(StatusCode::NOT_MODIFIED)
            .body(Body::empty())
            .map_err(HttpError::internal);
    }
    let encoding = accepted(&headers);
    let body = app.packed.get(environment, client, encoding, &published);
    if body.is_empty() {
        return Err(HttpError::internal("a manifest could not be packed"));
    }
    match encoding {
        Encoding::Identity => {}
        Encoding::Gzip => response = response.header(header::CONTENT_ENCODING, "gzip"),
        Encoding::Brotli => response = response.header(header::CONTENT_ENCODING, "br"),
    }
    response
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(HttpError::internal)
}

/// The bytes of an id list, by content address.
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(hash): Path<String>,
) -> Result<Response<Body>, HttpError> {
    caller.require(&[KeyKind::Server, KeyKind::Sidecar])?;
    let named = app
        .manage
        .current(&caller.key.environment)
        .is_some_and(|p| p.lists.contains(&hash));
    let blob = named.then(|| app.manage.list_blob(&hash)).flatten().ok_or_else(|| {
        HttpError::not_found(
            "no list with this hash in the manifest of this key's environment; fetch the manifest again",
        )
    })?;
    Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CACHE_CONTROL, IMMUTABLE)
        .body(Body::from(Bytes::from_owner(blob)))
        .map_err(HttpError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_with_weight_zero_is_not_accepted() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepted(&headers)
        };
        assert!(with("gzip, deflate, br") == Encoding::Brotli);
        assert!(with("gzip, br;q=0") == Encoding::Gzip);
        assert!(with("identity") == Encoding::Identity);
    }

    #[test]
    fn packing_loses_nothing() {
        let text = b"{\"flags\":{}}".repeat(1000);
        let mut plain = Vec::new();
        brotli::BrotliDecompress(&mut &pack(&text, Encoding::Brotli)[..], &mut plain).unwrap();
        assert_eq!(plain, text);
        let gz = pack(&text, Encoding::Gzip);
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gz[..]), &mut plain).unwrap();
        assert_eq!(plain, text);
    }
}
