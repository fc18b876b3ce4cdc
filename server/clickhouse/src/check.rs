//! What an operator asks: is it there, is it ours, and begin to count anew.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::{error::ClickHouseError, store::ClickHouse};

#[derive(Row, Serialize, Deserialize)]
struct Version {
    version: String,
}

impl ClickHouse {
    /// The server's version, asked outside our database, which may not be there yet.
    ///
    /// # Errors
    /// ClickHouse can't be reached, or refuses us.
    pub async fn version(&self) -> Result<String, ClickHouseError> {
        let outside = Self {
            client: self.client.clone().with_database("default"),
            ..self.clone()
        };
        let found: Vec<Version> = outside
            .fetch("asking for the version", "SELECT version() AS version")
            .await?;
        Ok(found.into_iter().next().map(|row| row.version).unwrap_or_default())
    }

    /// Empties the aggregates: the next processor counts the stored events anew. No processor may run meanwhile.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses.
    pub async fn forget_cells(&self) -> Result<(), ClickHouseError> {
        let (local, on_cluster) = match &self.settings.cluster {
            Some(cluster) => ("_local", format!(" ON CLUSTER `{cluster}`")),
            None => ("", String::new()),
        };
        self.execute(
            "emptying the aggregates",
            &format!("TRUNCATE TABLE IF EXISTS cells{local}{on_cluster}"),
        )
        .await
    }
}
