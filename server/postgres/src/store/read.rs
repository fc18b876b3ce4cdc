//! What is read from the tables.

use std::sync::Arc;

use evenhand_manage::ManageError;
use evenhand_manage::model::{Lists, Model, StoredRow};
use evenhand_manage::store::audit::{AuditRecord, ChainHead, ChainReport, GENESIS};
use evenhand_manage::store::{AuditQuery, Loaded, ManifestVersion};
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Postgres, QueryBuilder, Row as _, Transaction};
use tokio_stream::StreamExt as _;

use super::{int, uint};
use crate::database::ReadError;

type Read<T> = Result<T, ReadError>;

const AUDIT: &str = "SELECT seq, at_ms, actor, action, target, project, environment, before, after, published, prev_hash, hash FROM audit";

/// Everything, as it was at one instant, whoever commits meanwhile.
async fn snapshot(pool: &PgPool) -> Read<Transaction<'static, Postgres>> {
    Ok(pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?)
}

pub(crate) async fn load(pool: PgPool, known: &Lists) -> Read<Loaded> {
    let mut snapshot = snapshot(&pool).await?;
    let mut model = Model::default();
    {
        let mut rows = sqlx::query("SELECT kind, scope, key, version, created_ms, updated_ms, body FROM documents")
            .fetch(&mut *snapshot);
        while let Some(row) = rows.next().await {
            let row = row?;
            model.load(&StoredRow {
                kind: row.try_get(0)?,
                scope: row.try_get(1)?,
                key: row.try_get(2)?,
                version: uint(row.try_get(3)?)?,
                created_ms: row.try_get(4)?,
                updated_ms: row.try_get(5)?,
                body: row.try_get(6)?,
            })?;
        }
    }
    let salts: Vec<(i64, i64)> = sqlx::query_as("SELECT state, length FROM salts")
        .fetch_all(&mut *snapshot)
        .await?;
    let number = |stored: i64| {
        u32::try_from(uint(stored)?).map_err(|_| ManageError::Store(format!("{stored} is no part of a salt")))
    };
    model.salts = Arc::new(
        salts
            .into_iter()
            .map(|(state, length)| Ok((number(state)?, number(length)?)))
            .collect::<Result<_, ManageError>>()?,
    );
    for sha256 in model.named_lists() {
        if Arc::make_mut(&mut model.lists).share(known, &sha256) {
            continue;
        }
        let bytes = one_list(&mut snapshot, &sha256)
            .await?
            .ok_or_else(|| ManageError::missing_list(&sha256))?;
        Arc::make_mut(&mut model.lists).insert(bytes)?;
    }
    // The newest version of each environment is found by its key, however many there are.
    let newest = sqlx::query(
        "SELECT m.environment, m.version, m.generation, m.issued_at_ms, m.server_hash, m.client_hash, m.audit_seq, b.server_bytes, b.client_bytes
         FROM documents AS d
         CROSS JOIN LATERAL (SELECT * FROM manifests WHERE environment = d.scope ORDER BY version DESC LIMIT 1) AS m
         LEFT JOIN manifest_bytes AS b ON b.environment = m.environment AND b.version = m.version
         WHERE d.kind = 'publish_state'",
    );
    let published = newest
        .fetch_all(&mut *snapshot)
        .await?
        .iter()
        .map(read_manifest)
        .collect::<Read<_>>()?;
    let head = read_head(&mut snapshot).await?;
    snapshot.commit().await?;
    Ok(Loaded { model, published, head })
}

pub(crate) async fn head(pool: PgPool) -> Read<ChainHead> {
    read_head(&mut *pool.acquire().await?).await
}

async fn read_head(connection: &mut PgConnection) -> Read<ChainHead> {
    let (seq, hash): (i64, String) = sqlx::query_as("SELECT seq, hash FROM audit_head")
        .fetch_one(connection)
        .await?;
    Ok(ChainHead { seq: uint(seq)?, hash })
}

pub(crate) async fn audit(pool: PgPool, query: &AuditQuery) -> Read<Vec<AuditRecord>> {
    let filters = [
        ("project", &query.project),
        ("environment", &query.environment),
        ("target", &query.target),
    ];
    // PostgreSQL's text holds no zero character, and refuses to look for one.
    if filters
        .iter()
        .any(|(_, wanted)| wanted.as_ref().is_some_and(|wanted| wanted.contains('\0')))
    {
        return Ok(Vec::new());
    }
    let mut sql = QueryBuilder::<Postgres>::new(AUDIT);
    sql.push(" WHERE seq < ").push_bind(query.before.map_or(i64::MAX, int));
    for (column, wanted) in filters {
        if let Some(wanted) = wanted {
            sql.push(format_args!(" AND {column} = ")).push_bind(wanted.clone());
        }
    }
    sql.push(" ORDER BY seq DESC LIMIT ")
        .push_bind(i64::try_from(query.limit).unwrap_or(i64::MAX));
    sql.build()
        .fetch_all(&pool)
        .await?
        .iter()
        .map(|row| Ok(read_audit(row)??))
        .collect()
}

