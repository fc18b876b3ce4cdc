//! The connection: a client, what it may ask for how long, and errors in words.

use std::{future::Future, sync::Arc, time::Instant};

use clickhouse::{Client, Row, RowOwned, RowRead, RowWrite};

use prometheus_client::registry::Registry;

use crate::{
    error::ClickHouseError,
    settings::ClickHouseSettings,
    watch::{Operation, Watch},
};

/// ClickHouse, reached over HTTP. Cheap to clone.
#[derive(Clone)]
pub struct ClickHouse {
    pub(crate) client: Client,
    pub(crate) settings: Arc<ClickHouseSettings>,
    pub(crate) host: Arc<str>,
    pub(crate) watch: Watch,
}

impl std::fmt::Debug for ClickHouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client holds the password.
        f.debug_struct("ClickHouse")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl ClickHouse {
    /// Makes the client. Nothing is asked yet; [`Self::prepare`] makes the tables.
    ///
    /// # Errors
    /// A setting is wrong, or the password file can't be read.
    pub fn new(settings: ClickHouseSettings) -> Result<Self, ClickHouseError> {
        let host = host(&settings.url)?;
        for (what, name) in [
            ("database", Some(&settings.database)),
            ("cluster", settings.cluster.as_ref()),
        ] {
            let is_name = |name: &String| {
                !name.is_empty()
                    && name.len() <= 64
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            };
            if name.is_some_and(|name| !is_name(name)) {
                return Err(ClickHouseError::Setting(format!(
                    "The {what} of ClickHouse is a name of 1 to 64 letters, digits, `_` and `-`."
                )));
            }
        }
        if settings.retention_days == 0 || settings.retention_days > 36_500 {
            return Err(ClickHouseError::Setting(
                "ClickHouse keeps events for 1 to 36500 days.".into(),
            ));
        }
        let mut client = Client::default()
            .with_url(&settings.url)
            .with_database(&settings.database)
            .with_compression(clickhouse::Compression::Lz4);
        if let Some(user) = &settings.user {
            client = client.with_user(user);
        }
        if let Some(path) = &settings.password_file {
            let password = std::fs::read_to_string(path).map_err(|source| ClickHouseError::Password {
                path: path.clone(),
                source,
            })?;
            client = client.with_password(password.trim());
        }
        if settings.cluster.is_some() {
            // A write is done when a majority has it, a read sees every such write: a processor that takes a partition over must see what
            // the one before it wrote.
            for (name, value) in [
                ("insert_quorum", "auto"),
                ("insert_quorum_parallel", "0"),
                ("select_sequential_consistency", "1"),
                ("distributed_foreground_insert", "1"),
            ] {
                client = client.with_setting(name, value);
            }
        }
        Ok(Self {
            client,
            settings: Arc::new(settings),
            host: host.into(),
            watch: Watch::new(),
        })
    }

    /// Adds the series of this connection and its clones.
    pub fn register(&self, registry: &mut Registry) {
        self.watch.register(registry);
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.settings.database
    }

    /// Runs a statement that gives no rows.
    pub(crate) async fn execute(&self, what: &'static str, sql: &str) -> Result<(), ClickHouseError> {
        self.within(Operation::ddl, what, self.client.query(&escape(sql)).execute())
            .await
    }

    /// The rows of a query. Columns are read in the order in which the row names them.
    pub(crate) async fn fetch<T>(&self, what: &'static str, sql: &str) -> Result<Vec<T>, ClickHouseError>
    where
        T: RowOwned + RowRead,
    {
        self.within(
            Operation::select,
            what,
            self.client.query(&escape(sql)).fetch_all::<T>(),
        )
        .await
    }

    /// Hands out the rows of a query one by one; they may borrow from what was received. The time limit is for all of it.
    pub(crate) async fn each<T>(
        &self,
        what: &'static str,
        sql: &str,
        mut take: impl FnMut(T::Value<'_>),
    ) -> Result<(), ClickHouseError>
    where
        T: RowRead,
    {
        self.within(Operation::select, what, async {
            let mut cursor = self.client.query(&escape(sql)).fetch::<T>()?;
            while let Some(row) = cursor.next().await? {
                take(row);
            }
            Ok(())
        })
        .await
    }

    /// Inserts rows: one request, and one block as long as they are fewer than a million.
    pub(crate) async fn insert<T>(&self, what: &'static str, table: &str, rows: &[T]) -> Result<(), ClickHouseError>
    where
        T: RowOwned + RowWrite + for<'a> Row<Value<'a> = T>,
    {
        if rows.is_empty() {
            return Ok(());
        }
        self.within(Operation::insert, what, async {
            let mut insert = self.client.insert::<T>(table).await?;
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        })
        .await
    }

    async fn within<T>(
        &self,
        operation: Operation,
        what: &'static str,
        asked: impl Future<Output = Result<T, clickhouse::error::Error>>,
    ) -> Result<T, ClickHouseError> {
        let began = Instant::now();
        let done = self.in_time(what, asked).await;
        self.watch.saw(operation, began.elapsed(), done.as_ref().err());
        done
    }

    async fn in_time<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = Result<T, clickhouse::error::Error>>,
    ) -> Result<T, ClickHouseError> {
        use clickhouse::error::Error;
        let timed_out = || ClickHouseError::TimedOut {
            what,
            host: self.host.to_string(),
            seconds: self.settings.timeout.as_secs(),
        };
        let Ok(done) = tokio::time::timeout(self.settings.timeout, asked).await else {
            return Err(timed_out());
        };
        done.map_err(|error| match error {
            Error::TimedOut => timed_out(),
            Error::Network(reason) => ClickHouseError::Unreachable {
                what,
                host: self.host.to_string(),
                reason: with_causes(&*reason),
            },
            other => ClickHouseError::Refused {
                what,
                reason: other.to_string(),
            },
        })
    }
}

/// `?` is the client's placeholder; ours are values already written into the text.
fn escape(sql: &str) -> String {
    sql.replace('?', "??")
}

/// The client says "client error (Connect)" and keeps the reason for itself.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn host(url: &str) -> Result<String, ClickHouseError> {
    let wrong =
        |why: &str| ClickHouseError::Setting(format!("The URL of ClickHouse {why}, such as http://clickhouse:8123."));
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .ok_or_else(|| wrong("begins with http:// or https://"))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err(wrong("names no user and no password: they have settings of their own"));
    }
    if host.is_empty() {
        return Err(wrong("names a host"));
    }
    Ok(host.to_owned())
}
