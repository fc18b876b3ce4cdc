//! The replication slot and its publication: made, watched, and made anew when the server gave them up.

use std::sync::atomic::Ordering;

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, Row as _};

use super::{Context, Trouble};

/// What the server says of the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// Whether a node reads from it now.
    pub active: bool,
    /// Bytes of the log that were written and not yet confirmed.
    pub lag_bytes: u64,
    /// Bytes of the log that the server keeps on disk because of the slot.
    pub kept_bytes: u64,
    /// `reserved`, `extended`, `unreserved` (it may be lost any moment) or `lost`; none: unknown.
    pub wal_status: Option<String>,
    /// Bytes that may still be written before the slot may be lost; none: the server sets no limit (`max_slot_wal_keep_size = -1`), and a
    /// slot that nobody reads fills its disk.
    pub safe_wal_size: Option<i64>,
}

impl SlotStatus {
    /// Whether what it had to tell is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost")
    }
}

/// Where the feed stands in a slot.
#[derive(Debug)]
pub(super) struct Position {
    /// Tells this slot from one of the same name before it.
    pub made: String,
    /// Whether all that was there before the slot has been published.
    pub announced: bool,
    /// What ends at or before this is published.
    pub confirmed_lsn: u64,
}

pub(super) async fn status(context: &Context) -> Result<Option<SlotStatus>, sqlx::Error> {
    status_on(&mut *context.pool.acquire().await?, &context.settings.slot).await
}

pub(crate) async fn status_on(connection: &mut PgConnection, slot: &str) -> Result<Option<SlotStatus>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT active, COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint,
           COALESCE(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint, wal_status, safe_wal_size
         FROM pg_replication_slots WHERE slot_name = $1",
    )
    .bind(slot)
    .fetch_optional(connection)
    .await?;
    let bytes = |row: &sqlx::postgres::PgRow, column: usize| {
        Ok::<u64, sqlx::Error>(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
    };
    row.map(|row| {
        Ok(SlotStatus {
            active: row.try_get(0)?,
            lag_bytes: bytes(&row, 1)?,
            kept_bytes: bytes(&row, 2)?,
            wal_status: row.try_get(3)?,
            safe_wal_size: row.try_get(4)?,
        })
    })
    .transpose()
}

/// Warns while the slot keeps too much, or may be lost.
pub(super) fn warn_of(context: &Context, status: &SlotStatus) {
    let at_risk = matches!(status.wal_status.as_deref(), Some("unreserved" | "lost"));
    if at_risk || status.kept_bytes > context.settings.warn_lag_bytes {
        context.counts.slot_warnings.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            place = context.place,
            slot = context.settings.slot,
            kept_bytes = status.kept_bytes,
            lag_bytes = status.lag_bytes,
            wal_status = status.wal_status,
            safe_wal_size = status.safe_wal_size,
            "the replication slot keeps much of the server's log: is what publishes manifests (Redis) reachable?"
        );
    }
}

/// Sees to it that there is a slot that can be read.
pub(super) async fn prepare(context: &Context) -> Result<(), Trouble> {
    match status(context).await? {
        None => renew(context, false).await,
        Some(status) if status.is_lost() => Err(Trouble::Unusable(
            "the server gave its log up (wal_status is `lost`): it was read too slowly for max_slot_wal_keep_size"
                .into(),
        )),
        // Asked instead of tried: a start that is refused stands in the server's log.
        Some(status) if status.active => Err(Trouble::Held),
        Some(_) => Ok(()),
    }
}

