//! SQLite: one file, WAL, synchronous FULL, so that a change that was answered is on disk.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::audit::{AuditRecord, ChainHead, ChainReport, GENESIS};
use super::{AuditQuery, CHAIN_MOVED, Commit, DefinitionStore, KEPT_MANIFESTS, Loaded, ManifestVersion};
use crate::model::{Lists, Model, StoredRow};
use crate::problem::{ManageError, Result};

/// The layout of the file; another one is refused.
const LAYOUT: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE documents (
    kind TEXT NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL,
    version INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, scope, key)
) WITHOUT ROWID;
CREATE TABLE salts (salt TEXT PRIMARY KEY, state INTEGER NOT NULL, length INTEGER NOT NULL, UNIQUE (state, length)) WITHOUT ROWID;
CREATE TABLE lists (sha256 TEXT PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
    project TEXT, environment TEXT, before TEXT NOT NULL, after TEXT NOT NULL, published TEXT NOT NULL,
    prev_hash TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX audit_by_target ON audit (target, seq);
CREATE INDEX audit_by_environment ON audit (environment, seq);
CREATE TABLE manifests (
    environment TEXT NOT NULL, version INTEGER NOT NULL, generation INTEGER NOT NULL, issued_at_ms INTEGER NOT NULL,
    server_hash TEXT NOT NULL, client_hash TEXT NOT NULL, audit_seq INTEGER NOT NULL, server_bytes BLOB, client_bytes BLOB,
    PRIMARY KEY (environment, version)
);
";

const AUDIT_COLUMNS: &str =
    "seq, at_ms, actor, action, target, project, environment, before, after, published, prev_hash, hash";

/// The embedded store.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
}

impl SqliteStore {
    /// Opens or creates the file.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let layout: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match layout {
            0 => {
                connection.execute_batch("BEGIN IMMEDIATE")?;
                connection.execute_batch(SCHEMA)?;
                connection.pragma_update(None, "user_version", LAYOUT)?;
                connection.execute_batch("COMMIT")?;
            }
            LAYOUT => {}
            other => {
                return Err(ManageError::File {
                    path: path.display().to_string(),
                    message: format!(
                        "its layout is {other}, this program writes {LAYOUT}: run the program that wrote it, or restore a backup"
                    ),
                });
            }
        }
        Ok(Self { connection })
    }
}

impl DefinitionStore for SqliteStore {
    fn load(&mut self, known: &Lists) -> Result<Loaded> {
        // One transaction, so that what is read belongs together.
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let loaded = load(&transaction, known)?;
        transaction.commit()?;
        Ok(loaded)
    }

    fn head(&mut self) -> Result<ChainHead> {
        head(&self.connection)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let head = head(&transaction)?;
        if commit.audit.prev_hash != head.hash {
            return Err(ManageError::conflict(
                CHAIN_MOVED,
                "another process wrote to the store in between; nothing was changed: try again",
            ));
        }
        write_documents(&transaction, commit)?;
        for salt in commit.salts {
            transaction
                .prepare_cached("INSERT INTO salts (salt, state, length) VALUES (?1, ?2, ?3)")?
                .execute(params![salt.salt, salt.state, salt.length])?;
        }
        for (sha256, bytes) in commit.lists {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO lists (sha256, bytes) VALUES (?1, ?2)")?
                .execute(params![sha256, &bytes[..]])?;
        }
        write_audit(&transaction, commit.audit)?;
        for manifest in commit.manifests {
            write_manifest(&transaction, manifest)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn audit(&mut self, query: &AuditQuery) -> Result<Vec<AuditRecord>> {
        let sql = format!(
            "SELECT {AUDIT_COLUMNS} FROM audit WHERE seq < ?1 AND (?2 IS NULL OR project = ?2) AND (?3 IS NULL OR environment = ?3)
             AND (?4 IS NULL OR target = ?4) ORDER BY seq DESC LIMIT ?5"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let before = query.before.map_or(i64::MAX, int);
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let records = statement.query_map(
            params![before, query.project, query.environment, query.target, limit],
            read_audit,
        )?;
        records.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().collect()
    }

    fn verify_audit(&mut self) -> Result<ChainReport> {
        let mut statement = self
            .connection
            .prepare(&format!("SELECT {AUDIT_COLUMNS} FROM audit ORDER BY seq"))?;
        let mut rows = statement.query([])?;
        let mut head = ChainHead {
            seq: 0,
            hash: GENESIS.into(),
        };
        while let Some(row) = rows.next()? {
            let seq = uint(row, 0)?;
            let fault = match read_audit(row)? {
                Ok(record) => {
                    let fault = record.fault_after(&head)?;
                    if fault.is_none() {
                        head = record.head();
                    }
                    fault
                }
                Err(error) => Some(error.to_string()),
            };
            if fault.is_some() {
                return Ok(ChainReport {
                    intact: false,
                    records: head.seq,
                    head: head.hash,
                    broken_at: Some(seq),
                    message: fault,
                });
            }
        }
        Ok(ChainReport {
            intact: true,
            records: head.seq,
            head: head.hash,
            broken_at: None,
            message: None,
        })
    }

    fn manifests(&mut self, environment: &str, before: Option<u64>, limit: usize) -> Result<Vec<ManifestVersion>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT environment, version, generation, issued_at_ms, server_hash, client_hash, audit_seq, NULL, NULL FROM manifests
             WHERE environment = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3",
        )?;
        let before = before.map_or(i64::MAX, int);
        let found = statement.query_map(
            params![environment, before, i64::try_from(limit).unwrap_or(i64::MAX)],
            read_manifest,
        )?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    fn manifest(&mut self, environment: &str, version: u64) -> Result<Option<ManifestVersion>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT environment, version, generation, issued_at_ms, server_hash, client_hash, audit_seq, server_bytes, client_bytes FROM manifests
             WHERE environment = ?1 AND version = ?2",
        )?;
        Ok(statement
            .query_row(params![environment, int(version)], read_manifest)
            .optional()?)
    }

