//! `StreamManifest`: the signed manifest now and at each change.

use bytes::Bytes;
use evenhand_protocol::v1::{StreamManifestRequest, StreamManifestResponse};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Status};

use super::assignments::MAY_FOLLOW;
use super::caller;
use super::until::Until;
use crate::http::{App, HttpError};

/// Opens one. A slow reader is sent the newest, never a backlog: nothing is made before the connection can take it, and a watch holds one value.
pub fn open(
    app: &App,
    request: &Request<StreamManifestRequest>,
    stop: watch::Receiver<bool>,
) -> Result<impl Stream<Item = Result<StreamManifestResponse, Status>> + Send + use<>, HttpError> {
    let caller = caller::admit(app, request)?;
    caller.require(MAY_FOLLOW)?;
    let message = request.get_ref();
    let known = match (message.known_generation, message.known_version) {
        (Some(generation), Some(version)) => Some((generation, version)),
        (None, None) => None,
        _ => {
            let text = "known_generation and known_version go together: send both, or neither";
            return Err(HttpError::bad_request("half_known", text).field("known_version"));
        }
    };
    let published = app
        .manage
        .subscribe(&caller.key.environment)
        .ok_or_else(|| HttpError::not_found("the environment of this key is gone"))?;
    let counted = app.metrics.subscriber();
    let manifests = WatchStream::new(published).filter_map(move |published| {
        let _counted = &counted;
        let published = published?;
        if known == Some((published.generation, published.version)) {
            return None;
        }
        Some(Ok(StreamManifestResponse {
            generation: published.generation,
            version: published.version,
            hash: published.hash.clone(),
            envelope: Bytes::from_owner(Arc::clone(&published.server_bytes)),
        }))
    });
    Ok(Until::new(manifests, request.extensions(), stop))
}
