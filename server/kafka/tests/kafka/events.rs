//! Events as clients send them, and batches of them.

use std::{collections::BTreeSet, sync::Arc};

use evenhand_kafka::KafkaSink;
use evenhand_pipeline::{ContentKind, IngestError, IngestMeta, Ingestion, KeyKind, Pseudonyms, ingest::Pseudonymiser};

pub const NOW: i64 = 1_795_392_000_000;

pub fn id(n: u64) -> String {
    format!("0190a000-0000-7000-8000-{n:012x}")
}

/// An event of this number, of one of a hundred users.
pub fn event(n: u64) -> String {
    format!(
        r#"{{"event_id":"{}","event_name":"buy","timestamp":{},"user_id":"user-{}","value":"{}","properties":{{"page":"/p/{n}"}}}}"#,
        id(n),
        NOW - 1_000,
        n % 100,
        n % 7
    )
}

pub fn meta() -> IngestMeta {
    IngestMeta {
        received_at_ms: NOW,
        content: ContentKind::Json,
        key_id: "key-1".into(),
        key_kind: KeyKind::Server,
        sdk: None,
        import: false,
    }
}

pub fn ingestion(sink: &KafkaSink) -> Ingestion {
    Ingestion::new(
        sink.environment("production"),
        Pseudonymiser::shared(&Pseudonyms::Off).unwrap(),
    )
}

/// Sends the events of these numbers as one request.
pub async fn send(ingestion: &Ingestion, numbers: std::ops::Range<u64>) -> Result<(), IngestError> {
    let events: Vec<String> = numbers.map(event).collect();
    let body = format!("[{}]", events.join(","));
    let outcome = ingestion.ingest(body.as_bytes(), meta()).await?;
    assert!(outcome.rejected.is_empty(), "{outcome:?}");
    Ok(())
}

/// The event ids among these values.
pub fn ids<'v>(values: impl IntoIterator<Item = &'v str>) -> BTreeSet<String> {
    values
        .into_iter()
        .map(|value| {
            let value: serde_json::Value = serde_json::from_str(value).unwrap();
            value["event"]["event_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Sends batches of `size` from `senders` tasks at once until told to stop; the numbers of the events that were acknowledged.
pub async fn load(ingestion: Ingestion, senders: u64, size: u64, stop: Arc<std::sync::atomic::AtomicBool>) -> Vec<u64> {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..senders {
        let (ingestion, next, stop) = (ingestion.clone(), Arc::clone(&next), Arc::clone(&stop));
        tasks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !stop.load(Relaxed) {
                let first = next.fetch_add(size, Relaxed);
                if send(&ingestion, first..first + size).await.is_ok() {
                    acknowledged.extend(first..first + size);
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            acknowledged
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}
