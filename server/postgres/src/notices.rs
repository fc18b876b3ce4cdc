//! That something was committed, whoever did it: what a node waits for to bring it into force. A notice that is lost costs time only, because
//! after every new connection one is given in any case.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener};

use crate::database::pool;
use crate::feed::CHANNEL;

/// The longest wait between two attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Notices of commits. One connection.
pub struct Notices {
    options: PgConnectOptions,
    place: String,
    listener: Option<PgListener>,
    wait: Duration,
}

impl Notices {
    pub(crate) fn new(options: PgConnectOptions, place: String) -> Self {
        Self {
            options,
            place,
            listener: None,
            wait: Duration::ZERO,
        }
    }

    /// Waits for the next commit, or for a new connection, after which one may have been missed.
    pub async fn next(&mut self) {
        loop {
            if let Some(listener) = &mut self.listener {
                match listener.try_recv().await {
                    Ok(Some(_)) => return,
                    Ok(None) | Err(_) => {
                        tracing::warn!(
                            database = self.place,
                            "the connection that hears of commits was lost; connecting again"
                        );
                        self.listener = None;
                    }
                }
            }
            tokio::time::sleep(self.wait).await;
            match connect(&self.options).await {
                Ok(listener) => {
                    (self.listener, self.wait) = (Some(listener), Duration::ZERO);
                    return;
                }
                Err(error) => {
                    tracing::debug!(database = self.place, %error, "no connection to hear of commits");
                    self.wait = (self.wait * 2).clamp(Duration::from_millis(200), LONGEST_WAIT);
                }
            }
        }
    }

    /// Whether commits are heard of at once.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.listener.is_some()
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(&pool(options, 1, Duration::from_secs(5))).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
