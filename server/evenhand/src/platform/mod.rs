//! Joins the two halves: what is managed tells the other which experiments there are; events go in, results come out.
//! On one machine the pipelines are in this process ([`embedded`]).

mod embedded;
mod series;
mod stream;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use evenhand_manage::{KeyKind, Manage};

use crate::config::Config;
use embedded::Pipelines;
pub use stream::Stream;

/// Where events go and results come from.
pub struct Platform {
    manage: Arc<Manage>,
    pipelines: Pipelines,
}

impl Platform {
    /// Opens what the configuration names.
    pub fn open(manage: Arc<Manage>, config: Config) -> Result<Platform, String> {
        Ok(Platform {
            pipelines: Pipelines::open(Arc::clone(&manage), config)?,
            manage,
        })
    }

    /// Passes on the newest definitions. Called at each change of them, and by whoever misses what may have been defined a moment ago.
    pub fn follow_catalog(&self) -> Result<(), String> {
        self.pipelines.follow_catalog()
    }

    /// The events of an environment.
    pub fn stream(&self, environment: &str) -> Option<Stream> {
        self.pipelines.pipeline(environment).map(Stream::Embedded)
    }

    /// What keeps the process from being ready.
    pub fn missing(&self) -> Vec<String> {
        let environments = self.manage.environments();
        let no_manifest = environments.iter().filter(|e| self.manage.current(e).is_none());
        let mut missing: Vec<String> = no_manifest
            .map(|e| format!("a published manifest of environment {e}"))
            .collect();
        missing.extend(self.pipelines.missing());
        missing
    }

    /// Series of what happens to events, in OpenMetrics text.
    pub fn metrics(&self) -> String {
        series::text(&self.pipelines.gauges())
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
