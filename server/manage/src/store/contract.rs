//! What every store of definitions promises, as tests: the embedded one and those for many nodes pass the same.

use std::sync::{Arc, Barrier};

use evenhand_core::id_list::IdListBuilder;
use serde_json::{Value, json};

use super::audit::{AuditEntry, AuditRecord, ChainHead, GENESIS};
use super::{AuditQuery, CHAIN_MOVED, Commit, DefinitionStore, KEPT_MANIFESTS, Loaded, ManifestVersion};
use crate::definition::{Environment, IdList, Project, Segment, Workspace};
use crate::edit::Edit;
use crate::model::{INSTALLATION, Lists};
use crate::problem::ManageError;
use crate::state::PublishState;

/// Opens the store of one place: again and again, also while it is open.
pub type Opener = Arc<dyn Fn() -> Box<dyn DefinitionStore> + Send + Sync>;

/// Tries all of it; `empty` makes a new, empty place.
///
/// # Panics
/// A promise is broken.
pub fn all(empty: &dyn Fn() -> Opener) {
    what_was_committed_is_loaded(&empty());
    a_moved_chain_and_a_moved_document_refuse_all_of_it(&empty());
    the_audit_log_is_paged_and_verified(&empty());
    old_manifests_lose_their_bytes(&empty());
    lists_are_kept_and_shared(&empty());
    of_two_writers_exactly_one_wins_each_round(&empty());
}

/// A change as a writer makes it, on top of what is loaded.
struct Draft {
    edit: Edit,
    head: ChainHead,
    manifests: Vec<ManifestVersion>,
    target: &'static str,
}

impl Draft {
    fn on(loaded: &Loaded, at_ms: i64) -> Self {
        Self {
            edit: Edit::new(loaded.model.clone(), at_ms),
            head: loaded.head.clone(),
            manifests: Vec::new(),
            target: "thing/a",
        }
    }

    fn commit(self, store: &mut dyn DefinitionStore) -> Result<AuditRecord, ManageError> {
        let now_ms = self.edit.now_ms;
        let (before, after) = self.edit.before_and_after();
        let entry = AuditEntry {
            at_ms: now_ms,
            actor: "Zoë \u{1}\\ \"".into(),
            action: "thing.change".into(),
            target: self.target.into(),
            project: Some("p".into()),
            environment: Some("e".into()),
            before,
            after,
            published: json!({"e": 1}),
        };
        let audit = AuditRecord::chain(&self.head, entry)?;
        let (_, changes, salts, lists) = self.edit.into_parts();
        store.commit(&Commit {
            at_ms: now_ms,
            changes: &changes,
            salts: &salts,
            lists: &lists,
            audit: &audit,
            manifests: &self.manifests,
        })?;
        Ok(audit)
    }
}

fn load(store: &mut dyn DefinitionStore) -> Loaded {
    store.load(&Lists::default()).unwrap()
}

fn manifest(version: u64, audit_seq: u64) -> ManifestVersion {
    ManifestVersion {
        environment: "e".into(),
        generation: 1,
        version,
        issued_at_ms: 5,
        server_hash: format!("s{version}"),
        client_hash: format!("c{version}"),
        audit_seq,
        server_bytes: Arc::from(format!("server {version}\0").into_bytes()),
        client_bytes: Arc::from(format!("client {version}").into_bytes()),
    }
}

/// Workspace, project, environment, its publish state with version 1, and one manifest.
fn begin(store: &mut dyn DefinitionStore) -> Loaded {
    let mut draft = Draft::on(&load(store), 10);
    let edit = &mut draft.edit;
    let (key, name) = ("p".to_owned(), "Naïve \u{0} ☃ \\u0000".to_owned());
    edit.create(
        INSTALLATION,
        Workspace {
            key: "w".into(),
            name: name.clone(),
        },
    )
    .unwrap();
    edit.create(
        INSTALLATION,
        Project {
            key: key.clone(),
            workspace: "w".into(),
            name: name.clone(),
        },
    )
    .unwrap();
    edit.create(
        INSTALLATION,
        Environment {
            key: "e".into(),
            project: key,
            name,
        },
    )
    .unwrap();
    let state = PublishState {
        key: "e".into(),
        generation: 1,
        manifest_version: 1,
        obfuscation_salt: edit.draw_salt(),
    };
    edit.create("e", state).unwrap();
    draft.manifests.push(manifest(1, 1));
    draft.commit(store).unwrap();
    load(store)
}

