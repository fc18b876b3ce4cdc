//! The layout of the tables: numbered steps, applied once, under a lock, each whole or not at all.

use evenhand_manage::ManageError;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgPool;

use crate::database::ReadError;

const STEPS: [(i64, &str, &str); 2] = [
    (1, "definitions", include_str!("../migrations/0001_definitions.sql")),
    (2, "feed", include_str!("../migrations/0002_feed.sql")),
];

/// Brings the tables to this program's layout. A layout that is newer, or not ours, is refused.
pub(crate) async fn run(pool: &PgPool) -> Result<(), ReadError> {
    let steps = STEPS.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(steps.into());
    migrator.run(pool).await.map_err(|error| match error {
        MigrateError::Execute(error) => ReadError::Database(error),
        MigrateError::VersionMissing(version) => ReadError::Said(ManageError::Store(format!(
            "the tables are at layout {version}, and this program knows {} at most: run the newer program that made them",
            STEPS.len()
        ))),
        MigrateError::VersionMismatch(version) => ReadError::Said(ManageError::Store(format!(
            "step {version} of the tables' layout is not the one this program would have made: was this database made by another program?"
        ))),
        MigrateError::ExecuteMigration(error, version) => ReadError::Said(ManageError::Store(format!(
            "step {version} of the tables' layout failed and changed nothing: {error}; the user must own the schema or hold CREATE on it"
        ))),
        other => ReadError::Said(ManageError::Store(format!("the tables can't be brought to this program's layout: {other}"))),
    })
}
