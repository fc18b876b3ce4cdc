//! The feed by notifications: a commit wakes the holder, which reads what is newer than what it has read. A notification that is lost costs
//! time only.

use std::sync::atomic::Ordering;

use sqlx::Row as _;
use sqlx::postgres::PgListener;

use super::{CHANNEL, Context, FeedMode, FeedState, Outbox, Seen, Trouble, newest};

/// Versions read at once.
const PAGE: i64 = 500;
/// A patrol in this many reads without having been woken.
const READS: u32 = 10;

/// Holds the lock and gives what comes, until something is in the way.
pub(super) async fn session(context: &Context, outbox: &mut Outbox) -> Trouble {
    match hold(context, outbox).await {
        Ok(never) => match never {},
        Err(trouble) => trouble,
    }
}

async fn hold(context: &Context, outbox: &mut Outbox) -> Result<std::convert::Infallible, Trouble> {
    let mut listener = PgListener::connect_with(&context.pool).await?;
    listener.eager_reconnect(false);
    // The lock goes with the connection: the next holder waits for no time-out.
    loop {
        let held: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(&context.settings.slot)
            .fetch_one(&mut listener)
            .await?;
        if held {
            break;
        }
        context.state.send_replace(FeedState::Waiting);
        tokio::time::sleep(context.settings.patrol).await;
        if outbox.sender.is_closed() {
            return Err(Trouble::Dropped);
        }
    }
    // First listen, then read: what is committed in between is read or notified.
    listener.listen(CHANNEL).await?;
    context.state.send_replace(FeedState::Holding(FeedMode::Listen));
    let mut reads = tokio::time::interval(context.settings.patrol * READS);
    loop {
        tokio::select! {
            given = outbox.give(), if !outbox.waiting.is_empty() => given?,
            notified = listener.try_recv(), if outbox.waiting.is_empty() => match notified? {
                Some(_) => read(context, outbox).await?,
                None => return Err(Trouble::Broken("the connection that listens was lost".into())),
            },
            _ = reads.tick(), if outbox.waiting.is_empty() => read(context, outbox).await?,
        }
    }
}

/// Adds what was committed since the last time. Commits come one after the other, so that no lower number appears later.
async fn read(context: &Context, outbox: &mut Outbox) -> Result<(), Trouble> {
    let head: i64 = sqlx::query_scalar("SELECT seq FROM audit_head")
        .fetch_one(&context.pool)
        .await?;
    // The first time, and when the database is an older one than it was.
    if outbox.read_to.as_ref().is_none_or(|(seq, _)| *seq > head) {
        context.counts.announcements.fetch_add(1, Ordering::Relaxed);
        outbox.forget();
        for seen in newest(&context.pool).await? {
            outbox.add(seen, None, 0, None, false);
        }
        outbox.read_to = Some((head, String::new()));
    }
    while let Some((seq, environment)) = outbox.read_to.clone() {
        let rows = sqlx::query(
            "SELECT environment, generation, version, server_hash, audit_seq FROM manifests WHERE (audit_seq, environment) > ($1, $2)
             ORDER BY audit_seq, environment LIMIT $3",
        )
        .bind(seq)
        .bind(environment)
        .bind(PAGE)
        .fetch_all(&context.pool)
        .await?;
        for row in &rows {
            let seen = Seen::read(row)?;
            outbox.read_to = Some((row.try_get(4)?, seen.environment.clone()));
            outbox.add(seen, None, 0, None, false);
        }
        if rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            break;
        }
    }
    Ok(())
}
