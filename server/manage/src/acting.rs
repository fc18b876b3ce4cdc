//! Doing something to an experiment, whoever asks: what is known is gathered first, then all of it is one change.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::act;
use crate::author::check_version;
use crate::decision::{Grounds, MAX_REASON_BYTES, ManifestInForce, ResultsSnapshot, ResultsSource};
use crate::definition::Stored;
use crate::lifecycle::ExperimentAction;
use crate::manage::Manage;
use crate::problem::{ManageError, Result};
use crate::state::ExperimentState;
use crate::writer::Deed;

/// How long an end waits for the results that its record is to hold.
const RESULTS_PATIENCE: Duration = Duration::from_secs(10);

/// What is to be done to an experiment in an environment.
#[derive(Debug, Clone)]
pub struct Order {
    /// The environment's key.
    pub environment: String,
    /// The experiment's key.
    pub experiment: String,
    /// What.
    pub action: ExperimentAction,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// Only when the state still has this version.
    pub version: Option<u64>,
}

impl Manage {
    /// Who says how experiments stand when they are ended. Without one, decision records hold no results.
    pub fn ask_results_of(&self, source: Arc<dyn ResultsSource>) {
        self.results_source().store(Some(Arc::new(source)));
    }

    /// Does it. Answers when it is on disk and published.
    pub async fn act(&self, order: Order) -> Result<Arc<Stored<ExperimentState>>> {
        if order.reason.as_ref().is_some_and(|text| text.len() > MAX_REASON_BYTES) {
            return Err(ManageError::invalid(
                "reason",
                format!("a reason has at most {MAX_REASON_BYTES} bytes"),
                "say it shorter, and keep the rest elsewhere",
            ));
        }
        let deed = Deed {
            actor: order.actor.clone(),
            action: format!("experiment.{}", order.action.name()),
            target: format!("experiment/{}", order.experiment),
            project: None,
            environment: Some(order.environment.clone()),
        };
        let mut grounds = Grounds::none(&order.actor);
        grounds.reason.clone_from(&order.reason);
        if order.action.ends() {
            grounds.results = self.results_now(&order.environment, &order.experiment).await;
        }
        let shared = Arc::clone(self.shared());
        self.change(deed, move |edit| {
            let Order {
                environment,
                experiment,
                action,
                reason,
                version,
                ..
            } = &order;
            if version.is_some() {
                let stored = edit.model.find::<ExperimentState>(environment, experiment)?;
                check_version(stored.as_ref(), experiment, *version)?;
            }
            let in_force = shared.current(environment).map(|published| ManifestInForce {
                generation: published.generation,
                version: published.version,
                hash: published.hash.clone(),
            });
            let grounds = Grounds {
                manifest: in_force,
                ..grounds.clone()
            };
            act::act(edit, environment, experiment, action, &grounds)?;
            if let Some(reason) = reason {
                edit.note("reason", Value::from(reason.as_str()));
            }
            edit.model.find::<ExperimentState>(environment, experiment).cloned()
        })
        .await
    }

    /// The results of the current phase. Whatever is in the way is said, and ends nothing.
    async fn results_now(&self, environment: &str, experiment: &str) -> std::result::Result<ResultsSnapshot, String> {
        let source = self
            .results_source()
            .load_full()
            .ok_or("this node computes no results")?;
        let phase = {
            let model = self.model();
            let state = model
                .experiment_states
                .get(environment, experiment)
                .ok_or("there is no such experiment")?;
            state.body.phase().ok_or("it was never started")?.phase
        };
        match tokio::time::timeout(RESULTS_PATIENCE, source.snapshot(environment, experiment, phase)).await {
            Ok(results) => results,
            Err(_) => Err(format!("they were not there within {} s", RESULTS_PATIENCE.as_secs())),
        }
    }
}