pub(crate) async fn verify_audit(pool: PgPool) -> Read<ChainReport> {
    let mut snapshot = snapshot(&pool).await?;
    let mut head = ChainHead {
        seq: 0,
        hash: GENESIS.into(),
    };
    let broken = |head: ChainHead, seq: u64, message: String| ChainReport {
        intact: false,
        records: head.seq,
        head: head.hash,
        broken_at: Some(seq),
        message: Some(message),
    };
    {
        let mut rows = sqlx::query(sqlx::AssertSqlSafe(format!("{AUDIT} ORDER BY seq"))).fetch(&mut *snapshot);
        while let Some(row) = rows.next().await {
            let row = row?;
            let fault = match read_audit(&row)? {
                Ok(record) => {
                    let fault = record.fault_after(&head)?;
                    if fault.is_none() {
                        head = record.head();
                    }
                    fault
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(message) = fault {
                return Ok(broken(head, uint(row.try_get(0)?)?, message));
            }
        }
    }
    let noted = read_head(&mut snapshot).await?;
    snapshot.commit().await?;
    if noted != head {
        let message = format!(
            "the chain ends with record {}, but record {} was written: the last ones are missing",
            head.seq, noted.seq
        );
        let seq = head.seq + 1;
        return Ok(broken(head, seq, message));
    }
    Ok(ChainReport {
        intact: true,
        records: head.seq,
        head: head.hash,
        broken_at: None,
        message: None,
    })
}

pub(crate) async fn manifests(
    pool: PgPool,
    environment: &str,
    before: Option<u64>,
    limit: usize,
) -> Read<Vec<ManifestVersion>> {
    let found = sqlx::query(
        "SELECT environment, version, generation, issued_at_ms, server_hash, client_hash, audit_seq, NULL::bytea, NULL::bytea FROM manifests
         WHERE environment = $1 AND version < $2 ORDER BY version DESC LIMIT $3",
    )
    .bind(environment)
    .bind(before.map_or(i64::MAX, int))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(&pool)
    .await?;
    found.iter().map(read_manifest).collect()
}

pub(crate) async fn manifest(pool: PgPool, environment: &str, version: u64) -> Read<Option<ManifestVersion>> {
    let found = sqlx::query(
        "SELECT m.environment, m.version, m.generation, m.issued_at_ms, m.server_hash, m.client_hash, m.audit_seq, b.server_bytes, b.client_bytes
         FROM manifests AS m LEFT JOIN manifest_bytes AS b ON b.environment = m.environment AND b.version = m.version
         WHERE m.environment = $1 AND m.version = $2",
    )
    .bind(environment)
    .bind(int(version))
    .fetch_optional(&pool)
    .await?;
    found.as_ref().map(read_manifest).transpose()
}

pub(crate) async fn list(pool: PgPool, sha256: &str) -> Read<Option<Arc<[u8]>>> {
    one_list(&mut *pool.acquire().await?, sha256).await
}

async fn one_list(connection: &mut PgConnection, sha256: &str) -> Read<Option<Arc<[u8]>>> {
    let bytes: Option<Vec<u8>> = sqlx::query_scalar("SELECT bytes FROM lists WHERE sha256 = $1")
        .bind(sha256)
        .fetch_optional(connection)
        .await?;
    Ok(bytes.map(Arc::from))
}

fn read_manifest(row: &PgRow) -> Read<ManifestVersion> {
    let bytes = |column: usize| {
        row.try_get::<Option<&[u8]>, _>(column)
            .map(|bytes| Arc::from(bytes.unwrap_or_default()))
    };
    Ok(ManifestVersion {
        environment: row.try_get(0)?,
        version: uint(row.try_get(1)?)?,
        generation: uint(row.try_get(2)?)?,
        issued_at_ms: row.try_get(3)?,
        server_hash: row.try_get(4)?,
        client_hash: row.try_get(5)?,
        audit_seq: uint(row.try_get(6)?)?,
        server_bytes: bytes(7)?,
        client_bytes: bytes(8)?,
    })
}

/// The outer error is the store's, the inner one that of a record whose JSON can't be read.
fn read_audit(row: &PgRow) -> Read<Result<AuditRecord, ManageError>> {
    let json = |column: usize| -> Result<Result<serde_json::Value, ManageError>, sqlx::Error> {
        let text: &str = row.try_get(column)?;
        Ok(serde_json::from_str(text)
            .map_err(|error| ManageError::Store(format!("the audit record's JSON is damaged: {error}"))))
    };
    let (before, after, published) = match (json(7)?, json(8)?, json(9)?) {
        (Ok(before), Ok(after), Ok(published)) => (before, after, published),
        (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => return Ok(Err(error)),
    };
    Ok(Ok(AuditRecord {
        seq: uint(row.try_get(0)?)?,
        at_ms: row.try_get(1)?,
        actor: row.try_get(2)?,
        action: row.try_get(3)?,
        target: row.try_get(4)?,
        project: row.try_get(5)?,
        environment: row.try_get(6)?,
        before,
        after,
        published,
        prev_hash: row.try_get(10)?,
        hash: row.try_get(11)?,
    }))
}
