//! Tables and views: made by the program, once for each version, for one node or for a cluster.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::{error::ClickHouseError, settings::ClickHouseSettings, store::ClickHouse, text::literal};

/// The steps, in order. A step that has been published never changes; a change is a new step.
const STEPS: [(u32, &str); 5] = [
    (1, include_str!("../schema/001_tables.sql")),
    (2, include_str!("../schema/002_views.sql")),
    (3, include_str!("../schema/003_unit_values.sql")),
    (4, include_str!("../schema/004_body_codec.sql")),
    (5, include_str!("../schema/005_days_and_cuts.sql")),
];

const DOING: &str = "making the tables";

#[derive(Row, Serialize, Deserialize)]
struct Version {
    version: u32,
}

impl ClickHouse {
    /// Makes the database, its tables and its views, as far as they are not there. Several programs may do it at once.
    ///
    /// # Errors
    /// ClickHouse can't be reached or refuses, or the tables are of a later version of this program.
    pub async fn prepare(&self) -> Result<(), ClickHouseError> {
        let on_cluster = on_cluster(&self.settings);
        let database = &self.settings.database;
        // Asked outside the database, which may not be there.
        let outside = Self {
            client: self.client.clone().with_database("default"),
            ..self.clone()
        };
        outside
            .execute(
                DOING,
                &format!("CREATE DATABASE IF NOT EXISTS `{database}`{on_cluster}"),
            )
            .await?;
        let replicated = if self.settings.cluster.is_some() {
            "Replicated"
        } else {
            ""
        };
        self.execute(
            DOING,
            &format!(
                "CREATE TABLE IF NOT EXISTS schema_versions{on_cluster} (version UInt32, made_at DateTime DEFAULT now())
                 ENGINE = {replicated}ReplacingMergeTree ORDER BY version"
            ),
        )
        .await?;
        let made: Vec<Version> = self
            .fetch(DOING, "SELECT DISTINCT version FROM schema_versions")
            .await?;
        let newest = STEPS.last().map_or(0, |(version, _)| *version);
        if let Some(later) = made.iter().map(|made| made.version).filter(|made| *made > newest).max() {
            return Err(ClickHouseError::Setting(format!(
                "The tables in ClickHouse's database {database} are of version {later}, this program knows {newest}: use the newer program."
            )));
        }
        for (version, text) in STEPS {
            if made.iter().any(|made| made.version == version) {
                continue;
            }
            for statement in statements(text, &self.settings) {
                self.execute(DOING, &statement).await?;
            }
            self.insert(DOING, "schema_versions", &[Version { version }]).await?;
        }
        Ok(())
    }
}

pub(crate) fn on_cluster(settings: &ClickHouseSettings) -> String {
    let named = |name: &String| format!(" ON CLUSTER {}", literal(name));
    settings.cluster.as_ref().map_or_else(String::new, named)
}

/// The name of the table that holds a host's own rows.
pub(crate) fn local(settings: &ClickHouseSettings, table: &str) -> String {
    let suffix = if settings.cluster.is_some() { "_local" } else { "" };
    format!("{table}{suffix}")
}

/// The statements of a step, for these settings.
fn statements(text: &str, settings: &ClickHouseSettings) -> Vec<String> {
    let is_cluster = settings.cluster.is_some();
    text.split(";\n")
        .filter(|statement| is_cluster || !statement.contains("-- cluster only"))
        .map(|statement| {
            let lines = statement.lines().filter(|line| !line.trim_start().starts_with("--"));
            lines.collect::<Vec<_>>().join("\n").trim().to_owned()
        })
        .filter(|statement| !statement.is_empty())
        .map(|statement| {
            statement
                .replace("{local}", if is_cluster { "_local" } else { "" })
                .replace("{on_cluster}", &on_cluster(settings))
                .replace("{replicated}", if is_cluster { "Replicated" } else { "" })
                .replace(
                    "{cluster}",
                    &settings.cluster.as_deref().map_or_else(String::new, literal),
                )
                .replace("{retention_days}", &settings.retention_days.to_string())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One node can't run what a cluster runs, but it can parse it.
    #[tokio::test]
    async fn statements_of_a_cluster_are_well_formed_and_those_of_one_node_run_twice() {
        let server = evenhand_test_servers::Server::start("clickhouse", &[]);
        let settings = ClickHouseSettings::new(&server.url);
        let store = ClickHouse::new(settings.clone()).unwrap();
        store.prepare().await.unwrap();
        store.prepare().await.unwrap();
        let cluster = ClickHouseSettings {
            cluster: Some("main".into()),
            ..settings
        };
        let all: Vec<String> = STEPS.iter().flat_map(|(_, text)| statements(text, &cluster)).collect();
        assert!(all.iter().any(|s| s.contains("ReplicatedReplacingMergeTree")));
        assert!(
            all.iter()
                .any(|s| s.contains("Distributed('main', currentDatabase(), cells_local, partition)"))
        );
        for statement in all {
            assert!(statement.contains(" ON CLUSTER 'main'"), "{statement}");
            assert!(!statement.contains(['{', '}']), "{statement}");
            store
                .execute("parsing", &format!("EXPLAIN AST {statement}"))
                .await
                .unwrap();
        }
        // A later program was here.
        store
            .insert(DOING, "schema_versions", &[Version { version: 99 }])
            .await
            .unwrap();
        let refused = store.prepare().await.unwrap_err().to_string();
        assert!(refused.contains("version 99"), "{refused}");
    }

    #[test]
    fn settings_that_can_not_be_are_refused_in_words() {
        let refused = |change: fn(&mut ClickHouseSettings)| {
            let mut settings = ClickHouseSettings::new("http://localhost:8123");
            change(&mut settings);
            ClickHouse::new(settings).unwrap_err().to_string()
        };
        let with_password = refused(|s| s.url = "https://me:secret@host:8443".into());
        assert!(
            with_password.contains("settings of their own") && !with_password.contains("secret"),
            "{with_password}"
        );
        assert!(refused(|s| s.url = "localhost:8123".into()).contains("begins with"));
        assert!(refused(|s| s.database = "a`b".into()).contains("database"));
        assert!(refused(|s| s.cluster = Some("a'b".into())).contains("cluster"));
        assert!(refused(|s| s.password_file = Some("/no/such/file".into())).contains("/no/such/file"));
        assert!(refused(|s| s.retention_days = 0).contains("days"));
    }
}
