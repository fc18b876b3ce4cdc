//! Looks at the results of everything that runs, again and again, and asks for what follows from them: harm is stopped, ramps climb, bandits turn, planned looks are taken.
//! Of several nodes one looks; that each request is judged again inside its change keeps two that both believe to be the one from doing anything twice.

mod bandit;
mod gauges;
mod guard;
mod look;
mod ramp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenhand_manage::steward::{Running, STEWARD, StewardOrder};
use evenhand_manage::{ExperimentAction, Manage, ManageError, Order};
use evenhand_pipeline::{ExperimentResults, ResultsQuery};

use crate::config::Steward as Settings;
use crate::node::Lead;
use crate::platform::{Platform, StreamError};

pub use gauges::Gauges;

/// How long one look at one experiment may take; the next is not kept waiting longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Begins to look, until the process ends.
pub fn start(
    manage: Arc<Manage>,
    platform: Arc<Platform>,
    lead: Lead,
    settings: &Settings,
    gauges: Arc<Gauges>,
) -> Option<tokio::task::JoinHandle<()>> {
    if !settings.enabled {
        tracing::warn!(
            "steward.enabled is false: this node kills nothing by itself, and ramps and bandits stand still unless another node tends them"
        );
        return None;
    }
    let every = Duration::from_millis(settings.every_ms.get());
    let steward = Steward {
        manage,
        platform,
        gauges,
        looked_ms: BTreeMap::new(),
    };
    Some(tokio::spawn(steward.go_on(lead, every)))
}

struct Steward {
    manage: Arc<Manage>,
    platform: Arc<Platform>,
    gauges: Arc<Gauges>,
    /// When a bandit was last looked at, by environment and experiment. A restart looks at once, which changes nothing that is not due.
    looked_ms: BTreeMap<(String, String), i64>,
}

impl Steward {
    async fn go_on(mut self, mut lead: Lead, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        // A look that took longer than the pause is followed by a pause, not by another look at once.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let leads = !self.manage.only_assigns() && lead.is_mine().await;
            self.gauges.leads(leads);
            if leads {
                self.look().await;
            }
        }
    }

    async fn look(&mut self) {
        for environment in self.manage.environments() {
            for running in self.manage.running(&environment) {
                let key = running.definition.key.clone();
                self.gauges.looked();
                match tokio::time::timeout(PATIENCE, self.tend(&environment, &running)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => self.failed(&environment, &key, &why),
                    Err(_) => self.failed(&environment, &key, "its results were not there within 30 s"),
                }
            }
        }
    }

    fn failed(&self, environment: &str, experiment: &str, why: &str) {
        self.gauges.failed();
        tracing::warn!(
            environment,
            experiment,
            why,
            "a running experiment was not looked after; trying again at the next look"
        );
    }

    async fn tend(&mut self, environment: &str, running: &Running) -> Result<(), String> {
        let Some(results) = self.results(environment, running).await? else {
            return Ok(());
        };
        // First, because whatever stops the experiment stops its looks too, and this one's moment has come.
        if let Some(found) = look::look(&results)? {
            self.ask(environment, running, found).await?;
        }
        for found in guard::look(running, &results) {
            let what = found.request.clone();
            if self.ask(environment, running, found).await? && guard::stops(&what) {
                // Off by now: nothing is to grow or to turn.
                return Ok(());
            }
        }
        if let Some((request, because)) = ramp::look(running, &results, self.manage.now_ms(), self.manage.minute_ms()) {
            self.ask(environment, running, Found { request, because }).await?;
        }
        self.turn(environment, running, &results).await
    }

    async fn turn(&mut self, environment: &str, running: &Running, results: &ExperimentResults) -> Result<(), String> {
        let (Some(plan), Some(epoch)) = (&running.definition.bandit, running.phase.epoch()) else {
            return Ok(());
        };
        let now_ms = self.manage.now_ms();
        let place = (environment.to_owned(), running.definition.key.clone());
        let last = self.looked_ms.get(&place).copied().unwrap_or(0).max(epoch.started_ms);
        if now_ms - last < i64::from(plan.update_minutes) * self.manage.minute_ms() {
            return Ok(());
        }
        self.looked_ms.insert(place, now_ms);
        let turn = bandit::look(plan, running, results)?;
        for found in turn.found {
            self.ask(environment, running, found).await?;
        }
        if let Some((variation, because)) = turn.ship {
            self.ship(environment, running, variation, because).await?;
        }
        Ok(())
    }

    /// Only as it was looked at: whatever a person or another node did meanwhile comes first.
    async fn ship(
        &self,
        environment: &str,
        running: &Running,
        variation: String,
        because: String,
    ) -> Result<(), String> {
        tracing::warn!(
            environment,
            experiment = running.definition.key,
            variation,
            because,
            "shipped by itself"
        );
        let order = Order {
            environment: environment.to_owned(),
            experiment: running.definition.key.clone(),
            action: ExperimentAction::Ship { variation },
            actor: STEWARD.to_owned(),
            reason: Some(because),
            version: Some(running.version),
        };
        match self.manage.act(order).await {
            Ok(_) => {
                self.gauges.acted("ship");
                Ok(())
            }
            Err(ManageError::VersionConflict { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn results(&self, environment: &str, running: &Running) -> Result<Option<ExperimentResults>, String> {
        let (key, phase) = (&running.definition.key, running.phase.phase);
        let query = ResultsQuery {
            take_look: true,
            ..ResultsQuery::default()
        };
        let found = self.platform.results_of(environment, key, phase, query).await;
        found.map_err(|error| match error {
            StreamError::Internal(why) | StreamError::Elsewhere(why) | StreamError::Impossible(why) => why,
        })
    }

    async fn ask(&self, environment: &str, running: &Running, found: Found) -> Result<bool, String> {
        let Found { request, because } = found;
        let acts = guard::acts(&request);
        let order = StewardOrder {
            environment: environment.to_owned(),
            experiment: running.definition.key.clone(),
            phase: running.phase.phase,
            request,
            because: because.clone(),
        };
        let done = self.manage.steward(order).await.map_err(|error| error.to_string())?;
        if done {
            self.gauges.acted(acts);
            tracing::warn!(
                environment,
                experiment = running.definition.key,
                act = acts,
                because,
                "done by itself"
            );
        }
        Ok(done)
    }
}

/// What follows from results.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub request: evenhand_manage::steward::Request,
    /// Why, in a sentence.
    pub because: String,
}
