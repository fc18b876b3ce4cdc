//! Management routes that need the pipelines: results, SQL, export, erasure. Under `/api`, with the admin token.

use std::io::Write;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use bytes::Bytes;
use evenhand_manage::decision::DecisionRecord;
use evenhand_manage::stewardship::Stewardship;
use evenhand_pipeline::catalog::Catalog;
use evenhand_pipeline::{Cut, ExperimentResults, ExportFormat, Pipeline, ResultsQuery, SqlAnswer, SqlError, SqlLimits};
use evenhand_stats::Confidence;
use serde::{Deserialize, Serialize};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::error::HttpError;
use super::extract::{JsonBody, QueryOf};
use crate::platform::{Stream, StreamError};

/// Bytes of an export between the thread that reads and the connection that sends: 16 parts of 64 KiB.
const PARTS_AHEAD: usize = 16;
const PART_BYTES: usize = 64 * 1024;

#[derive(OpenApi)]
#[openapi(tags((name = "results", description = "What came of experiments; raw events; erasure")))]
struct Document;

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(results))
        .merge(super::cuts::documented())
        .routes(routes!(sql))
        .routes(routes!(export))
        .routes(routes!(erase))
}

/// The description of these routes; joined to the management's own at `/api/openapi.json`.
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented().split_for_parts().1
}

/// The routes, behind the admin token.
pub fn router(app: App) -> Router {
    let (router, _) = documented().split_for_parts();
    router
        .layer(axum::middleware::from_fn_with_state(app.clone(), admin_only))
        .with_state(app)
}

async fn admin_only(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Result<Response, HttpError> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '));
    let token = given
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    match token {
        Some(token) if app.manage.is_admin_token(token) => Ok(next.run(request).await),
        _ => Err(HttpError::new(
            StatusCode::UNAUTHORIZED,
            "no_admin_token",
            "this route needs `Authorization: Bearer ADMIN_TOKEN`; the token is in the file admin-token of the data directory",
        )),
    }
}

fn stream(app: &App, environment: &str) -> Result<Stream, HttpError> {
    app.platform
        .stream(environment)
        .ok_or_else(|| no_environment(app, environment))
}

fn no_environment(app: &App, environment: &str) -> HttpError {
    HttpError::not_found(format!(
        "there is no environment {environment:?}; there are {}",
        app.manage.environments().join(", ")
    ))
}

/// The pipeline of this process, for what ClickHouse does better by itself.
fn embedded(app: &App, environment: &str) -> Result<Pipeline, HttpError> {
    stream(app, environment)?.embedded().cloned().ok_or_else(|| {
        HttpError::new(
            StatusCode::CONFLICT,
            "analytics_elsewhere",
            "this deployment keeps its events in ClickHouse: ask it there (the views events, exposures and aggregates have the same columns), or with clickhouse-client for an export",
        )
    })
}

/// Store work off the threads that answer requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
) -> Result<T, HttpError> {
    tokio::task::spawn_blocking(work).await.map_err(HttpError::internal)?
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultsParameters {
    /// The phase; the newest when not given.
    pub(super) phase: Option<u32>,
    /// The epoch inside the phase; the newest seen when not given.
    epoch: Option<u32>,
    /// Only units whose exposure came in with this kind of key: `server`, `client` or `sidecar`.
    key_kind: Option<String>,
    /// Confidence of the intervals, at least 0.5 and below 1; that of the experiment's analysis when not given.
    confidence: Option<f64>,
    /// Only units of one value of this dimension; needs `value`.
    dimension: Option<String>,
    /// The value of `dimension`.
    value: Option<String>,
}

/// Seconds until it is worth asking again for what an engine could not give.
const ASK_AGAIN: u64 = 5;

pub(super) fn not_done(error: StreamError) -> HttpError {
    match error {
        StreamError::Internal(cause) => HttpError::internal(cause),
        StreamError::Elsewhere(message) => {
            tracing::warn!(message, "results or an erasure wait for an engine");
            let mut error = HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "engine_away", message);
            error.retry_after = Some(ASK_AGAIN);
            error
        }
        StreamError::Impossible(message) => HttpError::new(StatusCode::CONFLICT, "counted_by_flink", message),
    }
}

/// The stream of an environment, and the phase of an experiment or holdout that is asked for; the newest where none is.
pub(super) async fn phase_of(
    app: &App,
    environment: &str,
    experiment: &str,
    asked: Option<u32>,
) -> Result<(Stream, u32), HttpError> {
    let phases = |catalog: &Catalog| -> Vec<u32> {
        let of = catalog.experiments.iter().filter(|e| e.id == experiment);
        of.map(|e| e.phase).collect()
    };
    let knows = |catalog: &Catalog| {
        let phases = phases(catalog);
        !phases.is_empty() && asked.is_none_or(|phase| phases.contains(&phase))
    };
    let found = app.platform.stream_that(environment, knows).await.map_err(not_done)?;
    let stream = found.ok_or_else(|| no_environment(app, environment))?;
    let phases = phases(&stream.catalog());
    let newest = phases.iter().max().copied();
    let phase = asked.or(newest).filter(|p| phases.contains(p)).ok_or_else(|| {
        let what = match (newest, asked) {
            (None, _) => format!("nothing named {experiment:?} was started in environment {environment:?}"),
            (Some(newest), wanted) => format!(
                "{experiment:?} has phases 1 to {newest}, not {}",
                wanted.unwrap_or(newest)
            ),
        };
        HttpError::not_found(what)
    })?;
    Ok((stream, phase))
}

