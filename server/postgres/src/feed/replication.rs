//! The feed by logical replication: one slot, held by one node at a time.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use pgwire_replication::{
    Lsn, PgWireError, ReplicationClient, ReplicationConfig, ReplicationEvent, SslMode, TlsConfig,
};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::pgoutput::{self, Message, Relation, Value};
use super::slot::{self, Position};
use super::{Context, FeedMode, FeedState, Outbox, Seen, Trouble, newest};

/// The largest message taken. A row of `manifests` has a few hundred bytes, but others may write messages of their own to the log
/// (`pg_logical_emit_message`). A larger one can't be passed over: the slot is made anew behind it.
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;
/// How often the server is told what is confirmed.
const TELL: Duration = Duration::from_millis(500);
/// How long we wait for the server's answer to a start.
const START: Duration = Duration::from_secs(10);
/// A patrol in this many looks after the slot.
const LOOKS: u32 = 10;

/// Holds the slot and gives what comes, until something is in the way.
pub(super) async fn session(context: &Context, outbox: &mut Outbox) -> Trouble {
    match hold(context, outbox).await {
        Ok(never) => match never {},
        Err(trouble) => trouble,
    }
}

async fn hold(context: &Context, outbox: &mut Outbox) -> Result<std::convert::Infallible, Trouble> {
    slot::prepare(context).await?;
    let mut client = start(context).await?;
    // Read only now that nobody else can move it.
    let position = slot::position(context).await?;
    context.state.send_replace(FeedState::Holding(FeedMode::Replication));
    if !position.announced {
        announce(context, outbox, &position).await?;
    }
    let mut transaction = OpenTransaction::new(position);
    let mut confirmed = context.confirmed.subscribe();
    let mut looks = tokio::time::interval(context.settings.patrol * LOOKS);
    loop {
        tokio::select! {
            given = outbox.give(), if !outbox.waiting.is_empty() => given?,
            event = client.recv(), if outbox.waiting.is_empty() => match event.map_err(|error| interrupted(context, &error))? {
                Some(event) => {
                    if let Some(done) = transaction.take(event, outbox)? {
                        client.update_applied_lsn(Lsn(done));
                    }
                }
                None => return Err(Trouble::Broken("the server ended the replication".into())),
            },
            _ = confirmed.changed() => {
                let (_, done) = *confirmed.borrow_and_update();
                client.update_applied_lsn(Lsn(done));
            }
            _ = looks.tick() => look_after(context).await?,
        }
    }
}

async fn start(context: &Context) -> Result<ReplicationClient, Trouble> {
    let started = async {
        let mut client = ReplicationClient::connect(config(context)).await?;
        client.wait_started().await?;
        Ok(client)
    };
    match tokio::time::timeout(START, started).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(refused(context, &error)),
        Err(_) => Err(Trouble::Broken(
            "the server did not begin the replication in time".into(),
        )),
    }
}

/// All that was there before the slot.
async fn announce(context: &Context, outbox: &mut Outbox, position: &Position) -> Result<(), Trouble> {
    context.counts.announcements.fetch_add(1, Ordering::Relaxed);
    outbox.forget();
    let all = newest(&context.pool).await?;
    if all.is_empty() {
        slot::note_position(context, &position.made, 0, true).await?;
    }
    let last = all.len().saturating_sub(1);
    for (index, seen) in all.into_iter().enumerate() {
        outbox.add(seen, None, 0, Some(&position.made), index == last);
    }
    Ok(())
}

async fn look_after(context: &Context) -> Result<(), Trouble> {
    let asked = tokio::time::timeout(START, slot::status(context)).await;
    let status = asked.map_err(|_| Trouble::Broken("the server does not answer".into()))??;
    match status {
        Some(status) => {
            slot::warn_of(context, &status);
            if !status.active {
                return Err(Trouble::Broken(
                    "the server no longer sees us read from the slot".into(),
                ));
            }
            Ok(())
        }
        None => Err(Trouble::Broken("the slot is gone".into())),
    }
}

/// The rows of the transaction that is being read, until its end is.
struct OpenTransaction {
    position: Position,
    relations: HashMap<u32, Relation>,
    is_open: bool,
    /// The newest version of each environment, in the order of the first row.
    rows: Vec<Seen>,
    /// Where the transaction before ended.
    done_lsn: u64,
}

impl OpenTransaction {
    fn new(position: Position) -> Self {
        Self {
            done_lsn: position.confirmed_lsn,
            position,
            relations: HashMap::new(),
            is_open: false,
            rows: Vec::new(),
        }
    }

    /// Takes what the server sent; gives up to where the log is done with, when nothing waits for a confirmation.
    fn take(&mut self, event: ReplicationEvent, outbox: &mut Outbox) -> Result<Option<u64>, Trouble> {
        match event {
            ReplicationEvent::Begin { .. } => {
                self.is_open = true;
                self.rows.clear();
            }
            ReplicationEvent::XLogData { data, .. } => {
                let message = pgoutput::decode(&data).map_err(|error| Trouble::Broken(error.to_string()))?;
                self.read(message)?;
            }
            ReplicationEvent::Commit { end_lsn, .. } => {
                self.is_open = false;
                self.end(end_lsn.as_u64(), outbox);
            }
            // The log moves on with what is not ours, too: a slot that did not follow would keep it all.
            ReplicationEvent::KeepAlive { wal_end, .. } if !self.is_open && outbox.is_settled() => {
                return Ok(Some(wal_end.as_u64()));
            }
            _ => {}
        }
        Ok(None)
    }

