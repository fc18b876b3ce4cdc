//! Whether this node looks after what one node of all looks after.

use std::sync::Arc;

use evenhand_postgres::{Candidate, Postgres};
use tokio::sync::Mutex;

/// The name of the lock.
const NAME: &str = "evenhand_steward";

/// This node's part in it. Clones are the same candidate.
#[derive(Clone)]
pub enum Lead {
    /// There is no other node.
    Alone,
    /// With others on one PostgreSQL; none as long as the database was not there.
    Shared(Arc<Mutex<Option<Candidate>>>),
}

impl Lead {
    /// Of a node that shares its database, which may not be there yet.
    pub fn shared() -> Self {
        Self::Shared(Arc::default())
    }

    /// The database is there.
    pub fn stand(&self, postgres: &Postgres) {
        if let Self::Shared(candidate) = self {
            let (candidate, standing) = (Arc::clone(candidate), postgres.candidate(NAME));
            tokio::spawn(async move { *candidate.lock().await = Some(standing) });
        }
    }

    /// Asked before each round of work.
    pub async fn is_mine(&mut self) -> bool {
        match self {
            Self::Alone => true,
            Self::Shared(candidate) => match &mut *candidate.lock().await {
                Some(candidate) => candidate.leads().await,
                None => false,
            },
        }
    }
}
