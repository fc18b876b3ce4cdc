//! A change under way: a copy of the model, what was changed in it, and the salts and names drawn for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::definition::Stored;
use crate::model::{Home, Model, Record};
use crate::problem::{ManageError, Result};
use crate::salts;

/// One changed document, as the store and the audit log need it.
#[derive(Debug, Clone)]
pub struct Change {
    /// The kind of document.
    pub kind: &'static str,
    /// Its scope.
    pub scope: String,
    /// Its key.
    pub key: String,
    /// The version that was there; none: it is new.
    pub expected: Option<u64>,
    /// The version it has now.
    pub version: u64,
    /// When it was created.
    pub created_ms: i64,
    /// What was there.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Value,
    home: Home,
    in_manifest: bool,
}

/// A salt that was drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnSalt {
    /// The salt.
    pub salt: String,
    /// Its prepared hash state.
    pub state: u32,
    /// Its length in bytes.
    pub length: u32,
}

/// A change under way.
#[derive(Debug)]
pub struct Edit {
    /// The model as it will be.
    pub model: Model,
    /// The instant of the change (milliseconds since 1970).
    pub now_ms: i64,
    changes: BTreeMap<(&'static str, String, String), Change>,
    drawn: Vec<DrawnSalt>,
    lists: Vec<(String, Arc<[u8]>)>,
    notes: Vec<(String, Value)>,
}

impl Edit {
    /// Begins a change of `model` at `now_ms`.
    pub fn new(model: Model, now_ms: i64) -> Self {
        Self {
            model,
            now_ms,
            changes: BTreeMap::new(),
            drawn: Vec::new(),
            lists: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a record that must not be there yet.
    pub fn create<T: Record>(&mut self, scope: &str, body: T) -> Result<()> {
        if T::table(&self.model).get(scope, body.key()).is_some() {
            return Err(ManageError::conflict(
                "already_exists",
                format!(
                    "there is a {} `{}` already: choose another key, or change that one",
                    T::KIND,
                    body.key()
                ),
            ));
        }
        self.put(scope, body)
    }

    /// Replaces a record that must be there; nothing happens when it is the same.
    pub fn update<T: Record>(&mut self, scope: &str, body: T) -> Result<()> {
        if self.model.find::<T>(scope, body.key())?.body == body {
            return Ok(());
        }
        self.put(scope, body)
    }

    /// Changes a record in place.
    pub fn modify<T: Record>(&mut self, scope: &str, key: &str, change: impl FnOnce(&mut T)) -> Result<()> {
        let mut body = self.model.find::<T>(scope, key)?.body.clone();
        change(&mut body);
        self.update(scope, body)
    }

    fn put<T: Record>(&mut self, scope: &str, body: T) -> Result<()> {
        let key = body.key().to_owned();
        let at = (T::KIND, scope.to_owned(), key.clone());
        let present = T::table(&self.model).get(scope, &key);
        let (created_ms, present_version) =
            present.map_or((self.now_ms, None), |stored| (stored.created_ms, Some(stored.version)));
        let after = to_value(&body)?;
        let version = match self.changes.get_mut(&at) {
            Some(change) => {
                change.after = after;
                change.version
            }
            None => {
                let version = present_version.unwrap_or(0) + 1;
                let change = Change {
                    kind: T::KIND,
                    scope: scope.to_owned(),
                    key: key.clone(),
                    expected: present_version,
                    version,
                    created_ms,
                    before: present.map(|stored| to_value(&stored.body)).transpose()?,
                    after,
                    home: T::HOME,
                    in_manifest: T::IN_MANIFEST,
                };
                self.changes.insert(at, change);
                version
            }
        };
        let stored = Stored {
            version,
            created_ms,
            updated_ms: self.now_ms,
            body,
        };
        T::table_mut(&mut self.model).insert(scope, &key, stored);
        Ok(())
    }

    /// Draws a salt that no other shares its hash state and length with.
    pub fn draw_salt(&mut self) -> String {
        loop {
            let salt = salts::random_text(salts::SALT_LENGTH);
            let (state, length) = salts::fingerprint(&salt);
            if Arc::make_mut(&mut self.model.salts).insert((state, length)) {
                self.drawn.push(DrawnSalt {
                    salt: salt.clone(),
                    state,
                    length,
                });
                return salt;
            }
        }
    }

    /// Adds the bytes of an id list.
    pub fn add_list(&mut self, sha256: &str, bytes: Arc<[u8]>) -> Result<()> {
        Arc::make_mut(&mut self.model.lists).insert(Arc::clone(&bytes))?;
        self.lists.push((sha256.to_owned(), bytes));
        Ok(())
    }

    /// Notes something for the audit log that changes no document, such as a minted override token.
    pub fn note(&mut self, name: &str, value: Value) {
        self.notes.push((name.to_owned(), value));
    }

    /// The environments whose manifest may have changed.
    pub fn affected_environments(&self) -> BTreeSet<String> {
        let mut affected = BTreeSet::new();
        for change in self.changes.values().filter(|change| change.in_manifest) {
            match change.home {
                Home::Environment => {
                    affected.insert(change.scope.clone());
                }
                Home::Project => affected.extend(self.model.environments_of(&change.scope)),
                Home::Installation => {}
            }
        }
        affected
    }

    /// Whether nothing was changed or noted.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.notes.is_empty()
    }

    /// What was there before, and what is there now, for the audit log: `kind/scope/key` → document.
    pub fn before_and_after(&self) -> (Value, Value) {
        let mut before = serde_json::Map::new();
        let mut after = serde_json::Map::new();
        for change in self.changes.values() {
            let name = format!("{}/{}/{}", change.kind, change.scope, change.key);
            if let Some(value) = &change.before {
                before.insert(name.clone(), value.clone());
            }
            after.insert(name, change.after.clone());
        }
        for (name, value) in &self.notes {
            after.insert(name.clone(), value.clone());
        }
        (Value::Object(before), Value::Object(after))
    }

    /// The parts: the model, the changed documents, the drawn salts, the added lists.
    pub fn into_parts(self) -> Parts {
        (self.model, self.changes.into_values().collect(), self.drawn, self.lists)
    }
}

/// What [`Edit::into_parts`] gives.
pub type Parts = (Model, Vec<Change>, Vec<DrawnSalt>, Vec<(String, Arc<[u8]>)>);

fn to_value<T: serde::Serialize>(body: &T) -> Result<Value> {
    serde_json::to_value(body)
        .map_err(|error| ManageError::Store(format!("a document can't be written as JSON: {error}")))
}
