//! Experiments and layers in an environment: where they stand, what can be done, who would move.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ApiResult, ErrorBody};
use super::request::{Admin, Page, Params, RawBody, Versioned, if_match, page_size};
use crate::act;
use crate::acting::Order;
use crate::decision::{DecisionRecord, Grounds};
use crate::definition::{Environment, Experiment, Layer, Stored};
use crate::edit::Edit;
use crate::lifecycle::{ACTIONS, ActionParameters, ExperimentAction};
use crate::manage::Manage;
use crate::model::INSTALLATION;
use crate::preview::{self, Moves};
use crate::problem::ManageError;
use crate::publish;
use crate::ramp::{self, PlannedStep};
use crate::slots;
use crate::state::{CoolingSlots, ExperimentState, ExperimentStatus, LayerState};
use crate::stewardship::Stewardship;

/// The most ids a preview counts.
const MAX_PREVIEW_IDS: u32 = 1_000_000;
const DEFAULT_PREVIEW_IDS: u32 = 100_000;

/// Which states.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StateQuery {
    /// At most so many items, 1 to 500; none: 100.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only experiments that stand so.
    state: Option<ExperimentStatus>,
}

#[utoipa::path(get, path = "/api/environments/{environment}/experiments", operation_id = "list_experiment_states", tag = "experiments",
    params(("environment" = String, Path, description = "The environment's key"), StateQuery),
    responses((status = 200, description = "A page, by key", body = Page<Stored<ExperimentState>>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn list(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path(environment): Path<String>,
    Params(query): Params<StateQuery>,
) -> ApiResult<Json<Page<Stored<ExperimentState>>>> {
    let model = manage.model();
    model.find::<Environment>(INSTALLATION, &environment)?;
    let states = model
        .experiment_states
        .page(&environment, query.after.as_deref().unwrap_or(""));
    let wanted = states
        .filter(|state| query.state.is_none_or(|wanted| state.body.state == wanted))
        .map(|state| state.as_ref().clone());
    Ok(Json(Page::of(wanted, page_size(query.limit)?, |state| {
        state.body.key.clone()
    })))
}

#[utoipa::path(get, path = "/api/environments/{environment}/experiments/{key}", operation_id = "get_experiment_state", tag = "experiments",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The experiment's key")),
    responses((status = 200, description = "State, phases, epochs, slots, salts; `ETag` is its version", body = Stored<ExperimentState>), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn get(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path((environment, key)): Path<(String, String)>,
) -> ApiResult<Versioned<ExperimentState>> {
    Ok(Versioned(
        StatusCode::OK,
        Arc::clone(manage.model().find::<ExperimentState>(&environment, &key)?),
    ))
}

#[utoipa::path(post, path = "/api/environments/{environment}/experiments/{key}/{action}", operation_id = "act_on_experiment", tag = "experiments", request_body = ActionParameters,
    description = "Does `start`, `pause`, `resume`, `stop`, `ship`, `kill`, `unkill`, `new_phase`, `change_weights`, `change_traffic`, `resize`, `pause_ramp`, `resume_ramp`, `abort_ramp` or `archive`. Answers when it is on disk and published.",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The experiment's key"),
        ("action" = String, Path, description = "What to do (`-` for `_` is fine)"),
        ("If-Match" = Option<String>, Header, description = "Only when the state still has this version")),
    responses((status = 200, description = "The state after it", body = Stored<ExperimentState>),
        (status = 409, description = "The state does not allow it, or is at another version than `If-Match` says", body = ErrorBody), (status = "4XX", description = "Refused; nothing was changed", body = ErrorBody)))]
async fn act(
    State(manage): State<Arc<Manage>>,
    admin: Admin,
    Path((environment, key, action)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: RawBody,
) -> ApiResult<Versioned<ExperimentState>> {
    let mut parameters: ActionParameters = body.json()?;
    let reason = parameters.reason.take();
    let order = Order {
        action: ExperimentAction::from_parts(&action, parameters)?,
        environment,
        experiment: key,
        actor: admin.actor,
        reason,
        version: if_match(&headers)?,
    };
    Ok(Versioned(StatusCode::OK, manage.act(order).await?))
}

#[utoipa::path(get, path = "/api/environments/{environment}/experiments/{key}/decision", operation_id = "get_decision", tag = "experiments",
    description = "Who ended the experiment, why, and the results as they were then. Written once by `stop` or `ship` and never changed.",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The experiment's key")),
    responses((status = 200, description = "The record, as it was written", body = DecisionRecord),
        (status = "4XX", description = "Refused, or the experiment was not ended", body = ErrorBody)))]
