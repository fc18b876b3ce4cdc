//! Results by day and by dimension, and the health of the data. Under `/api`, with the admin token.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use evenhand_pipeline::ResultsQuery;
use evenhand_pipeline::analytics::{PhaseAggregates, Slice};
use evenhand_pipeline::catalog::CatalogExperiment;
use evenhand_pipeline::results::arrival::{Arrival, late_events};
use evenhand_pipeline::results::{DailyResults, DimensionResults, HealthResults, by_day, by_dimension, health};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::error::HttpError;
use super::extract::QueryOf;
use super::results::{ResultsParameters, known_dimension, not_done, phase_of};
use crate::platform::{Stream, now_ms};

pub(super) fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(days))
        .routes(routes!(dimension))
        .routes(routes!(checks))
}

async fn cells(
    stream: &Stream,
    experiment: String,
    phase: u32,
    slices: Vec<Slice>,
) -> Result<(CatalogExperiment, Vec<PhaseAggregates>), HttpError> {
    let found = stream.aggregates(experiment, phase, slices).await.map_err(not_done)?;
    found.ok_or_else(|| HttpError::not_found("the phase is gone; ask again"))
}

/// A moment of asking, given to whoever works it out off this thread.
async fn worked_out<T: Send + 'static>(work: impl FnOnce(i64) -> T + Send + 'static) -> Result<T, HttpError> {
    let now = now_ms();
    tokio::task::spawn_blocking(move || work(now))
        .await
        .map_err(HttpError::internal)
}

/// Results by day of first exposure: units and values of each day, and the lift of all units up to it.
#[utoipa::path(get, path = "/api/environments/{environment}/experiments/{experiment}/results/days", tag = "results",
    params(("environment" = String, Path), ("experiment" = String, Path, description = "Key of the experiment or holdout"), ResultsParameters),
    responses((status = 200, description = "One entry a day on which units were first exposed (UTC)", body = DailyResults), (status = 400, description = "No such dimension"), (status = 404, description = "No such experiment, or it was never started")))]
async fn days(
    State(app): State<App>,
    Path((environment, experiment)): Path<(String, String)>,
    QueryOf(asked): QueryOf<ResultsParameters>,
) -> Result<Json<DailyResults>, HttpError> {
    let (stream, phase) = phase_of(&app, &environment, &experiment, asked.phase).await?;
    let query = asked.query()?;
    if let Some(cut) = &query.cut {
        known_dimension(&stream, &experiment, phase, &cut.dimension)?;
    }
    let (experiment, mut found) = cells(&stream, experiment, phase, vec![query.slice(true)]).await?;
    let daily = query.of_cut(found.pop().unwrap_or_default());
    let results = worked_out(move |now| by_day(&experiment, &daily, &query, now)).await?;
    Ok(Json(results))
}

/// Results cut by a dimension, each value by itself: exploration, with intervals that allow for the number of values.
#[utoipa::path(get, path = "/api/environments/{environment}/experiments/{experiment}/results/dimensions/{dimension}", tag = "results",
    params(("environment" = String, Path), ("experiment" = String, Path, description = "Key of the experiment or holdout"), ("dimension" = String, Path, description = "One of the experiment's dimensions"), ResultsParameters),
    responses((status = 200, description = "The values of most units, at most 50", body = DimensionResults), (status = 400, description = "No such dimension"), (status = 404, description = "No such experiment, or it was never started")))]
async fn dimension(
    State(app): State<App>,
    Path((environment, experiment, dimension)): Path<(String, String, String)>,
    QueryOf(asked): QueryOf<ResultsParameters>,
) -> Result<Json<DimensionResults>, HttpError> {
    let (stream, phase) = phase_of(&app, &environment, &experiment, asked.phase).await?;
    let query = asked.query()?;
    if query.cut.is_some() {
        let what = "results are cut by one dimension: leave `dimension` and `value` out here";
        return Err(HttpError::bad_request("bad_parameter", what).field("dimension"));
    }
    known_dimension(&stream, &experiment, phase, &dimension)?;
    let cut = Slice {
        dimension: Some(dimension.clone()),
        daily: false,
    };
    let (experiment, found) = cells(&stream, experiment, phase, vec![Slice::default(), cut]).await?;
    let results = worked_out(move |now| {
        let [whole, cut] = &found[..] else { return None };
        Some(by_dimension(&experiment, &dimension, cut, whole, &query, now))
    })
    .await?
    .ok_or_else(|| HttpError::internal("a slice is missing"))?;
    Ok(Json(results))
}

/// Are the data sound? The sample ratio watched day by day with what may have upset it, units in two variations, values before the exposure;
/// and as this node sees it since it started, whether exposures come of the units it decided, and whether events come in time.
#[utoipa::path(get, path = "/api/environments/{environment}/experiments/{experiment}/results/health", tag = "results",
    params(("environment" = String, Path), ("experiment" = String, Path, description = "Key of the experiment or holdout"), ("phase" = Option<u32>, Query, description = "The phase; the newest when not given")),
    responses((status = 200, description = "One finding a check, and the worst of them", body = HealthResults), (status = 404, description = "No such experiment, or it was never started")))]
async fn checks(
    State(app): State<App>,
    Path((environment, experiment)): Path<(String, String)>,
    QueryOf(asked): QueryOf<ResultsParameters>,
) -> Result<Json<HealthResults>, HttpError> {
    let (stream, phase) = phase_of(&app, &environment, &experiment, asked.phase).await?;
    let query = asked.query()?;
    if query != ResultsQuery::default() {
        let what = "the health is that of a whole phase: only `phase` can be given here";
        return Err(HttpError::bad_request("bad_parameter", what));
    }
    let catalog = stream.catalog();
    let known = catalog
        .experiments
        .iter()
        .find(|e| e.id == experiment && e.phase == phase);
    let dimensions = known.map(|e| e.dimensions.clone()).unwrap_or_default();
    let mut slices = vec![Slice::default(), query.slice(true)];
    slices.extend(dimensions.iter().map(|dimension| Slice {
        dimension: Some(dimension.clone()),
        daily: false,
    }));
    let (experiment, mut found) = cells(&stream, experiment, phase, slices).await?;
    let cuts: Vec<(String, PhaseAggregates)> = dimensions
        .into_iter()
        .zip(found.split_off(found.len().min(2)))
        .collect();
    let due = Duration::from_secs(app.config.exposures_due_s.get().into());
    let ingestion = stream.ingestion();
    let gauges = ingestion.gauges();
    let arrival = Arrival {
        exposure_loss: stream.exposure_loss(&experiment, due).await.map_err(not_done)?,
        late_events: late_events(ingestion.since_ms(), &gauges.exposure_delays, &gauges.other_delays),
    };
    let results = worked_out(move |_| {
        let [whole, daily] = &found[..] else { return None };
        Some(health(&experiment, whole, daily, &cuts, arrival))
    })
    .await?
    .ok_or_else(|| HttpError::internal("a slice is missing"))?;
    Ok(Json(results))
}
