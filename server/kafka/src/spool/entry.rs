//! What a spooled record says: one batch as ingestion gave it, with its environment.

use evenhand_pipeline::{KeyKind, log::NewBatch};
use serde::{Deserialize, Serialize};

/// A batch and the environment it was sent to.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The environment.
    pub environment: String,
    /// The batch.
    pub batch: NewBatch,
}

#[derive(Serialize, Deserialize)]
struct Head {
    environment: String,
    received_at: i64,
    key_id: String,
    key_kind: KeyKind,
    import: bool,
    count: u32,
}

impl Entry {
    /// Length of the head (u32, little-endian), head as JSON, records as in the batch.
    pub(super) fn encode(environment: &str, batch: &NewBatch) -> Result<Vec<u8>, serde_json::Error> {
        let head = serde_json::to_vec(&Head {
            environment: environment.to_owned(),
            received_at: batch.received_at_ms,
            key_id: batch.key_id.clone(),
            key_kind: batch.key_kind,
            import: batch.import,
            count: batch.count,
        })?;
        let mut out = Vec::with_capacity(4 + head.len() + batch.records.len());
        out.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(&batch.records);
        Ok(out)
    }

    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (length, rest) = payload.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?);
        let (head, records) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let head: Head = serde_json::from_slice(head).ok()?;
        Some(Self {
            environment: head.environment,
            batch: NewBatch {
                received_at_ms: head.received_at,
                key_id: head.key_id,
                key_kind: head.key_kind,
                import: head.import,
                count: head.count,
                records: records.to_vec(),
            },
        })
    }
}