async fn decision(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path((environment, key)): Path<(String, String)>,
) -> ApiResult<Json<DecisionRecord>> {
    let record = manage.model().find::<DecisionRecord>(&environment, &key)?.body.clone();
    record.check()?;
    Ok(Json(record))
}

/// What is done to an experiment by itself.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Stewarded {
    /// What was done, and where its ramp stands.
    #[serde(flatten)]
    kept: Stewardship,
    /// What its ramp will do and when, if nothing is harmed and enough units come; before the start: if it were started now.
    plan: Vec<PlannedStep>,
}

#[utoipa::path(get, path = "/api/environments/{environment}/experiments/{key}/stewardship", operation_id = "get_stewardship", tag = "experiments",
    description = "What the server does to the experiment by itself and has done: its ramp with what is to come, what its guard did or would have done, how its bandit moved the weights.",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The experiment's key")),
    responses((status = 200, description = "Done and to come", body = Stewarded), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn stewarded(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path((environment, key)): Path<(String, String)>,
) -> ApiResult<Json<Stewarded>> {
    let model = manage.model();
    let definition = &model.find::<Experiment>(model.project_of(&environment)?, &key)?.body;
    let state = &model.find::<ExperimentState>(&environment, &key)?.body;
    let kept = model.stewardships.get(&environment, &key).map(|kept| kept.body.clone());
    let kept = kept.unwrap_or_else(|| Stewardship {
        key: key.clone(),
        ..Stewardship::default()
    });
    let over = !(state.state.is_live() || state.state == ExperimentStatus::Draft);
    let plan = definition
        .ramp
        .as_ref()
        .filter(|_| !over)
        .map(|planned| ramp::plan(planned, kept.ramp.as_ref(), manage.now_ms(), 60 * manage.minute_ms()));
    Ok(Json(Stewarded {
        kept,
        plan: plan.unwrap_or_default(),
    }))
}

/// Whose moves are counted, and by what action.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PreviewRequest {
    /// The action, by name.
    action: String,
    /// Its parameters.
    #[serde(default)]
    parameters: ActionParameters,
    /// Unit ids to count over.
    #[serde(default)]
    ids: Option<Vec<String>>,
    /// How many made-up ids (`unit-0`, `unit-1`, …) to count over when none are given, at most 1,000,000; none: 100,000.
    #[serde(default)]
    synthetic: Option<u32>,
}

/// Who would move. Targeting, prerequisites and holdouts are not looked at: units they keep out do not move.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Preview {
    /// Shares of all units (of the unit type), computed from the ranges.
    shares: Moves<f64>,
    /// Counts over the ids.
    counts: Moves<u64>,
    /// How many ids were counted.
    ids: u64,
    /// The state as it would be.
    after: ExperimentState,
}

#[utoipa::path(post, path = "/api/environments/{environment}/experiments/{key}/preview", operation_id = "preview_experiment_action", tag = "experiments", request_body = PreviewRequest,
    description = "Says who would move if the action were done now, and whether it would be refused. Nothing is changed. Salts of a next phase lie ready, so the action that follows moves exactly these units.",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The experiment's key")),
    responses((status = 200, description = "Who would move", body = Preview), (status = "4XX", description = "The action would be refused, for this reason", body = ErrorBody)))]
