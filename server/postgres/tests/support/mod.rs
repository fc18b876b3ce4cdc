//! One server for a test program; a database for a test.
#![allow(dead_code)] // each test program uses a part of it

pub mod node;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use evenhand_postgres::PostgresSettings;
use evenhand_test_servers::Server;
use sqlx::{Connection as _, PgConnection};

static SERVER: LazyLock<Mutex<Server>> =
    LazyLock::new(|| Mutex::new(Server::start("postgres", &["fsync=on", "wal_sender_timeout=5s"])));

pub fn server() -> &'static Mutex<Server> {
    &SERVER
}

/// A new database on a server.
#[derive(Clone)]
pub struct Database {
    pub url: String,
    pub name: String,
}

impl Database {
    pub fn new(server: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        sql(server, &format!("CREATE DATABASE {name}"));
        let (host, _) = server.rsplit_once('/').unwrap();
        let url = format!("{host}/{name}");
        Self { url, name }
    }

    pub fn settings(&self) -> PostgresSettings {
        PostgresSettings::new(&self.url)
    }

    pub fn sql(&self, text: &str) {
        sql(&self.url, text);
    }
}

/// Runs statements on a connection of their own.
pub fn sql(url: &str, text: &str) {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let done = sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned()))
                .execute(&mut connection)
                .await;
            done.unwrap_or_else(|error| panic!("{text}: {error}"));
            connection.close().await.unwrap();
        });
    };
    // Tests call this inside a runtime, which no other may be waited for in.
    std::thread::scope(|scope| scope.spawn(run).join().unwrap());
}
