//! One machine: a pipeline an environment, below the data directory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use evenhand_manage::Manage;
use evenhand_pipeline::{Gauges, MemoryBudget, Pipeline, PipelineConfig, Pseudonyms};

use crate::catalog;
use crate::config::Config;
use crate::durable_dir;

/// All environments' pipelines.
pub struct Pipelines {
    manage: Arc<Manage>,
    config: Config,
    pipelines: RwLock<BTreeMap<String, Pipeline>>,
    /// One at a time: of two the one with the older catalog must not come last.
    following: Mutex<()>,
    /// One for all environments.
    memory: MemoryBudget,
}

impl Pipelines {
    /// Opens the pipeline of every environment there is, with its catalog.
    pub fn open(manage: Arc<Manage>, config: Config) -> Result<Pipelines, String> {
        let pipelines = Pipelines {
            manage,
            config,
            pipelines: RwLock::new(BTreeMap::new()),
            following: Mutex::new(()),
            memory: MemoryBudget::default(),
        };
        pipelines.follow_catalog()?;
        Ok(pipelines)
    }

    /// Gives every pipeline the newest catalog; opens those of new environments. Called at each change of definitions, and by whoever
    /// misses in a pipeline what may have been defined a moment ago.
    pub fn follow_catalog(&self) -> Result<(), String> {
        let _one_at_a_time = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        for (environment, phases) in &self.manage.catalog().environments {
            let pipeline = self
                .open_or_get(environment)
                .map_err(|e| format!("environment {environment}: {e}"))?;
            let catalog = Arc::new(catalog::for_pipeline(phases));
            if *pipeline.catalog() != *catalog {
                pipeline
                    .set_catalog(catalog)
                    .map_err(|e| format!("environment {environment}: {e}"))?;
            }
        }
        Ok(())
    }

    fn open_or_get(&self, environment: &str) -> Result<Pipeline, String> {
        if let Some(pipeline) = self.pipeline(environment) {
            return Ok(pipeline);
        }
        let mut pipelines = self.pipelines.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = pipelines.get(environment) {
            return Ok(pipeline.clone());
        }
        let dir = self.dir(environment);
        durable_dir::create(&dir)?;
        let opened = Pipeline::open(&dir, &self.pipeline_config()).map_err(|e| e.to_string())?;
        pipelines.insert(environment.to_owned(), opened.clone());
        Ok(opened)
    }

    /// Where an environment's events lie.
    fn dir(&self, environment: &str) -> PathBuf {
        self.config.data_dir.join("events").join(environment)
    }

    fn pipeline_config(&self) -> PipelineConfig {
        let mut config = PipelineConfig::new(self.config.pseudonym_key_path());
        config.memory = self.memory.clone();
        if self.config.store_plain_unit_ids {
            config.pseudonyms = Pseudonyms::Off;
        }
        config
    }

    /// The pipeline of an environment.
    pub fn pipeline(&self, environment: &str) -> Option<Pipeline> {
        self.pipelines
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(environment)
            .cloned()
    }

    /// What keeps the process from being ready.
    pub fn missing(&self) -> Vec<String> {
        let environments = self.manage.environments();
        let closed = environments.iter().filter(|e| self.pipeline(e).is_none());
        closed
            .map(|e| format!("the event pipeline of environment {e}"))
            .collect()
    }

    /// What each environment's pipeline counts.
    pub fn gauges(&self) -> Vec<(String, Gauges)> {
        let pipelines = self.pipelines.read().unwrap_or_else(PoisonError::into_inner);
        pipelines.iter().map(|(name, p)| (name.clone(), p.gauges())).collect()
    }
}
