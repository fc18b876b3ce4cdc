//! `GET /v1/manifest/stream`: server-sent events, one for each published manifest version.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use evenhand_manage::KeyKind;
use serde::Serialize;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

use super::App;
use super::error::HttpError;
use super::keys::Caller;

#[derive(Serialize)]
struct Announcement<'a> {
    version: u64,
    generation: u64,
    hash: &'a str,
}

/// The current version at once (unless `Last-Event-ID` says the client has it), then every later one.
/// A subscriber that is slow sees the newest, never a backlog: only the latest version matters. One that stops reading loses its connection.
pub async fn stream(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<impl IntoResponse, HttpError> {
    caller.require(&[KeyKind::Server, KeyKind::Sidecar])?;
    let receiver = app
        .manage
        .subscribe(&caller.key.environment)
        .ok_or_else(|| HttpError::not_found("the environment of this key is gone"))?;
    let has = headers
        .get("last-event-id")
        .and_then(|v| v.to_str().ok())
        .map(str::to_owned);
    let metrics = app.metrics.clone();
    let guard = metrics.subscriber();
    let events = WatchStream::new(receiver).filter_map(move |published| {
        let _counted = &guard;
        let published = published?;
        let id = format!("{}.{}", published.generation, published.version);
        if has.as_deref() == Some(id.as_str()) {
            return None;
        }
        let announcement = Announcement {
            version: published.version,
            generation: published.generation,
            hash: &published.hash,
        };
        let event = Event::default().event("manifest").id(id).json_data(&announcement);
        event.ok().map(Ok::<_, Infallible>)
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)).text("still here")))
}