async fn preview(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path((environment, key)): Path<(String, String)>,
    body: RawBody,
) -> ApiResult<Json<Preview>> {
    let request: PreviewRequest = body.json()?;
    // Why is said when it is done.
    let parameters = ActionParameters {
        reason: None,
        ..request.parameters
    };
    let action = ExperimentAction::from_parts(&request.action, parameters)?;
    let synthetic = request.synthetic.unwrap_or(DEFAULT_PREVIEW_IDS);
    if synthetic > MAX_PREVIEW_IDS {
        return Err(ManageError::invalid(
            "synthetic",
            format!("{synthetic} ids"),
            format!("count over at most {MAX_PREVIEW_IDS}"),
        )
        .into());
    }
    let (model, now_ms) = (manage.model(), manage.now_ms());
    let work = move || -> crate::problem::Result<Preview> {
        let before = preview::placement(&model, &environment, &key)?;
        let mut edit = Edit::new(model.as_ref().clone(), now_ms);
        act::act(&mut edit, &environment, &key, &action, &Grounds::none("preview"))?;
        publish::draft(&edit.model, &environment)?.compile(&edit.model)?;
        let after = preview::placement(&edit.model, &environment, &key)?;
        let (before, after) = (before.as_ref(), after.as_ref());
        let counts = match &request.ids {
            Some(ids) => preview::count(before, after, ids.iter().map(String::as_str)),
            None => {
                let made_up: Vec<String> = (0..synthetic).map(|n| format!("unit-{n}")).collect();
                preview::count(before, after, made_up.iter().map(String::as_str))
            }
        };
        Ok(Preview {
            shares: preview::shares(before, after),
            ids: counts.moving + counts.staying + counts.outside,
            counts,
            after: edit.model.find::<ExperimentState>(&environment, &key)?.body.clone(),
        })
    };
    let done = tokio::task::spawn_blocking(work).await;
    Ok(Json(done.map_err(|error| {
        ApiError::Manage(ManageError::Store(error.to_string()))
    })??))
}

/// The slots of a layer in an environment.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct LayerOccupancy {
    /// The layer's key.
    layer: String,
    /// Its unit type.
    unit: String,
    /// Who holds which slots.
    held: Vec<HeldSlots>,
    /// Slots that rest.
    cooling: Vec<CoolingSlots>,
    /// Ranges `[from, to)` that the next experiment may take.
    free: Vec<(u32, u32)>,
    /// How many those are, of 1,000.
    free_slots: u32,
}

/// The slots of one experiment.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct HeldSlots {
    /// The experiment's key.
    experiment: String,
    /// Ranges `[from, to)`.
    slots: Vec<(u32, u32)>,
}

#[utoipa::path(get, path = "/api/environments/{environment}/layers/{key}", operation_id = "get_layer_occupancy", tag = "layers",
    params(("environment" = String, Path, description = "The environment's key"), ("key" = String, Path, description = "The layer's key")),
    responses((status = 200, description = "Who holds which slots, which rest, which are free", body = LayerOccupancy), (status = "4XX", description = "Refused", body = ErrorBody)))]
async fn layer(
    State(manage): State<Arc<Manage>>,
    _admin: Admin,
    Path((environment, key)): Path<(String, String)>,
) -> ApiResult<Json<LayerOccupancy>> {
    let (model, now_ms) = (manage.model(), manage.now_ms());
    let project = model.project_of(&environment)?.to_owned();
    let definition = model.find::<Layer>(&project, &key)?;
    let state = model.find::<LayerState>(&environment, &key)?;
    let in_layer = model
        .experiments
        .scope(&project)
        .filter(|experiment: &&Arc<Stored<Experiment>>| {
            experiment.body.layer.as_ref().is_some_and(|share| share.layer == key)
        });
    let held: Vec<HeldSlots> = in_layer
        .filter_map(|experiment| model.experiment_states.get(&environment, &experiment.body.key))
        .filter(|state| state.body.state.is_live())
        .map(|state| HeldSlots {
            experiment: state.body.key.clone(),
            slots: state.body.slots.clone(),
        })
        .collect();
    let cooling: Vec<_> = state
        .body
        .cooling
        .iter()
        .filter(|slots| slots.until_ms > now_ms)
        .cloned()
        .collect();
    let free = slots::free(held.iter().flat_map(|held| held.slots.clone()), &cooling, now_ms);
    let free_slots = slots::count(&free);
    Ok(Json(LayerOccupancy {
        layer: key,
        unit: definition.body.unit.clone(),
        held,
        cooling,
        free,
        free_slots,
    }))
}

/// The routes.
pub fn router() -> OpenApiRouter<Arc<Manage>> {
    debug_assert_eq!(ACTIONS.len(), 15, "the description of `act` lists every action");
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(preview))
        .routes(routes!(decision))
        .routes(routes!(stewarded))
        .routes(routes!(act))
        .routes(routes!(layer))
}
