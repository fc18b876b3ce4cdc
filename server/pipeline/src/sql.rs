//! Read-only SQL over the documented views.

use std::time::{Duration, Instant};

use rusqlite::{
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
    types::ValueRef,
};
use serde::Serialize;

use crate::{Pipeline, StoreError, analytics::open_reader};

/// How much a query may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlLimits {
    /// Rows given back at most; more are cut off and the answer says so.
    pub rows: usize,
    /// Time after which the query is ended with an error.
    pub time: Duration,
}

impl Default for SqlLimits {
    fn default() -> Self {
        Self {
            rows: 10_000,
            time: Duration::from_secs(30),
        }
    }
}

/// One value of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A double.
    Real(f64),
    /// Text (blobs as hexadecimal digits).
    Text(String),
}

/// The rows of a query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SqlAnswer {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<SqlValue>>,
    /// Whether there were more rows than the limit.
    pub truncated: bool,
}

/// A query that gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The query is wrong, or not allowed: a message for its author.
    #[error("{0}")]
    Query(String),
    /// It took longer than the limit.
    #[error("the query took longer than {0:?}: narrow it, or attach analytics.sqlite from DuckDB")]
    TimedOut(Duration),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Instructions of SQLite's machine between looks at the clock: well below a millisecond.
const STEPS_PER_LOOK: i32 = 10_000;

const READS_ONLY: &str =
    "only queries that read are answered: begin with SELECT or WITH, and leave out PRAGMA and ATTACH";

/// Bytes of rows and values kept in memory for one answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;

impl Pipeline {
    /// Answers one SELECT over the views `events`, `exposures`, `unit_assignments`, `unit_metrics` and `aggregates`. Blocking.
    ///
    /// The connection can't write, attach, or change a setting. Results follow the events within the processing lag.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub fn sql(&self, query: &str, limits: SqlLimits) -> Result<SqlAnswer, SqlError> {
        let wrong = |e: rusqlite::Error| SqlError::Query(e.to_string());
        let connection = open_reader(&self.inner.dir)?;
        connection.authorizer(Some(only_reads)).map_err(wrong)?;
        for (limit, value) in [
            (Limit::SQLITE_LIMIT_LENGTH, 16 << 20),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
        ] {
            connection.set_limit(limit, value).map_err(wrong)?;
        }
        let deadline = Instant::now() + limits.time;
        connection
            .progress_handler(STEPS_PER_LOOK, Some(move || Instant::now() >= deadline))
            .map_err(wrong)?;
        let failed = |e: rusqlite::Error| match e.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => SqlError::TimedOut(limits.time),
            Some(rusqlite::ErrorCode::AuthorizationForStatementDenied) => SqlError::Query(READS_ONLY.into()),
            _ if e.to_string().contains("because it is a view") => SqlError::Query(READS_ONLY.into()),
            _ => SqlError::Query(e.to_string()),
        };
        let mut statement = connection.prepare(query).map_err(failed)?;
        if statement.column_count() == 0 || !statement.readonly() {
            return Err(SqlError::Query(READS_ONLY.into()));
        }
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let mut answer = SqlAnswer {
            columns,
            rows: Vec::new(),
            truncated: false,
        };
        let mut bytes = 0;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(failed)? {
            if answer.rows.len() == limits.rows || bytes > MAX_ANSWER_BYTES {
                answer.truncated = true;
                break;
            }
            let mut values = Vec::with_capacity(answer.columns.len());
            for column in 0..answer.columns.len() {
                let value = value(row.get_ref(column).map_err(failed)?);
                bytes += size_of::<SqlValue>()
                    + if let SqlValue::Text(text) = &value {
                        text.len()
                    } else {
                        0
                    };
                values.push(value);
            }
            answer.rows.push(values);
        }
        Ok(answer)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the signature SQLite's hook asks for")]
fn only_reads(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Recursive | AuthAction::Read { .. } => Authorization::Allow,
        // Functions that could reach out of the database are not compiled in or need an attached file.
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

fn value(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(v) => SqlValue::Integer(v),
        ValueRef::Real(v) => SqlValue::Real(v),
        ValueRef::Text(v) => SqlValue::Text(String::from_utf8_lossy(v).into_owned()),
        ValueRef::Blob(v) => SqlValue::Text(v.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}
