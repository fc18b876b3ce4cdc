//! One change in one transaction: all of it, or nothing, or, when nobody can tell, just that.

use evenhand_manage::definition::Segment;
use evenhand_manage::store::audit::AuditRecord;
use evenhand_manage::store::{CHAIN_MOVED, Commit, KEPT_MANIFESTS, ManifestVersion};
use evenhand_manage::{ManageError, Result};
use sqlx::postgres::PgConnection;
use sqlx::{Postgres as Db, Row as _, Transaction};

use super::{KEPT_LISTS_MS, int};
use crate::Postgres;
use crate::database::{Patience, is_passing, timed_out};
use crate::feed::CHANNEL;

/// A commit in the columns of the tables.
pub(crate) struct Rows<'a> {
    commit: &'a Commit<'a>,
    bodies: Vec<String>,
    before: String,
    after: String,
    published: String,
}

impl<'a> Rows<'a> {
    pub(crate) fn of(commit: &'a Commit<'a>) -> Self {
        Self {
            bodies: commit.changes.iter().map(|change| change.after.to_string()).collect(),
            before: commit.audit.before.to_string(),
            after: commit.audit.after.to_string(),
            published: commit.audit.published.to_string(),
            commit,
        }
    }
}

/// Why a transaction was not written.
enum Failed {
    /// Before COMMIT was sent: the server rolls it back.
    Before(sqlx::Error),
    /// With COMMIT on its way: it may be stored.
    Committing(sqlx::Error),
    /// The state of the store does not allow it.
    Refused(ManageError),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Before(error)
    }
}

/// Writes a change. What was certainly not stored is tried again for a bounded time; what may be stored is looked for.
pub(crate) async fn commit(database: &Postgres, rows: &Rows<'_>) -> Result<()> {
    let settings = database.settings();
    let mut patience = Patience::new(settings.retry);
    loop {
        let error = match transact(database, rows).await {
            Ok(()) => return Ok(()),
            Err(Failed::Refused(error)) => return Err(error),
            Err(Failed::Committing(error)) => {
                tracing::warn!(place = database.place(), %error, "the connection was lost during a commit: looking whether it is stored");
                if is_stored(database, rows.commit.audit, &error).await? {
                    return Ok(());
                }
                error
            }
            Err(Failed::Before(error)) => error,
        };
        if !(is_passing(&error) && patience.wait().await) {
            return Err(database.explain(&error));
        }
    }
}

async fn transact(database: &Postgres, rows: &Rows<'_>) -> Result<(), Failed> {
    let attempt = database.settings().attempt;
    let written = async {
        let mut transaction = database
            .pool()
            .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
            .await?;
        write(&mut transaction, rows).await?;
        Ok::<Transaction<'static, Db>, Failed>(transaction)
    };
    let transaction = tokio::time::timeout(attempt, written)
        .await
        .map_err(|_| Failed::Before(timed_out()))??;
    match tokio::time::timeout(attempt, transaction.commit()).await {
        Ok(Ok(())) => Ok(()),
        // The server said no, in so many words: nothing is stored. That it ends is not a no.
        Ok(Err(error)) if error.as_database_error().is_some() && !is_passing(&error) => Err(Failed::Before(error)),
        Ok(Err(error)) => Err(Failed::Committing(error)),
        Err(_) => Err(Failed::Committing(timed_out())),
    }
}

/// Whether the change is stored. Its transaction holds the row of the chain's head until it ends: who gets that row reads what became of it.
async fn is_stored(database: &Postgres, audit: &AuditRecord, lost: &sqlx::Error) -> Result<bool> {
    let mut patience = Patience::new(database.settings().resolve);
    loop {
        let asked = async {
            let mut transaction = database
                .pool()
                .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
                .await?;
            sqlx::query("SELECT hash FROM audit_head FOR UPDATE")
                .fetch_one(&mut *transaction)
                .await?;
            let found = sqlx::query_scalar("SELECT EXISTS (SELECT FROM audit WHERE seq = $1 AND hash = $2)")
                .bind(int(audit.seq))
                .bind(&audit.hash)
                .fetch_one(&mut *transaction)
                .await?;
            transaction.rollback().await?;
            Ok::<bool, sqlx::Error>(found)
        };
        let error = match tokio::time::timeout(database.settings().attempt, asked).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => error,
            Err(_) => timed_out(),
        };
        if !(is_passing(&error) && patience.wait().await) {
            return Err(ManageError::OutcomeUnknown(format!(
                "{}: {lost}; then it could not be asked: {error}. Record {} of the audit log tells whether the change is stored",
                database.place(),
                audit.seq
            )));
        }
    }
}

