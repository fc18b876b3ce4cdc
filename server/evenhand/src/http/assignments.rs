//! `GET` and `POST /v1/assignments`: the decisions of the core for one context, as JSON. Nothing is logged here: the answer carries the exposures to send.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use evenhand_core::Slots;
use evenhand_core::context_json::{self, ParsedContext, Unusable};
use evenhand_manage::Published;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::App;
use super::error::HttpError;
use super::extract::BodyBytes;
use super::fragments;
use super::keys::Caller;
use super::overrides::{self, Ignored};
use crate::answering::{Answers, MAY_ASK, MOST_FLAGS, context_fault, names, too_many_flags};
use crate::platform::now_ms;
use crate::telemetry;

#[derive(Serialize)]
struct Answer<A> {
    manifest_version: Option<u64>,
    assignments: A,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_overrides: Vec<Ignored>,
}

/// An attribute that no operator can use: it is there, and matches nothing.
#[derive(Serialize)]
struct Warning {
    attribute: String,
    message: String,
}

/// `?user_id=…&device_id=…&context={…}&flags=a,b`
pub async fn by_query(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    caller.require(MAY_ASK)?;
    let mut parsed = ParsedContext::default();
    let mut flags: Option<Vec<String>> = None;
    let mut units: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    let query = query.unwrap_or_default();
    // The parser below replaces what is not UTF-8, and a replaced id would be another user.
    if percent_decode_str(&query).decode_utf8().is_err() {
        return Err(HttpError::bad_request(
            "not_utf8",
            "the query string is not percent-encoded UTF-8; encode ids and context as UTF-8 first",
        ));
    }
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "context" => parsed = context(value.as_bytes(), "context")?,
            "flags" => flags = Some(split_flags(&value)?),
            "key" => {}
            unit if unit.ends_with("_id") => units.push((name, value)),
            other => {
                return Err(HttpError::bad_request(
                    "unknown_parameter",
                    format!("{other:?} is no parameter; there are user_id and other names ending in _id, context (a JSON object), flags, key; attributes go into context"),
                )
                .field(other));
            }
        }
    }
    for (name, value) in units {
        parsed.context.set(&name, &*value);
    }
    answer(&app, &caller, &headers, parsed, flags)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    context: &'a RawValue,
    flags: Option<Vec<String>>,
    #[serde(borrow)]
    sticky: Option<&'a RawValue>,
}

/// `{"context":{…},"flags":[…],"sticky":[…]}`: what a proxy's log does not show.
pub async fn by_body(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    BodyBytes(body): BodyBytes,
) -> Result<Response, HttpError> {
    caller.require(MAY_ASK)?;
    let read: Body<'_> = serde_json::from_slice(&body).map_err(|e| {
        HttpError::bad_request(
            "unreadable",
            format!("the body is not {{\"context\":{{…}},\"flags\":[…],\"sticky\":[…]}}: {e}"),
        )
    })?;
    if read.flags.as_ref().is_some_and(|f| f.len() > MOST_FLAGS) {
        return Err(too_many_flags());
    }
    let mut parsed = context(read.context.get().as_bytes(), "context")?;
    if let Some(sticky) = read.sticky {
        let names = names(&app, &caller);
        let sticky = names.real_sticky(sticky.get());
        context_json::add_sticky(&mut parsed.context, sticky.as_bytes()).map_err(|e| context_fault(&e, "sticky"))?;
    }
    answer(&app, &caller, &headers, parsed, read.flags)
}

fn split_flags(text: &str) -> Result<Vec<String>, HttpError> {
    let flags: Vec<String> = text.split(',').filter(|f| !f.is_empty()).map(str::to_owned).collect();
    if flags.len() > MOST_FLAGS {
        Err(too_many_flags())
    } else {
        Ok(flags)
    }
}

fn context(bytes: &[u8], field: &str) -> Result<ParsedContext, HttpError> {
    context_json::parse_context(bytes).map_err(|e| context_fault(&e, field))
}

fn answer(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    mut parsed: ParsedContext,
    flags: Option<Vec<String>>,
) -> Result<Response, HttpError> {
    let ignored_overrides = overrides::apply(app, &caller.key.environment, headers, &mut parsed.context);
    let published = app.manage.current(&caller.key.environment);
    let names = names(app, caller);
    let warnings = parsed
        .unusable
        .iter()
        .map(|(attribute, why): &(String, Unusable)| Warning {
            attribute: attribute.clone(),
            message: why.to_string(),
        })
        .collect();
    // Many decisions of one snapshot: each attribute is looked up once, not once a rule.
    let slots = published
        .as_deref()
        .map_or_else(Slots::default, |p| Slots::of(&p.snapshot, &parsed.context));
    let assignments =
        Answers::new(published.as_deref(), &names, &slots, now_ms(), flags.as_deref()).noted_by(&app.platform);
    app.metrics.decisions.inc_by(assignments.count() as u64);
    // They are made while they are written.
    let _evaluating = telemetry::evaluation(assignments.count()).entered();
    let manifest_version = published.as_deref().map(|p: &Published| p.version);
    let body = if assignments.whole().is_some() {
        // Everything but the decisions, by serde; the decisions go between the braces of the empty object.
        let shell = Answer {
            manifest_version,
            assignments: BTreeMap::<(), ()>::new(),
            warnings,
            ignored_overrides,
        };
        let shell = serde_json::to_vec(&shell).map_err(HttpError::internal)?;
        let empty = b"\"assignments\":{";
        let at = shell
            .windows(empty.len())
            .position(|w| w == empty)
            .map_or(shell.len(), |at| at + empty.len());
        let (head, tail) = shell.split_at(at);
        let mut body = Vec::with_capacity(shell.len() + assignments.count() * 256);
        body.extend_from_slice(head);
        fragments::write_all(&assignments, &mut body).map_err(HttpError::internal)?;
        body.extend_from_slice(tail);
        body
    } else {
        let whole = Answer {
            manifest_version,
            assignments,
            warnings,
            ignored_overrides,
        };
        serde_json::to_vec(&whole).map_err(HttpError::internal)?
    };
    let json = HeaderValue::from_static("application/json");
    let no_store = HeaderValue::from_static("no-store");
    Ok(([(header::CONTENT_TYPE, json), (header::CACHE_CONTROL, no_store)], body).into_response())
}