impl ResultsParameters {
    pub(super) fn query(&self) -> Result<ResultsQuery, HttpError> {
        let bad = |field: &'static str, what: String| HttpError::bad_request("bad_parameter", what).field(field);
        let mut query = ResultsQuery {
            epoch: self.epoch,
            ..ResultsQuery::default()
        };
        if let Some(kind) = &self.key_kind {
            let kinds = evenhand_pipeline::KeyKind::ALL;
            let found = kinds
                .into_iter()
                .find(|k| serde_json::to_value(k).is_ok_and(|v| v == kind.as_str()));
            query.key_kind = Some(found.ok_or_else(|| {
                let what = format!("{kind:?} is no kind of key; there are server, client, sidecar");
                bad("key_kind", what)
            })?);
        }
        if let Some(level) = self.confidence {
            let known = (0.5..1.0)
                .contains(&level)
                .then(|| Confidence::from_alpha(1.0 - level))
                .and_then(Result::ok);
            let what = "confidence is at least 0.5 and below 1, such as 0.95";
            query.confidence = Some(known.ok_or_else(|| bad("confidence", what.into()))?);
        }
        query.cut = match (&self.dimension, &self.value) {
            (None, None) => None,
            (Some(dimension), Some(value)) => Some(Cut {
                dimension: dimension.clone(),
                value: value.clone(),
            }),
            (Some(_), None) => return Err(bad("value", "`dimension` needs a `value` to cut to".into())),
            (None, Some(_)) => return Err(bad("dimension", "`value` needs the `dimension` that it is of".into())),
        };
        Ok(query)
    }
}

/// A dimension that the phase does not have has no cells, which must not look like having no units.
pub(super) fn known_dimension(stream: &Stream, experiment: &str, phase: u32, dimension: &str) -> Result<(), HttpError> {
    let catalog = stream.catalog();
    let found = catalog
        .experiments
        .iter()
        .find(|e| e.id == experiment && e.phase == phase);
    let known = found.map(|e| e.dimensions.as_slice()).unwrap_or_default();
    if known.iter().any(|one| one == dimension) {
        return Ok(());
    }
    let what = if known.is_empty() {
        format!("{experiment:?} has no dimensions: name some in its definition to cut results by them")
    } else {
        format!(
            "{dimension:?} is no dimension of {experiment:?}; there are {}",
            known.join(", ")
        )
    };
    Err(HttpError::bad_request("unknown_dimension", what).field("dimension"))
}

/// Results, and what was decided on them.
#[derive(Serialize, ToSchema)]
struct Shown {
    #[serde(flatten)]
    results: ExperimentResults,
    /// Who ended the experiment in this phase, why, and the results as they were then; none: it was not ended in it.
    decision: Option<DecisionRecord>,
    /// What was done by itself in this phase; none: nothing.
    stewardship: Option<Stewardship>,
}

/// Results of one phase of an experiment or holdout.
#[utoipa::path(get, path = "/api/environments/{environment}/experiments/{experiment}/results", tag = "results",
    params(("environment" = String, Path), ("experiment" = String, Path, description = "Key of the experiment or holdout"), ResultsParameters),
    responses((status = 200, description = "Per variation units; per metric value, lift, interval; SRM", body = Shown), (status = 404, description = "No such experiment, or it was never started")))]
