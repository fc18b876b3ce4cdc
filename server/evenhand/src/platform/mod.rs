//! Joins the two halves: what is managed tells the other which experiments there are; events go in, results come out.
//! On one machine the pipelines are in this process ([`embedded`]); beyond it, events go to Kafka and results come from ClickHouse ([`scaled`]).

mod embedded;
pub mod engines;
mod scaled;
mod series;
mod stream;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use evenhand_manage::{KeyKind, Manage};
use evenhand_pipeline::catalog::Catalog;
use evenhand_pipeline::{ExperimentResults, ResultsQuery};
use prometheus_client::registry::Registry;

use crate::config::Config;
use crate::looks;
use embedded::Pipelines;
pub use stream::{Stream, StreamError};

/// Where events go and results come from.
pub struct Platform {
    manage: Arc<Manage>,
    engines: Engines,
}

enum Engines {
    Embedded(Box<Pipelines>),
    Scaled(Arc<scaled::Streams>),
}

impl Platform {
    /// Opens what the configuration names.
    pub fn open(manage: Arc<Manage>, config: Config) -> Result<Platform, String> {
        let engines = if config.events.kafka.is_some() {
            Engines::Scaled(Arc::new(scaled::Streams::open(Arc::clone(&manage), &config)?))
        } else {
            Engines::Embedded(Box::new(Pipelines::open(Arc::clone(&manage), config)?))
        };
        Ok(Platform { manage, engines })
    }

    /// Passes on the newest definitions. Called at each change of them, and by whoever misses what may have been defined a moment ago.
    pub fn follow_catalog(&self) -> Result<(), String> {
        match &self.engines {
            Engines::Embedded(pipelines) => pipelines.follow_catalog(),
            // It reads them when it is asked.
            Engines::Scaled(_) => Ok(()),
        }
    }

    /// The events of an environment.
    pub fn stream(&self, environment: &str) -> Option<Stream> {
        match &self.engines {
            Engines::Embedded(pipelines) => pipelines.pipeline(environment).map(Stream::Embedded),
            Engines::Scaled(streams) => streams
                .stream(environment)
                .map(|stream| Stream::Scaled(Box::new(stream))),
        }
    }

    /// The events of an environment. Where its catalog does not know what is asked for, the newest definitions are passed on first: whoever has just
    /// started something asks before the pipelines have heard.
    pub async fn stream_that(
        self: &Arc<Self>,
        environment: &str,
        knows: impl Fn(&Catalog) -> bool,
    ) -> Result<Option<Stream>, StreamError> {
        if !self.stream(environment).is_some_and(|stream| knows(&stream.catalog())) {
            let following = Arc::clone(self);
            tokio::task::spawn_blocking(move || following.follow_catalog())
                .await
                .map_err(|error| StreamError::Internal(error.to_string()))?
                .map_err(StreamError::Internal)?;
        }
        Ok(self.stream(environment))
    }

    /// Results of one phase, by the looks that were taken at it where it is read by looks; none: the phase is not known, also after the newest
    /// definitions were passed on.
    pub async fn results_of(
        self: &Arc<Self>,
        environment: &str,
        experiment: &str,
        phase: u32,
        mut query: ResultsQuery,
    ) -> Result<Option<ExperimentResults>, StreamError> {
        query.looks =
            looks::taken(&self.manage.model(), environment, experiment, phase).map_err(StreamError::Internal)?;
        let knows = |catalog: &Catalog| {
            (catalog.experiments.iter()).any(|known| known.id == experiment && known.phase == phase)
        };
        let Some(stream) = self.stream_that(environment, knows).await? else {
            return Ok(None);
        };
        stream.results(experiment.to_owned(), phase, query).await
    }

    /// What keeps the process from being ready.
    pub fn missing(&self) -> Vec<String> {
        let environments = self.manage.environments();
        let no_manifest = environments.iter().filter(|e| self.manage.current(e).is_none());
        let mut missing: Vec<String> = no_manifest
            .map(|e| format!("a published manifest of environment {e}"))
            .collect();
        missing.extend(match &self.engines {
            Engines::Embedded(pipelines) => pipelines.missing(),
            Engines::Scaled(streams) => streams.missing(),
        });
        missing
    }

    /// Adds the series that engines keep as such.
    pub fn register(&self, registry: &mut Registry) {
        if let Engines::Scaled(streams) = &self.engines {
            streams.register(registry);
        }
    }

    /// Series of what happens to events, in OpenMetrics text.
    pub fn metrics(&self) -> String {
        match &self.engines {
            Engines::Embedded(pipelines) => series::text(&pipelines.gauges()),
            Engines::Scaled(streams) => {
                series::ingestion_text(&streams.gauges()) + &series::spool_text(&streams.sink())
            }
        }
    }
}

/// The pipeline's word for a kind of key.
pub fn pipeline_kind(kind: KeyKind) -> evenhand_pipeline::KeyKind {
    match kind {
        KeyKind::Server => evenhand_pipeline::KeyKind::Server,
        KeyKind::Client => evenhand_pipeline::KeyKind::Client,
        KeyKind::Sidecar => evenhand_pipeline::KeyKind::Sidecar,
    }
}

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