async fn write(transaction: &mut PgConnection, rows: &Rows<'_>) -> Result<(), Failed> {
    let (commit, audit) = (rows.commit, rows.commit.audit);
    let moved = sqlx::query("UPDATE audit_head SET seq = $1, hash = $2 WHERE hash = $3")
        .bind(int(audit.seq))
        .bind(&audit.hash)
        .bind(&audit.prev_hash)
        .execute(&mut *transaction)
        .await?;
    if moved.rows_affected() != 1 {
        return Err(Failed::Refused(ManageError::conflict(
            CHAIN_MOVED,
            "another node stored a change in between; nothing was changed: try again",
        )));
    }
    write_documents(transaction, rows).await?;
    if !commit.salts.is_empty() {
        sqlx::query(
            "INSERT INTO salts (salt, state, length) SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::bigint[])",
        )
        .bind(commit.salts.iter().map(|salt| salt.salt.as_str()).collect::<Vec<_>>())
        .bind(
            commit
                .salts
                .iter()
                .map(|salt| i64::from(salt.state))
                .collect::<Vec<_>>(),
        )
        .bind(
            commit
                .salts
                .iter()
                .map(|salt| i64::from(salt.length))
                .collect::<Vec<_>>(),
        )
        .execute(&mut *transaction)
        .await?;
    }
    for (sha256, bytes) in commit.lists {
        sqlx::query("INSERT INTO lists (sha256, bytes) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING")
            .bind(sha256)
            .bind(&bytes[..])
            .execute(&mut *transaction)
            .await?;
    }
    if commit.changes.iter().any(|change| change.kind == "segment") {
        note_unnamed_lists(transaction, commit.at_ms).await?;
    }
    sqlx::query(
        "INSERT INTO audit (seq, at_ms, actor, action, target, project, environment, before, after, published, prev_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(int(audit.seq))
    .bind(audit.at_ms)
    .bind(&audit.actor)
    .bind(&audit.action)
    .bind(&audit.target)
    .bind(&audit.project)
    .bind(&audit.environment)
    .bind(&rows.before)
    .bind(&rows.after)
    .bind(&rows.published)
    .bind(&audit.prev_hash)
    .bind(&audit.hash)
    .execute(&mut *transaction)
    .await?;
    for manifest in commit.manifests {
        write_manifest(transaction, manifest).await?;
    }
    // Other nodes are woken, whatever the change was: API keys are no part of a manifest.
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(audit.seq.to_string())
        .execute(&mut *transaction)
        .await?;
    Ok(())
}

async fn write_documents(transaction: &mut PgConnection, rows: &Rows<'_>) -> Result<(), Failed> {
    let at_ms = rows.commit.at_ms;
    let with_bodies = || rows.commit.changes.iter().zip(&rows.bodies);
    let (new, changed): (Vec<_>, Vec<_>) = with_bodies().partition(|(change, _)| change.expected.is_none());
    let mut written = 0;
    for (group, sql) in [
        (
            &new,
            "INSERT INTO documents (kind, scope, key, version, created_ms, updated_ms, body)
             SELECT c.kind, c.scope, c.key, c.version, c.created_ms, $8, c.body
             FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
               AS c (kind, scope, key, version, created_ms, body, expected)
             ON CONFLICT (kind, scope, key) DO NOTHING",
        ),
        (
            &changed,
            "UPDATE documents AS d SET version = c.version, updated_ms = $8, body = c.body
             FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
               AS c (kind, scope, key, version, created_ms, body, expected)
             WHERE d.kind = c.kind AND d.scope = c.scope AND d.key = c.key AND d.version = c.expected",
        ),
    ] {
        if group.is_empty() {
            continue;
        }
        let changes = || group.iter().map(|(change, _)| change);
        let done = sqlx::query(sql)
            .bind(changes().map(|change| change.kind).collect::<Vec<_>>())
            .bind(changes().map(|change| change.scope.as_str()).collect::<Vec<_>>())
            .bind(changes().map(|change| change.key.as_str()).collect::<Vec<_>>())
            .bind(changes().map(|change| int(change.version)).collect::<Vec<_>>())
            .bind(changes().map(|change| change.created_ms).collect::<Vec<_>>())
            .bind(group.iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>())
            .bind(changes().map(|change| change.expected.map(int)).collect::<Vec<_>>())
            .bind(at_ms)
            .execute(&mut *transaction)
            .await?;
        written += done.rows_affected();
    }
    if written == u64::try_from(rows.commit.changes.len()).unwrap_or(u64::MAX) {
        return Ok(());
    }
    Err(version_conflict(transaction, rows.commit).await?)
}

/// Names the document that is not at the version the change was made for. Those that were written already are at their new version.
async fn version_conflict(transaction: &mut PgConnection, commit: &Commit<'_>) -> Result<Failed, sqlx::Error> {
    for change in commit.changes {
        let found = sqlx::query(
            "SELECT version, updated_ms = $4 AND body = $5 FROM documents WHERE kind = $1 AND scope = $2 AND key = $3",
        )
        .bind(change.kind)
        .bind(&change.scope)
        .bind(&change.key)
        .bind(commit.at_ms)
        .bind(change.after.to_string())
        .fetch_optional(&mut *transaction)
        .await?;
        let (current, is_ours) = match &found {
            Some(row) => (row.try_get::<i64, _>(0)?, row.try_get::<bool, _>(1)?),
            None => (0, false),
        };
        if current != int(change.version) || !is_ours {
            return Ok(Failed::Refused(ManageError::VersionConflict {
                kind: change.kind,
                key: change.key.clone(),
                current: u64::try_from(current).unwrap_or(0),
                given: change.expected.unwrap_or(0),
            }));
        }
    }
    Ok(Failed::Refused(ManageError::Store(
        "a document was written twice by one change".into(),
    )))
}

/// Notes since when a list has no segment, and drops those whose time is over.
async fn note_unnamed_lists(transaction: &mut PgConnection, at_ms: i64) -> Result<(), sqlx::Error> {
    // Read here, not in SQL: PostgreSQL's JSON refuses texts that ours may hold.
    let bodies: Vec<String> = sqlx::query_scalar("SELECT body FROM documents WHERE kind = 'segment'")
        .fetch_all(&mut *transaction)
        .await?;
    let named: Vec<String> = bodies
        .iter()
        .filter_map(|body| serde_json::from_str::<Segment>(body).ok()?.list)
        .map(|list| list.sha256)
        .collect();
    sqlx::query(
        "UPDATE lists SET unnamed_ms = CASE WHEN sha256 = ANY ($2) THEN NULL ELSE $1 END WHERE (unnamed_ms IS NULL) <> (sha256 = ANY ($2))",
    )
    .bind(at_ms)
    .bind(&named)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM lists WHERE unnamed_ms < $1")
        .bind(at_ms - KEPT_LISTS_MS)
        .execute(transaction)
        .await?;
    Ok(())
}

async fn write_manifest(transaction: &mut PgConnection, manifest: &ManifestVersion) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO manifests (environment, version, generation, issued_at_ms, server_hash, client_hash, audit_seq) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&manifest.environment)
    .bind(int(manifest.version))
    .bind(int(manifest.generation))
    .bind(manifest.issued_at_ms)
    .bind(&manifest.server_hash)
    .bind(&manifest.client_hash)
    .bind(int(manifest.audit_seq))
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "INSERT INTO manifest_bytes (environment, version, server_bytes, client_bytes) VALUES ($1, $2, $3, $4)",
    )
    .bind(&manifest.environment)
    .bind(int(manifest.version))
    .bind(&manifest.server_bytes[..])
    .bind(&manifest.client_bytes[..])
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM manifest_bytes WHERE environment = $1 AND version <= $2")
        .bind(&manifest.environment)
        .bind(int(manifest.version.saturating_sub(KEPT_MANIFESTS)))
        .execute(transaction)
        .await?;
    Ok(())
}