fn rename(draft: &mut Draft, name: &str) {
    draft
        .edit
        .modify(INSTALLATION, "p", |project: &mut Project| {
            name.clone_into(&mut project.name)
        })
        .unwrap();
}

fn what_was_committed_is_loaded(open: &Opener) {
    let mut store = open();
    let empty = load(store.as_mut());
    assert_eq!(
        empty.head,
        ChainHead {
            seq: 0,
            hash: GENESIS.into()
        }
    );
    assert_eq!(store.head().unwrap(), empty.head);
    assert!(empty.published.is_empty());
    let first = begin(store.as_mut());
    drop(store);

    let mut store = open();
    let again = load(store.as_mut());
    assert_eq!((again.head.seq, &again.head), (1, &first.head));
    assert_eq!(store.head().unwrap(), again.head);
    let project = again.model.find::<Project>(INSTALLATION, "p").unwrap();
    assert_eq!((project.version, project.created_ms, project.updated_ms), (1, 10, 10));
    assert_eq!(project.body.name, "Naïve \u{0} ☃ \\u0000");
    assert_eq!(again.model.salts.len(), 1);
    assert_eq!(again.published, [manifest(1, 1)]);

    let mut draft = Draft::on(&again, 20);
    rename(&mut draft, "new");
    draft.manifests.push(manifest(2, 2));
    draft.commit(store.as_mut()).unwrap();
    let third = load(store.as_mut());
    let project = third.model.find::<Project>(INSTALLATION, "p").unwrap();
    assert_eq!((project.version, project.created_ms, project.updated_ms), (2, 10, 20));
    assert_eq!(third.published, [manifest(2, 2)], "the newest of each environment");
    assert_eq!(store.manifest("e", 1).unwrap(), Some(manifest(1, 1)));
    assert_eq!(store.manifest("e", 3).unwrap(), None);
    assert_eq!(store.manifest("else", 1).unwrap(), None);
}

fn a_moved_chain_and_a_moved_document_refuse_all_of_it(open: &Opener) {
    let mut store = open();
    let loaded = begin(store.as_mut());
    let mut draft = Draft::on(&loaded, 20);
    rename(&mut draft, "first");
    draft.commit(store.as_mut()).unwrap();

    let mut late = Draft::on(&loaded, 30);
    rename(&mut late, "late");
    late.edit.draw_salt();
    late.manifests.push(manifest(2, 2));
    let refused = late.commit(store.as_mut()).unwrap_err();
    assert!(
        matches!(refused, ManageError::Conflict { code: CHAIN_MOVED, .. }),
        "{refused:?}"
    );

    // The head is the right one, but the document another.
    let now = load(store.as_mut());
    let mut stale = Draft::on(&loaded, 40);
    stale.head = now.head.clone();
    rename(&mut stale, "stale");
    stale
        .edit
        .create(
            INSTALLATION,
            Workspace {
                key: "w2".into(),
                name: String::new(),
            },
        )
        .unwrap();
    stale.edit.draw_salt();
    stale.manifests.push(manifest(2, 3));
    let refused = stale.commit(store.as_mut()).unwrap_err();
    assert!(
        matches!(&refused, ManageError::VersionConflict { kind: "project", key, current: 2, given: 1 } if key == "p"),
        "{refused:?}"
    );
    // One that is new, and there already.
    let mut twice = Draft::on(&loaded, 50);
    twice.head = now.head.clone();
    twice.edit = Edit::new(crate::model::Model::default(), 50);
    twice
        .edit
        .create(
            INSTALLATION,
            Project {
                key: "p".into(),
                workspace: "w".into(),
                name: "again".into(),
            },
        )
        .unwrap();
    let refused = twice.commit(store.as_mut()).unwrap_err();
    assert!(
        matches!(
            &refused,
            ManageError::VersionConflict {
                kind: "project",
                current: 2,
                given: 0,
                ..
            }
        ),
        "{refused:?}"
    );

    // A version that was published already.
    let mut published = Draft::on(&now, 60);
    rename(&mut published, "published");
    published.manifests.push(manifest(1, 3));
    assert!(published.commit(store.as_mut()).is_err());

    let after = load(store.as_mut());
    assert_eq!(after.head, now.head);
    assert_eq!(
        after.model.find::<Project>(INSTALLATION, "p").unwrap().body.name,
        "first"
    );
    assert!(after.model.workspaces.get(INSTALLATION, "w2").is_none());
    assert_eq!(after.model.salts.len(), 1);
    assert_eq!(store.manifest("e", 2).unwrap(), None);
}