/// Makes publication and slot; `replace`: also when there is a slot. One node at a time does it.
pub(super) async fn renew(context: &Context, replace: bool) -> Result<(), Trouble> {
    let settings = &context.settings;
    // The lock goes with the connection, however this ends.
    let mut connection = context.options.connect().await?;
    let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 1))")
        .bind(&settings.slot)
        .fetch_one(&mut connection)
        .await?;
    if !alone {
        return Err(Trouble::Held);
    }
    let found = status_on(&mut connection, &context.settings.slot).await?;
    match &found {
        // Another node, or our own last connection, which the server still holds for a moment.
        Some(status) if status.active => return Err(Trouble::Held),
        // Another node was faster.
        Some(_) if !replace => return Ok(()),
        _ => {}
    }
    // The publication first: a slot knows only what was there when it was made.
    publication(context, &mut connection).await?;
    // Whoever dies half way leaves a note that nothing was announced.
    sqlx::query(
        "INSERT INTO feed_positions (slot, made, announced, confirmed_lsn) VALUES ($1, gen_random_uuid()::text, FALSE, 0)
         ON CONFLICT (slot) DO UPDATE SET made = EXCLUDED.made, announced = FALSE, confirmed_lsn = 0",
    )
    .bind(&settings.slot)
    .execute(&mut connection)
    .await?;
    if found.is_some() {
        let dropped = sqlx::query("SELECT pg_drop_replication_slot($1)")
            .bind(&settings.slot)
            .execute(&mut connection)
            .await;
        dropped.map_err(|error| refusal(context, &error))?;
    }
    let made = sqlx::query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')")
        .bind(&settings.slot)
        .execute(&mut connection)
        .await;
    made.map_err(|error| refusal(context, &error))?;
    tracing::info!(
        place = context.place,
        slot = settings.slot,
        "the replication slot of the feed is made"
    );
    Ok(())
}

async fn publication(context: &Context, connection: &mut PgConnection) -> Result<(), Trouble> {
    let name = &context.settings.publication;
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)")
        .bind(name)
        .fetch_one(&mut *connection)
        .await?;
    if there {
        return Ok(());
    }
    let sql = format!(
        "CREATE PUBLICATION {} FOR TABLE manifests WITH (publish = 'insert')",
        quoted(name)
    );
    let made = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await;
    made.map_err(|error| refusal(context, &error))?;
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Where the feed stands, read while the slot is held.
pub(super) async fn position(context: &Context) -> Result<Position, sqlx::Error> {
    // A slot that an administrator made has no row yet.
    sqlx::query(
        "INSERT INTO feed_positions (slot, made, announced, confirmed_lsn) VALUES ($1, gen_random_uuid()::text, FALSE, 0) ON CONFLICT DO NOTHING",
    )
    .bind(&context.settings.slot)
    .execute(&context.pool)
    .await?;
    let row = sqlx::query("SELECT made, announced, confirmed_lsn FROM feed_positions WHERE slot = $1")
        .bind(&context.settings.slot)
        .fetch_one(&context.pool)
        .await?;
    Ok(Position {
        made: row.try_get(0)?,
        announced: row.try_get(1)?,
        confirmed_lsn: u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or(0),
    })
}

/// Notes that all up to `lsn` is published, if the slot is still the one it came from.
pub(super) async fn note_position(context: &Context, made: &str, lsn: u64, announced: bool) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE feed_positions SET confirmed_lsn = greatest(confirmed_lsn, $3), announced = announced OR $4 WHERE slot = $1 AND made = $2",
    )
    .bind(&context.settings.slot)
    .bind(made)
    .bind(i64::try_from(lsn).unwrap_or(i64::MAX))
    .bind(announced)
    .execute(&context.pool)
    .await?;
    Ok(())
}

/// What the server's refusal means for the feed.
fn refusal(context: &Context, error: &sqlx::Error) -> Trouble {
    let code = error
        .as_database_error()
        .and_then(|error| error.code())
        .unwrap_or_default();
    match &*code {
        // Insufficient privilege; wal_level is not logical; no slot is free.
        "42501" | "55000" | "53400" => Trouble::NotPermitted(not_permitted(context, &error.to_string())),
        // Another node was faster, or holds it.
        "42710" | "55006" => Trouble::Held,
        _ => Trouble::Broken(error.to_string()),
    }
}

/// The refusal, and what an administrator must do.
pub(super) fn not_permitted(context: &Context, error: &str) -> String {
    let user = context.options.get_username();
    let (slot, publication) = (&context.settings.slot, &context.settings.publication);
    format!(
        "{}: {error}. For logical replication an administrator must see to it once that: \
         the server has `wal_level = logical` and a free slot (`ALTER SYSTEM SET wal_level = logical; ALTER SYSTEM SET max_replication_slots = 10;`, then a restart); \
         the user may replicate (`ALTER ROLE {} REPLICATION;`, or the role that your provider has for it); \
         the publication is there (`CREATE PUBLICATION {} FOR TABLE manifests WITH (publish = 'insert');`). \
         The slot `{slot}` is then made at the next start",
        context.place,
        quoted(user),
        quoted(publication)
    )
}
