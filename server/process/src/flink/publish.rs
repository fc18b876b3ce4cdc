//! Definitions to the catalog topic: what changed since it was published last.

use std::collections::BTreeMap;

use evenhand_kafka::{CatalogRecord, CatalogTopic, KafkaSettings};
use evenhand_pipeline::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{FlinkError, definition::definitions};
use crate::catalogs::Catalogs;

/// Environment, experiment, phase.
type Place = (String, String, u32);

/// A record of the topic. Of two of a place the one with the greater version counts.
#[derive(Serialize, Deserialize)]
struct Record<D> {
    definition: Option<D>,
    environment: String,
    experiment: String,
    phase: u32,
    version: i64,
}

/// What the topic says of a place.
#[derive(Debug, Clone, PartialEq)]
struct Published {
    version: i64,
    /// None: the phase is gone.
    definition: Option<Value>,
}

/// Publishes definitions for a Flink job. One at a time is enough; two publish the same twice, which changes nothing.
pub struct CatalogPublisher {
    topic: CatalogTopic,
    /// None: not read yet, or not since a failure.
    published: Option<BTreeMap<Place, Published>>,
}

impl CatalogPublisher {
    /// Makes the clients.
    ///
    /// # Errors
    /// A setting that Kafka's client does not accept.
    pub fn open(settings: &KafkaSettings) -> Result<Self, FlinkError> {
        Ok(Self {
            topic: CatalogTopic::open(settings)?,
            published: None,
        })
    }

    /// Brings the topic to what is defined; the number of records that it took. It blocks.
    ///
    /// # Errors
    /// Kafka does not answer, or a catalog contradicts itself. To do it again does no harm.
    pub fn publish(&mut self, catalogs: &Catalogs, now_ms: i64) -> Result<usize, FlinkError> {
        catalogs.check()?;
        let published = match self.published.take() {
            Some(published) => published,
            None => fold(self.topic.read()?),
        };
        let changes = changes(&published, catalogs, now_ms)?;
        let records: Vec<(String, String)> = changes
            .iter()
            .map(|((environment, experiment, phase), change)| {
                let record = Record {
                    definition: change.text.as_ref(),
                    environment: environment.clone(),
                    experiment: experiment.clone(),
                    phase: *phase,
                    version: change.published.version,
                };
                let value = serde_json::to_string(&record)
                    .map_err(|e| StoreError::Unusable(format!("it can't be written for Flink: {e}")))?;
                Ok((format!("{environment}/{experiment}/{phase}"), value))
            })
            .collect::<Result<_, StoreError>>()?;
        self.topic
            .add(records.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())))?;
        // Only now: after a failure the topic itself says what it took.
        let mut published = published;
        published.extend(changes.into_iter().map(|(place, change)| (place, change.published)));
        self.published = Some(published);
        Ok(records.len())
    }
}

struct Change {
    published: Published,
    text: Option<Box<RawValue>>,
}

/// What the topic says, of each place.
fn fold(records: Vec<CatalogRecord>) -> BTreeMap<Place, Published> {
    let mut published: BTreeMap<Place, Published> = BTreeMap::new();
    for value in records.into_iter().filter_map(|record| record.value) {
        let record: Record<Value> = match serde_json::from_slice(&value) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%error, "a record of the catalog topic is none of ours; the Flink job stops at it");
                continue;
            }
        };
        let place = (record.environment, record.experiment, record.phase);
        let said = Published {
            version: record.version,
            definition: record.definition,
        };
        if published.get(&place).is_none_or(|known| known.version < said.version) {
            published.insert(place, said);
        }
    }
    published
}