fn the_audit_log_is_paged_and_verified(open: &Opener) {
    let mut store = open();
    let mut loaded = begin(store.as_mut());
    let mut written = Vec::new();
    for n in 0..10 {
        let mut draft = Draft::on(&loaded, 20 + n);
        rename(&mut draft, &format!("name {n}"));
        draft.target = if n % 2 == 0 { "thing/a" } else { "thing/b" };
        written.push(draft.commit(store.as_mut()).unwrap());
        loaded = load(store.as_mut());
    }
    written.reverse();
    let mut ask = |query: AuditQuery| store.audit(&query).unwrap();
    let limit = |limit: usize| AuditQuery {
        limit,
        ..AuditQuery::default()
    };
    assert_eq!(ask(limit(3)), written[..3]);
    assert_eq!(
        ask(AuditQuery {
            before: Some(9),
            ..limit(3)
        }),
        written[3..6]
    );
    assert_eq!(
        ask(AuditQuery {
            before: Some(3),
            ..limit(100)
        })
        .len(),
        2
    );
    let odd = ask(AuditQuery {
        target: Some("thing/b".into()),
        ..limit(100)
    });
    assert_eq!(odd.len(), 5);
    assert_eq!(
        ask(AuditQuery {
            project: Some("p".into()),
            environment: Some("e".into()),
            ..limit(100)
        })
        .len(),
        11
    );
    for nowhere in ["else", "'; DROP TABLE audit; --", "\0"] {
        assert!(
            ask(AuditQuery {
                project: Some(nowhere.into()),
                ..limit(100)
            })
            .is_empty()
        );
        assert!(
            ask(AuditQuery {
                target: Some(nowhere.into()),
                ..limit(100)
            })
            .is_empty()
        );
    }
    let report = store.verify_audit().unwrap();
    assert_eq!(
        (report.intact, report.records, report.head),
        (true, 11, loaded.head.hash)
    );
}

fn old_manifests_lose_their_bytes(open: &Opener) {
    let mut store = open();
    let mut loaded = begin(store.as_mut());
    // Several in a commit, as only this test makes them: a commit each would be slow.
    for from in (2..=KEPT_MANIFESTS + 2).step_by(20) {
        let mut draft = Draft::on(&loaded, 20);
        rename(&mut draft, &format!("from {from}"));
        draft
            .manifests
            .extend((from..from + 20).map(|version| manifest(version, loaded.head.seq + 1)));
        draft.commit(store.as_mut()).unwrap();
        loaded = load(store.as_mut());
    }
    let last = loaded.published[0].version;
    assert!(last > KEPT_MANIFESTS);
    let oldest_kept = last - KEPT_MANIFESTS + 1;
    for (version, kept) in [(1, false), (oldest_kept - 1, false), (oldest_kept, true), (last, true)] {
        let found = store.manifest("e", version).unwrap().unwrap();
        assert_eq!(found.server_bytes.is_empty(), !kept, "version {version} of {last}");
        assert_eq!(found.client_bytes.is_empty(), !kept, "version {version} of {last}");
        assert_eq!(found.server_hash, format!("s{version}"));
    }
    let page = store.manifests("e", Some(oldest_kept), 3).unwrap();
    assert_eq!(
        page.iter().map(|found| found.version).collect::<Vec<_>>(),
        [oldest_kept - 1, oldest_kept - 2, oldest_kept - 3]
    );
    assert!(page.iter().all(|found| found.server_bytes.is_empty()));
    assert_eq!(
        store.manifests("e", None, 1000).unwrap().len(),
        usize::try_from(last).unwrap()
    );
}

