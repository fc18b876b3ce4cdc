//! The store of definitions against a real server: what every store promises, and what becomes of it when the server fails.

mod support;

use std::sync::Arc;

use evenhand_manage::store::contract;
use evenhand_postgres::Postgres;
use support::{Database, server};

#[test]
fn postgresql_keeps_the_promises() {
    contract::all(&|| {
        let database = Database::new(&server().lock().unwrap().url);
        let postgres = Postgres::open(database.settings()).unwrap();
        Arc::new(move || Box::new(postgres.store()))
    });
}
