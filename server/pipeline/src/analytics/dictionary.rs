//! Names to small numbers and back: events repeat their names a million times.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use crate::{
    error::{Doing, StoreError},
    process::names::Interner,
};

/// Names kept in memory; a flood of new ones costs look-ups, not memory.
const CACHE_LIMIT: usize = 65_536;

/// The dictionary of one writer.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    known: HashMap<String, i64>,
}

impl Dictionary {
    /// The number of a name, given now if it has none.
    pub fn intern(&mut self, connection: &Connection, text: &str) -> Result<i64, StoreError> {
        const DOING: &str = "looking up a name";
        if let Some(id) = self.known.get(text) {
            return Ok(*id);
        }
        let found: Option<i64> = connection
            .prepare_cached("SELECT id FROM dictionary WHERE text = ?1")
            .and_then(|mut statement| statement.query_row([text], |row| row.get(0)).optional())
            .doing(DOING)?;
        let id = match found {
            Some(id) => id,
            None => connection
                .prepare_cached("INSERT INTO dictionary(text) VALUES (?1)")
                .and_then(|mut statement| statement.insert([text]))
                .doing(DOING)?,
        };
        if self.known.len() >= CACHE_LIMIT {
            self.known.clear();
        }
        self.known.insert(text.to_owned(), id);
        Ok(id)
    }

    /// After a rollback: numbers given inside the transaction are not given any more.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

/// The dictionary together with the connection (or transaction) it is written through.
pub(super) struct Numbering<'a> {
    pub connection: &'a Connection,
    pub dictionary: &'a mut Dictionary,
}

impl Interner for Numbering<'_> {
    fn number(&mut self, name: &str) -> Result<i64, StoreError> {
        self.dictionary.intern(self.connection, name)
    }
}