/// What must be said so that the topic holds these catalogs. Phases of an environment that is not known here are left alone: a node whose
/// database is away may not know it yet, and taking everything back is no small matter.
fn changes(
    published: &BTreeMap<Place, Published>,
    catalogs: &Catalogs,
    now_ms: i64,
) -> Result<BTreeMap<Place, Change>, StoreError> {
    let mut wanted: BTreeMap<Place, Box<RawValue>> = BTreeMap::new();
    for (environment, catalog) in &catalogs.0 {
        for ((experiment, phase), text) in definitions(catalog)? {
            wanted.insert((environment.clone(), experiment, phase), text);
        }
    }
    let gone = published
        .iter()
        .filter(|(place, known)| {
            known.definition.is_some() && catalogs.0.contains_key(&place.0) && !wanted.contains_key(*place)
        })
        .map(|(place, _)| (place.clone(), None));
    let gone: Vec<(Place, Option<Box<RawValue>>)> = gone.collect();
    let mut changes = BTreeMap::new();
    for (place, text) in wanted.into_iter().map(|(place, text)| (place, Some(text))).chain(gone) {
        let known = published.get(&place);
        let definition: Option<Value> = text
            .as_ref()
            .map(|text| serde_json::from_str(text.get()))
            .transpose()
            .map_err(|e| StoreError::Unusable(format!("a definition for Flink can't be read back: {e}")))?;
        if known.is_some_and(|known| known.definition == definition) {
            continue;
        }
        // Never back, whatever the clock does.
        let version = known.map_or(now_ms, |known| now_ms.max(known.version.saturating_add(1)));
        let published = Published { version, definition };
        changes.insert(place, Change { published, text });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use evenhand_pipeline::catalog::{Catalog, CatalogExperiment, CatalogVariation};

    use super::*;

    fn phase(id: &str, unit_type: &str) -> CatalogExperiment {
        CatalogExperiment {
            id: id.into(),
            phase: 1,
            unit_type: unit_type.into(),
            start_ms: None,
            planned_end_ms: None,
            analysis: Default::default(),
            aliases: Vec::new(),
            variations: vec![CatalogVariation {
                id: "a".into(),
                weight: 1,
                is_control: true,
                aliases: Vec::new(),
            }],
            epoch_weights: BTreeMap::new(),
            dimensions: Vec::new(),
            metrics: Vec::new(),
        }
    }

    fn catalogs(experiments: Vec<CatalogExperiment>) -> Catalogs {
        Catalogs(BTreeMap::from([("production".to_owned(), Catalog { experiments })]))
    }

    fn take(published: &mut BTreeMap<Place, Published>, wanted: &Catalogs, now_ms: i64) -> Vec<(String, i64, bool)> {
        let changes = changes(published, wanted, now_ms).unwrap();
        let told = changes
            .iter()
            .map(|(place, change)| (place.1.clone(), change.published.version, change.text.is_some()))
            .collect();
        published.extend(changes.into_iter().map(|(place, change)| (place, change.published)));
        told
    }

    #[test]
    fn only_changes_are_told_with_versions_that_grow() {
        let mut published = BTreeMap::new();
        let both = catalogs(vec![phase("e", "user_id"), phase("f", "user_id")]);
        assert_eq!(
            take(&mut published, &both, 100),
            [("e".into(), 100, true), ("f".into(), 100, true)]
        );
        assert!(take(&mut published, &both, 200).is_empty());
        // The clock went back.
        let other = catalogs(vec![phase("e", "device_id"), phase("f", "user_id")]);
        assert_eq!(take(&mut published, &other, 50), [("e".into(), 101, true)]);
        let one = catalogs(vec![phase("e", "device_id")]);
        assert_eq!(take(&mut published, &one, 300), [("f".into(), 300, false)]);
        assert!(take(&mut published, &one, 400).is_empty(), "gone is said once");
        assert!(
            take(&mut published, &Catalogs::default(), 500).is_empty(),
            "an environment that is not known"
        );
        assert_eq!(
            take(&mut published, &both, 600).len(),
            2,
            "f is back, e is as it was first"
        );
    }

    #[test]
    fn the_greatest_version_counts_wherever_it_stands() {
        let record = |version: i64, definition: &str| {
            CatalogRecord {
            key: b"production/e/1".to_vec(),
            value: Some(
                format!(r#"{{"definition":{definition},"environment":"production","experiment":"e","phase":1,"version":{version}}}"#)
                    .into_bytes(),
            ),
        }
        };
        let tombstone = CatalogRecord {
            key: b"production/e/1".to_vec(),
            value: None,
        };
        let strange = CatalogRecord {
            key: b"?".to_vec(),
            value: Some(b"?".to_vec()),
        };
        let folded = fold(vec![record(7, "{}"), record(5, "null"), tombstone, strange]);
        let (_, known) = folded.first_key_value().unwrap();
        assert_eq!((folded.len(), known.version, known.definition.is_some()), (1, 7, true));
    }
}
