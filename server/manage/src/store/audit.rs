//! The audit log: who changed what when, each record chained to the one before by its hash.

use evenhand_core::sign::canonical;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::idlist::hex;
use crate::problem::{ManageError, Result};

/// The hash before the first record.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When (milliseconds since 1970).
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What was done, such as `experiment.start`.
    pub action: String,
    /// To what, such as `experiment/checkout`.
    pub target: String,
    /// In which project.
    pub project: Option<String>,
    /// In which environment.
    pub environment: Option<String>,
    /// What was there: `kind/scope/key` → document.
    #[schema(value_type = Object)]
    pub before: Value,
    /// What is there now, likewise.
    #[schema(value_type = Object)]
    pub after: Value,
    /// The manifests it made: environment → version.
    #[schema(value_type = Object)]
    pub published: Value,
    /// The hash of the record before.
    pub prev_hash: String,
    /// Hex SHA-256 of `prev_hash` ++ the RFC 8785 form of this record without `prev_hash` and `hash`.
    pub hash: String,
}

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    /// The number of the last record; 0 when there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// What recomputing the chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainReport {
    /// Whether every record is as it was written, none is missing, and the order is right.
    pub intact: bool,
    /// How many records there are.
    pub records: u64,
    /// The hash of the last record; the newest manifests name theirs as `audit_head`.
    pub head: String,
    /// The first record at fault.
    pub broken_at: Option<u64>,
    /// What is wrong with it.
    pub message: Option<String>,
}

/// A record's contents, before it is chained.
#[derive(Debug, Clone, Serialize)]
pub struct AuditEntry {
    /// When.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// In which project.
    pub project: Option<String>,
    /// In which environment.
    pub environment: Option<String>,
    /// What was there.
    pub before: Value,
    /// What is there now.
    pub after: Value,
    /// The manifests it made.
    pub published: Value,
}

#[derive(Serialize)]
struct Hashed<'a> {
    seq: u64,
    #[serde(flatten)]
    entry: &'a AuditEntry,
}

impl AuditRecord {
    /// Chains an entry to the head.
    pub fn chain(head: &ChainHead, entry: AuditEntry) -> Result<Self> {
        let seq = head.seq + 1;
        let hash = hash(&head.hash, seq, &entry)?;
        let AuditEntry {
            at_ms,
            actor,
            action,
            target,
            project,
            environment,
            before,
            after,
            published,
        } = entry;
        Ok(Self {
            seq,
            at_ms,
            actor,
            action,
            target,
            project,
            environment,
            before,
            after,
            published,
            prev_hash: head.hash.clone(),
            hash,
        })
    }

    /// The chain's head once this is its last record.
    pub fn head(&self) -> ChainHead {
        ChainHead {
            seq: self.seq,
            hash: self.hash.clone(),
        }
    }

    /// What is wrong with this record as the one after `head`; none: nothing.
    pub fn fault_after(&self, head: &ChainHead) -> Result<Option<String>> {
        if self.seq != head.seq + 1 {
            return Ok(Some(format!(
                "record {} follows record {}: some are missing",
                self.seq, head.seq
            )));
        }
        if self.prev_hash != head.hash {
            return Ok(Some("it does not name the hash of the record before".into()));
        }
        let entry = AuditEntry {
            at_ms: self.at_ms,
            actor: self.actor.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            project: self.project.clone(),
            environment: self.environment.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            published: self.published.clone(),
        };
        let computed = hash(&self.prev_hash, self.seq, &entry)?;
        Ok((computed != self.hash).then(|| "its contents are not those its hash was made of".into()))
    }
}

fn hash(prev_hash: &str, seq: u64, entry: &AuditEntry) -> Result<String> {
    let record = canonical(&Hashed { seq, entry })
        .map_err(|error| ManageError::Store(format!("an audit record has no canonical form: {error}")))?;
    Ok(hex(&Sha256::new()
        .chain_update(prev_hash.as_bytes())
        .chain_update(&record)
        .finalize()))
}
