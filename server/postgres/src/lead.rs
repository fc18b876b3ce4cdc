//! Who of several nodes looks after something that one must look after: whoever holds a lock in the database. It goes with the connection, so that a node that dies
//! is followed at once, and one that was cut off at the latest when the server gives its connection up.

use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// A server that does not answer within this is away.
const PATIENCE: Duration = Duration::from_secs(5);

/// A candidate. One connection while it leads, none otherwise.
pub struct Candidate {
    options: PgConnectOptions,
    name: String,
    held: Option<PgConnection>,
}

impl Candidate {
    pub(crate) fn new(options: PgConnectOptions, name: &str) -> Self {
        Self {
            options,
            name: name.to_owned(),
            held: None,
        }
    }

    /// Whether this node leads now; it takes the lead where nobody has it. Ask before each piece of work.
    pub async fn leads(&mut self) -> bool {
        if let Some(mut connection) = self.held.take() {
            // The lock is held as long as its connection lives.
            let asked = tokio::time::timeout(PATIENCE, sqlx::query("SELECT 1").execute(&mut connection)).await;
            if matches!(asked, Ok(Ok(_))) {
                self.held = Some(connection);
                return true;
            }
            tracing::warn!(lead = self.name, "the connection that held the lead was lost");
        }
        match tokio::time::timeout(PATIENCE, self.take()).await {
            Ok(Ok(held)) => self.held = held,
            Ok(Err(error)) => tracing::debug!(lead = self.name, %error, "the lead can't be asked for"),
            Err(_) => tracing::debug!(lead = self.name, "the database did not say in time who leads"),
        }
        self.held.is_some()
    }

    async fn take(&self) -> Result<Option<PgConnection>, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        let held: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 2))")
            .bind(&self.name)
            .fetch_one(&mut connection)
            .await?;
        Ok(held.then_some(connection))
    }
}
