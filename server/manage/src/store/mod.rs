//! Where definitions, the audit log and published manifests are kept. One trait; SQLite below it for one machine, PostgreSQL (`evenhand-postgres`) for many.

pub mod audit;
#[cfg(any(test, feature = "contract-tests"))]
pub mod contract;
mod sqlite;

pub use sqlite::SqliteStore;

use std::sync::Arc;

pub use crate::edit::{Change, DrawnSalt};
use crate::model::{Lists, Model};
use crate::problem::Result;
use audit::{AuditRecord, ChainHead, ChainReport};

/// How many versions of an environment's manifests keep their bytes; of older ones only hashes and times remain.
pub const KEPT_MANIFESTS: u64 = 200;

/// The code of the refusal of a commit whose chain head is another by now: somebody else committed in between.
pub const CHAIN_MOVED: &str = "chain_moved";

/// One published version of an environment's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestVersion {
    /// The environment.
    pub environment: String,
    /// Its generation.
    pub generation: u64,
    /// Its version.
    pub version: u64,
    /// When it was published.
    pub issued_at_ms: i64,
    /// Content hash of the server manifest.
    pub server_hash: String,
    /// Content hash of the client manifest.
    pub client_hash: String,
    /// The audit record it came with.
    pub audit_seq: u64,
    /// The signed server manifest; empty when it is no longer kept.
    pub server_bytes: Arc<[u8]>,
    /// The signed client manifest; empty when it is no longer kept.
    pub client_bytes: Arc<[u8]>,
}

/// Everything one change writes. All of it, or nothing.
#[derive(Debug)]
pub struct Commit<'a> {
    /// When.
    pub at_ms: i64,
    /// New and changed documents.
    pub changes: &'a [Change],
    /// Salts drawn for them.
    pub salts: &'a [DrawnSalt],
    /// Id lists uploaded with it.
    pub lists: &'a [(String, Arc<[u8]>)],
    /// The record of the change; its `prev_hash` must be the head of the chain.
    pub audit: &'a AuditRecord,
    /// The manifests that the change made.
    pub manifests: &'a [ManifestVersion],
}

/// What a store holds when it is opened.
#[derive(Debug)]
pub struct Loaded {
    /// All documents, salts, and the id lists they name.
    pub model: Model,
    /// The newest manifest of each environment.
    pub published: Vec<ManifestVersion>,
    /// The end of the audit chain.
    pub head: ChainHead,
}

/// A page of audit records is asked for by these.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Records before this number; none: from the newest.
    pub before: Option<u64>,
    /// Only those about this project.
    pub project: Option<String>,
    /// Only those about this environment.
    pub environment: Option<String>,
    /// Only those about this thing, such as `experiment/checkout`.
    pub target: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A store of definitions. Calls may block: they are made on a thread of their own.
pub trait DefinitionStore: Send {
    /// Reads everything, as it was at one instant. Id lists that are in `known` are taken from there: their address is their contents.
    fn load(&mut self, known: &Lists) -> Result<Loaded>;
    /// The end of the audit chain: cheap, and whenever anything was committed, another one.
    fn head(&mut self) -> Result<ChainHead>;
    /// Writes one change in one transaction, durable when it returns. A chain whose head is another ([`CHAIN_MOVED`]), or a document that is not at the version
    /// the change expects, refuses all of it.
    fn commit(&mut self, commit: &Commit<'_>) -> Result<()>;
    /// Audit records, newest first.
    fn audit(&mut self, query: &AuditQuery) -> Result<Vec<AuditRecord>>;
    /// Recomputes the whole chain.
    fn verify_audit(&mut self) -> Result<ChainReport>;
    /// Published versions of an environment before `before`, newest first, without their bytes.
    fn manifests(&mut self, environment: &str, before: Option<u64>, limit: usize) -> Result<Vec<ManifestVersion>>;
    /// One published version.
    fn manifest(&mut self, environment: &str, version: u64) -> Result<Option<ManifestVersion>>;
    /// An id list by its content address.
    fn list(&mut self, sha256: &str) -> Result<Option<Arc<[u8]>>>;
}
