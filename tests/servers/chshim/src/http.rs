//! A request of ClickHouse's HTTP interface as one call of the engine.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{DefaultBodyLimit, FromRequest, Multipart, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{engine::Engine, frames};

/// The largest body, unpacked or not.
const BODY_LIMIT: usize = 1 << 30;

/// What answers on the port.
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/ping", get(async || "Ok.\n"))
        .fallback(answer)
        .layer(DefaultBodyLimit::disable())
        .with_state(engine)
}

async fn answer(
    State(engine): State<Arc<Engine>>,
    Query(mut fields): Query<HashMap<String, String>>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let mut body = Vec::new();
    let is_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/form-data"));
    let read = if is_form {
        form(request, &mut fields).await
    } else {
        whole(request, &mut body).await
    };
    if let Err(message) = read {
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let compress = fields.get("compress").is_some_and(|value| value == "1");
    let done = tokio::task::spawn_blocking(move || run(&engine, &fields, body)).await;
    match done.unwrap_or_else(|error| Err(format!("the query panicked: {error}"))) {
        Ok(bytes) => Body::from(if compress { frames::pack(&bytes) } else { bytes }).into_response(),
        Err(message) => {
            let code: String = message
                .split_once("Code: ")
                .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect())
                .unwrap_or_else(|| "1".to_owned());
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [("X-ClickHouse-Exception-Code", code)],
                message,
            )
                .into_response()
        }
    }
}

/// ClickHouse's client sends a query that has parameters as a form: the fields are what the URL would say.
async fn form(request: Request, fields: &mut HashMap<String, String>) -> Result<(), String> {
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| error.to_string())?;
    while let Some(field) = form.next_field().await.map_err(|error| error.to_string())? {
        let name = field.name().unwrap_or_default().to_owned();
        fields.insert(name, field.text().await.map_err(|error| error.to_string())?);
    }
    Ok(())
}

async fn whole(request: Request, body: &mut Vec<u8>) -> Result<(), String> {
    *body = to_bytes(request.into_body(), BODY_LIMIT)
        .await
        .map_err(|error| format!("the body can't be read: {error}"))?
        .to_vec();
    Ok(())
}

fn run(engine: &Engine, fields: &HashMap<String, String>, mut body: Vec<u8>) -> Result<Vec<u8>, String> {
    if fields.get("decompress").is_some_and(|value| value == "1") {
        body = frames::unpack(&body)?;
    }
    let database = fields.get("database").map(String::as_str);
    let statement = fields.get("query").map_or("", |query| query.trim());
    if is_insert(statement)
        && let Some((sql, format)) = format_at_the_end(statement)
    {
        // An empty stream of rows is a well-formed insert of none.
        return if body.is_empty() {
            Ok(Vec::new())
        } else {
            engine.insert(database, sql, format, &body)
        };
    }
    let text = String::from_utf8(body).map_err(|_| "the query is not UTF-8".to_owned())?;
    let text = if statement.is_empty() {
        text
    } else {
        format!("{statement}\n{text}")
    };
    let text = text.trim().trim_end_matches(';');
    let default_format = || fields.get("default_format").map_or("TabSeparated", String::as_str);
    let (sql, format) =
        if is_insert(text) { None } else { format_at_the_end(text) }.unwrap_or_else(|| (text, default_format()));
    let parameters: Vec<(String, String)> = fields
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("param_")?.to_owned(), value.clone())))
        .collect();
    engine.query(database, sql, format, &parameters)
}

fn is_insert(sql: &str) -> bool {
    sql.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("insert"))
}

/// Splits `… FORMAT Name` at the end of a statement, which the library wants as an argument of its own.
fn format_at_the_end(sql: &str) -> Option<(&str, &str)> {
    let sql = sql.trim_end().trim_end_matches(';').trim_end();
    let (rest, name) = sql.rsplit_once(char::is_whitespace)?;
    let (statement, word) = rest.trim_end().rsplit_once(char::is_whitespace)?;
    (word.eq_ignore_ascii_case("format") && name.chars().all(char::is_alphanumeric)).then_some((statement, name))
}