    fn list(&mut self, sha256: &str) -> Result<Option<Arc<[u8]>>> {
        list(&self.connection, sha256)
    }
}

/// Versions and counters stay far below 2^63: they grow by one at a time.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let stored: i64 = row.get(column)?;
    u64::try_from(stored).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, stored))
}

fn load(connection: &Connection, known: &Lists) -> Result<Loaded> {
    let mut model = Model::default();
    let mut documents =
        connection.prepare("SELECT kind, scope, key, version, created_ms, updated_ms, body FROM documents")?;
    let mut rows = documents.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, scope, key, body): (String, String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(6)?);
        let (version, created_ms, updated_ms) = (uint(row, 3)?, row.get(4)?, row.get(5)?);
        model.load(&StoredRow {
            kind: &kind,
            scope: &scope,
            key: &key,
            version,
            created_ms,
            updated_ms,
            body: &body,
        })?;
    }
    let mut salts = connection.prepare("SELECT state, length FROM salts")?;
    model.salts = Arc::new(
        salts
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?,
    );
    load_lists(connection, &mut model, known)?;
    let mut newest = connection.prepare(
        "SELECT environment, version, generation, issued_at_ms, server_hash, client_hash, audit_seq, server_bytes, client_bytes FROM manifests AS m
         WHERE version = (SELECT max(version) FROM manifests WHERE environment = m.environment)",
    )?;
    let published = newest.query_map([], read_manifest)?.collect::<rusqlite::Result<_>>()?;
    let head = head(connection)?;
    Ok(Loaded { model, published, head })
}

fn load_lists(connection: &Connection, model: &mut Model, known: &Lists) -> Result<()> {
    let named = model.named_lists();
    // Replaced lists are kept while the process that replaced them runs, for SDKs that still hold the manifest before; then they go.
    connection.execute(
        "DELETE FROM lists WHERE sha256 NOT IN (SELECT value FROM json_each(?1))",
        [serde_json::Value::from(named.clone()).to_string()],
    )?;
    for sha256 in named {
        if Arc::make_mut(&mut model.lists).share(known, &sha256) {
            continue;
        }
        let bytes = list(connection, &sha256)?.ok_or_else(|| ManageError::missing_list(&sha256))?;
        Arc::make_mut(&mut model.lists).insert(bytes)?;
    }
    Ok(())
}

fn list(connection: &Connection, sha256: &str) -> Result<Option<Arc<[u8]>>> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM lists WHERE sha256 = ?1")?;
    Ok(statement
        .query_row([sha256], |row| row.get::<_, Vec<u8>>(0))
        .optional()?
        .map(Arc::from))
}

fn head(connection: &Connection) -> Result<ChainHead> {
    let last = connection.query_row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", [], |row| {
        Ok(ChainHead {
            seq: uint(row, 0)?,
            hash: row.get(1)?,
        })
    });
    Ok(last.optional()?.unwrap_or_else(|| ChainHead {
        seq: 0,
        hash: GENESIS.into(),
    }))
}

