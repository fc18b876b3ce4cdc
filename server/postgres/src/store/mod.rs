//! Definitions in PostgreSQL: the tables of the embedded store, for many nodes at once.

mod commit;
mod read;

use std::sync::Arc;

use evenhand_manage::model::Lists;
use evenhand_manage::store::audit::{AuditRecord, ChainHead, ChainReport};
use evenhand_manage::store::{AuditQuery, Commit, DefinitionStore, Loaded, ManifestVersion};
use evenhand_manage::{ManageError, Result};

use crate::Postgres;

/// How long an id list is kept after no segment names it any more: others may still serve the manifest before, and SDKs hold it.
/// It goes with the first change of a segment after that.
pub const KEPT_LISTS_MS: i64 = 24 * 60 * 60 * 1000;

/// A store of definitions. Its calls block, and may be made on any thread.
#[derive(Debug)]
pub struct PostgresStore {
    database: Postgres,
}

impl PostgresStore {
    pub(crate) fn new(database: Postgres) -> Self {
        Self { database }
    }
}

impl DefinitionStore for PostgresStore {
    fn load(&mut self, known: &Lists) -> Result<Loaded> {
        self.database.read(|pool| read::load(pool, known))
    }

    fn head(&mut self) -> Result<ChainHead> {
        self.database.read(read::head)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<()> {
        let rows = commit::Rows::of(commit);
        self.database.block_on(commit::commit(&self.database, &rows))?
    }

    fn audit(&mut self, query: &AuditQuery) -> Result<Vec<AuditRecord>> {
        self.database.read(|pool| read::audit(pool, query))
    }

    fn verify_audit(&mut self) -> Result<ChainReport> {
        self.database.read(read::verify_audit)
    }

    fn manifests(&mut self, environment: &str, before: Option<u64>, limit: usize) -> Result<Vec<ManifestVersion>> {
        self.database
            .read(|pool| read::manifests(pool, environment, before, limit))
    }

    fn manifest(&mut self, environment: &str, version: u64) -> Result<Option<ManifestVersion>> {
        self.database.read(|pool| read::manifest(pool, environment, version))
    }

    fn list(&mut self, sha256: &str) -> Result<Option<Arc<[u8]>>> {
        self.database.read(|pool| read::list(pool, sha256))
    }
}

/// Versions and counters stay far below 2^63: they grow by one at a time.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn uint(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(|_| {
        ManageError::Store(format!(
            "the store holds {stored} where a number from 0 is: restore it from a backup"
        ))
    })
}