    fn read(&mut self, message: Message) -> Result<(), Trouble> {
        match message {
            Message::Relation(relation) => {
                self.relations.insert(relation.id, relation);
            }
            Message::Insert { relation, values } => {
                let relation = self
                    .relations
                    .get(&relation)
                    .ok_or_else(|| Trouble::Broken("a row of an unknown table".into()))?;
                if relation.name != "manifests" {
                    return Ok(());
                }
                let seen = seen(relation, &values).ok_or_else(|| {
                    Trouble::Broken(format!(
                        "a row of `manifests` that can't be read; its columns are {}",
                        relation.columns.join(", ")
                    ))
                })?;
                match self.rows.iter_mut().find(|row| row.environment == seen.environment) {
                    Some(row) => *row = seen,
                    None => self.rows.push(seen),
                }
            }
            Message::Other(_) => {}
        }
        Ok(())
    }

    fn end(&mut self, end_lsn: u64, outbox: &mut Outbox) {
        let before = self.done_lsn;
        self.done_lsn = before.max(end_lsn);
        // The server forgets the newest confirmations when it crashes; the table of positions does not.
        let mut rows = std::mem::take(&mut self.rows);
        rows.retain(|row| end_lsn > self.position.confirmed_lsn && !outbox.has_given(row));
        let last = rows.len().saturating_sub(1);
        for (index, row) in rows.into_iter().enumerate() {
            let done = if index == last { end_lsn } else { before };
            outbox.add(row, Some(end_lsn), done, Some(&self.position.made), false);
        }
    }
}

fn seen(relation: &Relation, values: &[Value]) -> Option<Seen> {
    let value = |name: &str| {
        let at = relation.columns.iter().position(|column| column == name)?;
        match values.get(at)? {
            Value::Text(text) => Some(text.as_str()),
            Value::Null | Value::Unchanged => None,
        }
    };
    Some(Seen {
        environment: value("environment")?.to_owned(),
        generation: value("generation")?.parse().ok()?,
        version: value("version")?.parse().ok()?,
        hash: value("server_hash")?.to_owned(),
    })
}

fn config(context: &Context) -> ReplicationConfig {
    let options = &context.options;
    // The password is in no other way to be had from the options.
    let url = options.to_url_lossy();
    let password = url
        .password()
        .map(|password| percent_decode_str(password).decode_utf8_lossy().into_owned());
    let user = options.get_username();
    let host = options
        .get_socket()
        .map_or_else(|| options.get_host().to_owned(), |socket| socket.display().to_string());
    let mut config = ReplicationConfig::new(
        host,
        user,
        password.unwrap_or_default(),
        options.get_database().unwrap_or(user),
        &context.settings.slot,
        context.settings.publication.as_str(),
    )
    .with_port(options.get_port())
    .with_application_name("evenhand-feed")
    // From where the slot stands; and nothing is confirmed by the mere start.
    .with_start_lsn(Lsn::ZERO)
    .with_status_interval(TELL)
    .with_buffer_size(256)
    .with_max_message_size(LARGEST_MESSAGE);
    if !config.is_unix_socket() {
        config = config.with_tls(tls(options, &url.query_pairs().into_owned().collect()));
    }
    config
}

fn tls(options: &PgConnectOptions, parameters: &HashMap<String, String>) -> TlsConfig {
    // The options write a path with this before it.
    let path = |name: &str| {
        parameters
            .get(name)
            .map(|path| path.strip_prefix("file: ").unwrap_or(path).into())
    };
    TlsConfig {
        mode: match options.get_ssl_mode() {
            PgSslMode::Disable => SslMode::Disable,
            PgSslMode::Allow | PgSslMode::Prefer => SslMode::Prefer,
            PgSslMode::Require => SslMode::Require,
            PgSslMode::VerifyCa => SslMode::VerifyCa,
            PgSslMode::VerifyFull => SslMode::VerifyFull,
        },
        ca_pem_path: path("sslrootcert"),
        // Said outright, because addresses are taken so only; their certificates name them, too.
        sni_hostname: Some(options.get_host().to_owned()),
        client_cert_pem_path: path("sslcert"),
        client_key_pem_path: path("sslkey"),
    }
}

/// Why the server did not begin.
fn refused(context: &Context, error: &PgWireError) -> Trouble {
    let text = error.to_string();
    if text.contains("SQLSTATE 55006") {
        return Trouble::Held;
    }
    // Files of certificates that can't be read, and the like: no other attempt mends that.
    if error.is_tls() && text.contains("TLS config error") {
        return Trouble::NotPermitted(format!("{}: {text}", context.place));
    }
    if text.contains("SQLSTATE 42501") {
        return Trouble::NotPermitted(slot::not_permitted(context, &text));
    }
    Trouble::Broken(text)
}

/// Why the stream ended.
fn interrupted(context: &Context, error: &PgWireError) -> Trouble {
    let text = error.to_string();
    // Undefined object: where the slot stands there was no such publication.
    if error.is_message_too_large() || text.contains("SQLSTATE 42704") {
        return Trouble::Unusable(text);
    }
    refused(context, error)
}