async fn results(
    State(app): State<App>,
    Path((environment, experiment)): Path<(String, String)>,
    QueryOf(asked): QueryOf<ResultsParameters>,
) -> Result<Json<Shown>, HttpError> {
    let (stream, phase) = phase_of(&app, &environment, &experiment, asked.phase).await?;
    let query = asked.query()?;
    if let Some(cut) = &query.cut {
        known_dimension(&stream, &experiment, phase, &cut.dimension)?;
    }
    let model = app.manage.model();
    let record = model.decisions.get(&environment, &experiment);
    let decision = record
        .filter(|record| record.body.phase == phase)
        .map(|record| record.body.clone());
    let kept = model.stewardships.get(&environment, &experiment);
    let stewardship = kept.map(|kept| kept.body.of_phase(phase));
    let found = app.platform.results_of(&environment, &experiment, phase, query).await;
    let results = found
        .map_err(not_done)?
        .ok_or_else(|| HttpError::not_found("the phase is gone; ask again"))?;
    Ok(Json(Shown {
        results,
        decision,
        stewardship,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SqlQuestion {
    /// One SELECT over the views `events`, `exposures`, `unit_assignments`, `unit_metrics`, `aggregates`, `daily_aggregates`.
    query: String,
    /// Most rows to return, at most 100,000; 10,000 when not given.
    limit: Option<usize>,
}

/// Read-only SQL.
#[utoipa::path(post, path = "/api/environments/{environment}/sql", tag = "results", params(("environment" = String, Path)), request_body = SqlQuestion,
    responses((status = 200, description = "columns, rows, truncated", body = Object), (status = 400, description = "The query is wrong, or would write")))]
async fn sql(
    State(app): State<App>,
    Path(environment): Path<String>,
    JsonBody(asked): JsonBody<SqlQuestion>,
) -> Result<Json<SqlAnswer>, HttpError> {
    let pipeline = embedded(&app, &environment)?;
    let mut limits = SqlLimits::default();
    limits.rows = asked.limit.unwrap_or(limits.rows).min(100_000);
    let answered = blocking(move || {
        pipeline.sql(&asked.query, limits).map_err(|e| match e {
            SqlError::Query(_) => HttpError::bad_request("bad_query", e.to_string()).field("query"),
            SqlError::TimedOut(_) => HttpError::bad_request("query_too_slow", e.to_string()).field("query"),
            SqlError::Store(e) => HttpError::internal(e),
        })
    });
    answered.await.map(Json)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ExportParameters {
    /// `ndjson` (default) or `csv`.
    format: Option<String>,
}

/// Every processed event, streamed.
#[utoipa::path(get, path = "/api/environments/{environment}/export", tag = "results", params(("environment" = String, Path), ExportParameters),
    responses((status = 200, description = "One event a line; X-Evenhand-Events has their number", content_type = "application/x-ndjson")))]
async fn export(
    State(app): State<App>,
    Path(environment): Path<String>,
    QueryOf(asked): QueryOf<ExportParameters>,
) -> Result<Response, HttpError> {
    let (format, media) = match asked.format.as_deref() {
        None | Some("ndjson") => (ExportFormat::Ndjson, "application/x-ndjson"),
        Some("csv") => (ExportFormat::Csv, "text/csv; charset=utf-8"),
        Some(other) => {
            return Err(HttpError::bad_request(
                "bad_parameter",
                format!("{other:?} is no format; there are ndjson and csv"),
            )
            .field("format"));
        }
    };
    let pipeline = embedded(&app, &environment)?;
    let counting = pipeline.clone();
    let count = blocking(move || {
        let counted = counting
            .sql("SELECT COUNT(*) FROM events", SqlLimits::default())
            .map_err(HttpError::internal)?;
        serde_json::to_string(
            counted
                .rows
                .first()
                .and_then(|r| r.first())
                .unwrap_or(&evenhand_pipeline::SqlValue::Integer(0)),
        )
        .map_err(HttpError::internal)
    })
    .await?;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(PARTS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut parts = Parts {
            sender: sender.clone(),
            buffer: Vec::with_capacity(PART_BYTES),
        };
        let written = pipeline
            .export(format, &mut parts, |_, _| {})
            .map_err(std::io::Error::other);
        let ended = written.and_then(|_| parts.flush());
        if let Err(error) = ended {
            // The stream ends in an error, so that the receiver doesn't take a part for the whole.
            tracing::warn!(%error, "an export did not come to its end");
            let _receiver_gone = sender.blocking_send(Err(error));
        }
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok((
        [
            (header::CONTENT_TYPE, media.to_owned()),
            (header::HeaderName::from_static("x-evenhand-events"), count),
        ],
        body,
    )
        .into_response())
}

/// Writes in parts into a bounded channel: a slow receiver slows the reading, it does not fill memory.
struct Parts {
    sender: tokio::sync::mpsc::Sender<Result<Bytes, std::io::Error>>,
    buffer: Vec<u8>,
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let part = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PART_BYTES)));
        self.sender
            .blocking_send(Ok(part))
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the receiver went away"))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Erasure {
    /// The unit type, such as `user_id`.
    unit: String,
    /// The id as the application sends it.
    id: String,
}

#[derive(Serialize, ToSchema)]
struct Erased {
    /// Events that were erased.
    events: usize,
}

/// Erases a user's events and recomputes what they contributed.
#[utoipa::path(post, path = "/api/environments/{environment}/erase", tag = "results", params(("environment" = String, Path)), request_body = Erasure,
    responses((status = 200, description = "Done when this is answered", body = Erased)))]
async fn erase(
    State(app): State<App>,
    Path(environment): Path<String>,
    JsonBody(asked): JsonBody<Erasure>,
) -> Result<Json<Erased>, HttpError> {
    let stream = stream(&app, &environment)?;
    let events = stream.erase(asked.unit, asked.id).await.map_err(not_done)?;
    Ok(Json(Erased { events }))
}