fn write_documents(transaction: &Transaction<'_>, commit: &Commit<'_>) -> Result<()> {
    for change in commit.changes {
        let body = change.after.to_string();
        let written = match change.expected {
            None => transaction
                .prepare_cached("INSERT OR IGNORE INTO documents (kind, scope, key, version, created_ms, updated_ms, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(params![change.kind, change.scope, change.key, int(change.version), change.created_ms, commit.at_ms, body])?,
            Some(expected) => transaction
                .prepare_cached("UPDATE documents SET version = ?4, updated_ms = ?5, body = ?6 WHERE kind = ?1 AND scope = ?2 AND key = ?3 AND version = ?7")?
                .execute(params![change.kind, change.scope, change.key, int(change.version), commit.at_ms, body, int(expected)])?,
        };
        if written != 1 {
            let current: Option<u64> = transaction
                .query_row(
                    "SELECT version FROM documents WHERE kind = ?1 AND scope = ?2 AND key = ?3",
                    params![change.kind, change.scope, change.key],
                    |row| uint(row, 0),
                )
                .optional()?;
            return Err(ManageError::VersionConflict {
                kind: change.kind,
                key: change.key.clone(),
                current: current.unwrap_or(0),
                given: change.expected.unwrap_or(0),
            });
        }
    }
    Ok(())
}

fn write_audit(transaction: &Transaction<'_>, record: &AuditRecord) -> Result<()> {
    let sql = format!("INSERT INTO audit ({AUDIT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
    transaction.prepare_cached(&sql)?.execute(params![
        int(record.seq),
        record.at_ms,
        record.actor,
        record.action,
        record.target,
        record.project,
        record.environment,
        record.before.to_string(),
        record.after.to_string(),
        record.published.to_string(),
        record.prev_hash,
        record.hash
    ])?;
    Ok(())
}

fn write_manifest(transaction: &Transaction<'_>, manifest: &ManifestVersion) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO manifests (environment, version, generation, issued_at_ms, server_hash, client_hash, audit_seq, server_bytes, client_bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            manifest.environment,
            int(manifest.version),
            int(manifest.generation),
            manifest.issued_at_ms,
            manifest.server_hash,
            manifest.client_hash,
            int(manifest.audit_seq),
            &manifest.server_bytes[..],
            &manifest.client_bytes[..]
        ])?;
    transaction
        .prepare_cached(
            "UPDATE manifests SET server_bytes = NULL, client_bytes = NULL WHERE environment = ?1 AND version = ?2",
        )?
        .execute(params![
            manifest.environment,
            int(manifest.version.saturating_sub(KEPT_MANIFESTS))
        ])?;
    Ok(())
}

fn read_manifest(row: &Row<'_>) -> rusqlite::Result<ManifestVersion> {
    let bytes = |column: usize| {
        row.get::<_, Option<Vec<u8>>>(column)
            .map(|bytes| Arc::from(bytes.unwrap_or_default()))
    };
    Ok(ManifestVersion {
        environment: row.get(0)?,
        version: uint(row, 1)?,
        generation: uint(row, 2)?,
        issued_at_ms: row.get(3)?,
        server_hash: row.get(4)?,
        client_hash: row.get(5)?,
        audit_seq: uint(row, 6)?,
        server_bytes: bytes(7)?,
        client_bytes: bytes(8)?,
    })
}

/// The outer error is the store's, the inner one that of a record whose JSON can't be read.
fn read_audit(row: &Row<'_>) -> rusqlite::Result<Result<AuditRecord>> {
    let json = |column: usize| -> rusqlite::Result<Result<serde_json::Value>> {
        let text: String = row.get(column)?;
        Ok(serde_json::from_str(&text)
            .map_err(|error| ManageError::Store(format!("the audit record's JSON is damaged: {error}"))))
    };
    let (before, after, published) = (json(7)?, json(8)?, json(9)?);
    let record = AuditRecord {
        seq: uint(row, 0)?,
        at_ms: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        target: row.get(4)?,
        project: row.get(5)?,
        environment: row.get(6)?,
        before: serde_json::Value::Null,
        after: serde_json::Value::Null,
        published: serde_json::Value::Null,
        prev_hash: row.get(10)?,
        hash: row.get(11)?,
    };
    Ok((|| {
        Ok(AuditRecord {
            before: before?,
            after: after?,
            published: published?,
            ..record
        })
    })())
}