fn lists_are_kept_and_shared(open: &Opener) {
    let mut store = open();
    let loaded = begin(store.as_mut());
    let blob = |id: &str| {
        let mut list = IdListBuilder::new("salt-of-the-list");
        list.add(id).unwrap();
        let blob = list.build();
        (blob.sha256, Arc::<[u8]>::from(blob.bytes))
    };
    let (old, new) = (blob("user-1"), blob("user-2"));
    let segment = |sha256: &str| Segment {
        key: "s".into(),
        name: "\0".into(),
        description: String::new(),
        expression: None,
        list: Some(IdList {
            unit: "user_id".into(),
            count: 1,
            sha256: sha256.into(),
            salt: "salt-of-the-list".into(),
        }),
        archived: false,
    };
    let mut draft = Draft::on(&loaded, 20);
    draft.edit.add_list(&old.0, Arc::clone(&old.1)).unwrap();
    draft.edit.create("p", segment(&old.0)).unwrap();
    draft.commit(store.as_mut()).unwrap();
    let mut loaded = load(store.as_mut());
    assert_eq!(loaded.model.lists.bytes(&old.0), Some(&old.1));
    assert_eq!(store.list(&old.0).unwrap(), Some(Arc::clone(&old.1)));
    assert_eq!(store.list(&new.0).unwrap(), None);

    // Twice the same list is one list.
    for (at_ms, (sha256, bytes)) in [(30, &new), (40, &new)] {
        let mut draft = Draft::on(&loaded, at_ms);
        draft.edit.add_list(sha256, Arc::clone(bytes)).unwrap();
        let mut changed = segment(sha256);
        changed.name = at_ms.to_string();
        draft.edit.update("p", changed).unwrap();
        draft.commit(store.as_mut()).unwrap();
        loaded = store.load(&loaded.model.lists).unwrap();
    }
    // What is known is not read again: it is the same memory.
    let known = Arc::clone(loaded.model.lists.bytes(&new.0).unwrap());
    let again = store.load(&loaded.model.lists).unwrap();
    assert!(Arc::ptr_eq(&known, again.model.lists.bytes(&new.0).unwrap()));
    assert_eq!(again.model.lists.bytes(&old.0), None);
    assert_eq!(store.list(&new.0).unwrap(), Some(new.1));
}

/// Both begin on the same state and commit at once; in the end each change that was answered is there, and no other.
fn of_two_writers_exactly_one_wins_each_round(open: &Opener) {
    const ROUNDS: u64 = 25;
    let mut store = open();
    begin(store.as_mut());
    let barrier = Arc::new(Barrier::new(2));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (open, barrier) = (Arc::clone(open), Arc::clone(&barrier));
            std::thread::spawn(move || {
                let mut store = open();
                (0..ROUNDS)
                    .map(|round| {
                        let loaded = load(store.as_mut());
                        let mut draft = Draft::on(&loaded, 100);
                        rename(&mut draft, &format!("{round} by {writer}"));
                        draft.manifests.push(manifest(loaded.head.seq + 1, loaded.head.seq + 1));
                        barrier.wait();
                        let won = match draft.commit(store.as_mut()) {
                            Ok(_) => true,
                            Err(ManageError::Conflict { code: CHAIN_MOVED, .. }) => false,
                            Err(error) => panic!("{error:?}"),
                        };
                        barrier.wait();
                        won
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let won: Vec<Vec<bool>> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    for (round, (a, b)) in won[0].iter().zip(&won[1]).enumerate() {
        assert!(a ^ b, "round {round}: {a} and {b}");
    }
    let report = store.verify_audit().unwrap();
    assert_eq!((report.intact, report.records), (true, ROUNDS + 1));
    let last = won[0].last().is_some_and(|won| !won);
    let name = format!("{} by {}", ROUNDS - 1, u8::from(last));
    assert_eq!(
        load(store.as_mut())
            .model
            .find::<Project>(INSTALLATION, "p")
            .unwrap()
            .body
            .name,
        name
    );
    let records = store
        .audit(&AuditQuery {
            limit: 1,
            ..AuditQuery::default()
        })
        .unwrap();
    assert_eq!(records[0].after["project//p"]["name"], Value::from(name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;

    #[test]
    fn sqlite_keeps_the_promises() {
        all(&|| {
            let directory = tempfile::tempdir().unwrap();
            Arc::new(move || Box::new(SqliteStore::open(&directory.path().join("definitions.sqlite")).unwrap()))
        });
    }
}
