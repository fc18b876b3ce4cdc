//! Who is calling: the API key of a call's metadata, with HTTP's rules and limits.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{StatusCode, header};
use tonic::Request;

use crate::http::{App, Caller, HttpError, key_of};

/// The caller, valid and within its rate limit.
pub fn admit<T>(app: &App, request: &Request<T>) -> Result<Caller, HttpError> {
    Caller::admit(app, &key(request)?, address(request))
}

/// The key as sent.
pub fn key<T>(request: &Request<T>) -> Result<String, HttpError> {
    let headers = request.metadata().as_ref();
    if !headers.contains_key(header::AUTHORIZATION) && !headers.contains_key("x-evenhand-key") {
        return Err(HttpError::new(
            StatusCode::UNAUTHORIZED,
            "no_key",
            "no API key: put `authorization: Bearer KEY` (or `x-evenhand-key: KEY`) into the metadata of the call",
        ));
    }
    key_of(headers, None)
}

/// From where.
pub fn address<T>(request: &Request<T>) -> Option<IpAddr> {
    request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|connection| connection.0.ip())
}
