//! The events of one environment, wherever they go: taken in, made into results, erased.

use std::sync::Arc;
use std::time::Duration;

use evenhand_pipeline::analytics::{PhaseAggregates, Slice};
use evenhand_pipeline::catalog::{Catalog, CatalogExperiment};
use evenhand_pipeline::process::UnitKey;
use evenhand_pipeline::results::arrival::{ExposureLossHealth, SampledUnits, lost_exposures};
use evenhand_pipeline::{ExperimentResults, IngestError, IngestMeta, IngestOutcome, Ingestion, Pipeline, ResultsQuery};

use super::{now_ms, scaled};

/// Why something was not done.
pub enum StreamError {
    /// A fault of this process.
    Internal(String),
    /// Kafka, ClickHouse or who processes for us is not there, or not far enough; asking again goes on with it.
    Elsewhere(String),
    /// It can't be done as things are set up, however often it is asked for.
    Impossible(String),
}

const NO_ERASURE: &str = "results come from a Flink job, and nothing can be erased from its state: the unit stays in it, and in the topic of unit values, until the state's time has passed (table.exec.state.ttl). To be rid of it before, start the job anew without the unit's events: deploy/flink/README.md, \"Erasure\"";

/// The events of one environment. Cheap to clone.
#[derive(Clone)]
pub enum Stream {
    /// A pipeline of this process.
    Embedded(Pipeline),
    /// Kafka and ClickHouse.
    Scaled(Box<scaled::Stream>),
}

impl Stream {
    /// Takes one request body. Returns when what was accepted is durable.
    pub async fn ingest(&self, body: &[u8], meta: IngestMeta) -> Result<IngestOutcome, IngestError> {
        match self {
            Self::Embedded(pipeline) => pipeline.ingest(body, meta).await,
            Self::Scaled(stream) => stream.ingestion.ingest(body, meta).await,
        }
    }

    /// The experiments and metrics that there are results of.
    pub fn catalog(&self) -> Arc<Catalog> {
        match self {
            Self::Embedded(pipeline) => pipeline.catalog(),
            Self::Scaled(stream) => stream.catalog(),
        }
    }

    /// The results of one phase; none when the catalog does not have it.
    pub async fn results(
        &self,
        experiment: String,
        phase: u32,
        query: ResultsQuery,
    ) -> Result<Option<ExperimentResults>, StreamError> {
        match self {
            Self::Embedded(pipeline) => {
                let pipeline = pipeline.clone();
                off_thread(move || pipeline.results(&experiment, phase, &query)).await
            }
            Self::Scaled(stream) => stream
                .results(&experiment, phase, &query)
                .await
                .map_err(StreamError::Elsewhere),
        }
    }

    /// The experiment's phase with its cells of each slice, all that there are by now; none when the catalog does not have it.
    pub async fn aggregates(
        &self,
        experiment: String,
        phase: u32,
        slices: Vec<Slice>,
    ) -> Result<Option<(CatalogExperiment, Vec<PhaseAggregates>)>, StreamError> {
        let catalog = self.catalog();
        let found = catalog
            .experiments
            .iter()
            .find(|e| e.id == experiment && e.phase == phase);
        let Some(found) = found.cloned() else { return Ok(None) };
        let all = match self {
            Self::Embedded(pipeline) => {
                let pipeline = pipeline.clone();
                off_thread(move || {
                    let of = |slice| Ok(pipeline.aggregates(&experiment, phase, slice)?.unwrap_or_default());
                    slices.iter().map(of).collect::<Result<Vec<_>, _>>()
                })
                .await?
            }
            Self::Scaled(stream) => {
                let mut all = Vec::new();
                for slice in &slices {
                    let of = stream.aggregates(&found, slice).await.map_err(StreamError::Elsewhere)?;
                    all.push(of.unwrap_or_default());
                }
                all
            }
        };
        Ok(Some((found, all)))
    }

    /// The stage that takes events.
    pub fn ingestion(&self) -> &Ingestion {
        match self {
            Self::Embedded(pipeline) => pipeline.ingestion(),
            Self::Scaled(stream) => &stream.ingestion,
        }
    }

    /// Of the sampled units that this node decided in a phase, at least `due` before now and before what processing has come to: which have
    /// an exposure?
    pub async fn exposure_loss(
        &self,
        experiment: &CatalogExperiment,
        due: Duration,
    ) -> Result<ExposureLossHealth, StreamError> {
        let behind_s = match self {
            Self::Embedded(pipeline) => pipeline.gauges().lag_seconds,
            Self::Scaled(stream) => stream.behind().await.map_err(StreamError::Elsewhere)?.1,
        };
        let wait = due.saturating_add(Duration::try_from_secs_f64(behind_s).unwrap_or(Duration::MAX));
        let until = now_ms().saturating_sub(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        let decided = self.ingestion().decided();
        let Some(sample) = decided.decided(&experiment.id, experiment.phase, until) else {
            return Ok(lost_exposures(SampledUnits::default(), SampledUnits::default(), None));
        };
        let by_name = self.exposed(experiment, sample.by_name).await?;
        let listed = self.exposed(experiment, sample.listed).await?;
        Ok(lost_exposures(by_name, listed, Some(sample.since_ms)))
    }

    async fn exposed(&self, experiment: &CatalogExperiment, units: Vec<UnitKey>) -> Result<SampledUnits, StreamError> {
        let decided = units.len() as u64;
        let received = match self {
            Self::Embedded(pipeline) => {
                let (pipeline, id, phase) = (pipeline.clone(), experiment.id.clone(), experiment.phase);
                off_thread(move || pipeline.exposed(&id, phase, &units)).await?
            }
            Self::Scaled(stream) => {
                let found = stream.exposed(experiment, &units).await;
                found.map_err(StreamError::Elsewhere)?
            }
        };
        Ok(SampledUnits { decided, received })
    }

    /// Removes a unit's events and what they contributed; how many there were.
    pub async fn erase(&self, unit_type: String, id: String) -> Result<usize, StreamError> {
        self.ingestion().decided().forget(&unit_type, &id);
        match self {
            Self::Embedded(pipeline) => {
                let pipeline = pipeline.clone();
                off_thread(move || Ok(pipeline.erase(&unit_type, &id)?.events)).await
            }
            Self::Scaled(stream) => {
                if stream.is_loaded().await.map_err(StreamError::Elsewhere)? {
                    return Err(StreamError::Impossible(NO_ERASURE.into()));
                }
                stream.erase(&unit_type, &id).await.map_err(StreamError::Elsewhere)
            }
        }
    }

    /// The pipeline of this process, for what only it can do.
    pub fn embedded(&self) -> Option<&Pipeline> {
        match self {
            Self::Embedded(pipeline) => Some(pipeline),
            Self::Scaled(_) => None,
        }
    }
}

/// Store work off the threads that answer requests.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, evenhand_pipeline::StoreError> + Send + 'static,
) -> Result<T, StreamError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| StreamError::Internal(e.to_string()))?
        .map_err(|e| StreamError::Internal(e.to_string()))
}
