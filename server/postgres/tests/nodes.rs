//! Several nodes on one database.

mod support;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Barrier, PoisonError};

use evenhand_manage::{Manage, ManageConfig};
use evenhand_postgres::{KEPT_LISTS_MS, Postgres};
use serde_json::{Value, json};
use support::node::{Node, files};
use support::{Database, server};

fn database() -> (Database, Postgres) {
    let database = Database::new(&server().lock().unwrap_or_else(PoisonError::into_inner).url);
    let postgres = Postgres::open(database.settings()).unwrap();
    (database, postgres)
}

#[test]
fn nodes_that_start_at_once_make_one_installation_with_the_keys_that_are_there() {
    let database = Database::new(&server().lock().unwrap_or_else(PoisonError::into_inner).url);
    // Each with connections of its own; the secrets are shared.
    let directory = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(4);
    let versions = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let postgres = Postgres::open(database.settings()).unwrap();
                    let node = Node::open(&postgres, files(directory.path())).unwrap();
                    (node.version(), node.token.clone(), node.manage)
                })
            })
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(
        versions
            .iter()
            .all(|(version, token, _)| *version == 1 && *token == versions[0].1)
    );
    let text = std::fs::read_to_string(directory.path().join("keys.json")).unwrap();
    let keys: Value = serde_json::from_str(&text).unwrap();
    for (_, _, manage) in &versions {
        assert!(manage.authenticate_key(keys["server"].as_str().unwrap()).is_some());
        assert_eq!(manage.model().keys.count("production"), 3);
    }
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().contains("unstored")),
        "{left:?}"
    );
}

#[test]
fn a_layout_of_a_newer_program_is_refused_in_words() {
    let (database, _postgres) = database();
    database.sql("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', TRUE, '', 0)");
    let refused = Postgres::open(database.settings()).unwrap_err().to_string();
    assert!(
        refused.contains("layout 99") && refused.contains("newer program"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_changes_another_builds_on() {
    let (_database, postgres) = database();
    let directory = tempfile::tempdir().unwrap();
    let a = Node::open(&postgres, files(directory.path())).unwrap();
    let b = Node::open(&postgres, files(directory.path())).unwrap();
    assert!(!b.manage.reload().await.unwrap());
    a.flag("f").await;
    // Not told of it, b knows no flag `f`; its refusal is judged by what is stored.
    assert_eq!(b.version(), 1);
    Node::expect(b.turn("f", true).await, 200);
    assert_eq!((a.version(), b.version()), (2, 3));
    let mut told = a.manage.subscribe("production").unwrap();
    told.borrow_and_update();
    assert!(a.manage.reload().await.unwrap());
    assert_eq!(a.version(), 3);
    assert!(told.has_changed().unwrap());
    assert_eq!(
        a.manage.current("production").unwrap().server_bytes,
        b.manage.current("production").unwrap().server_bytes
    );
    assert!(!a.manage.reload().await.unwrap());
    // A change that was right when it was sent, and is not any more.
    Node::expect(a.turn("f", false).await, 200);
    Node::expect(b.turn("f", false).await, 409);

    // Both at once, again and again: all of them are stored, in one chain, each version once.
    let (a, b) = (Arc::new(a), Arc::new(b));
    let rounds = 20;
    let tasks: Vec<_> = [Arc::clone(&a), Arc::clone(&b)]
        .into_iter()
        .enumerate()
        .map(|(which, node)| {
            tokio::spawn(async move {
                for n in 0..rounds {
                    node.flag(&format!("flag-{which}-{n}")).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    a.manage.reload().await.unwrap();
    b.manage.reload().await.unwrap();
    assert_eq!(a.version(), b.version());
    assert_eq!(a.manage.model().flags.count("default"), 1 + 2 * rounds);
    let report = Node::expect(a.call("GET", "/api/audit/verify", Value::Null).await, 200);
    assert_eq!(
        (&report["intact"], &report["records"]),
        (&json!(true), &json!(4 + 2 * rounds)),
        "{report}"
    );
    let versions = Node::expect(
        a.call("GET", "/api/environments/production/manifest/versions", Value::Null)
            .await,
        200,
    );
    assert_eq!(versions["items"].as_array().unwrap().len() as u64, a.version());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_keys_changes_nothing_and_signs_nothing() {
    let (_database, postgres) = database();
    let (home, away, stranger) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let a = Node::open(&postgres, files(home.path())).unwrap();
    a.flag("f").await;
    std::fs::copy(home.path().join("admin-token"), away.path().join("admin-token")).unwrap();
    let may_not = |directory: &std::path::Path| evenhand_manage::NodeFiles {
        may_mint: false,
        first_keys: None,
        ..files(directory)
    };
    let b = Node::open(&postgres, may_not(away.path())).unwrap();
    assert!(b.manage.current("production").is_none());
    let refused = Node::expect(b.turn("f", true).await, 409);
    assert_eq!(refused["error"]["code"], "no_signing_key", "{refused}");
    assert!(!away.path().join("signing-keys.json").exists());
    // One that made keys of its own for the same name.
    let other = Database::new(&server().lock().unwrap_or_else(PoisonError::into_inner).url);
    Node::open(&Postgres::open(other.settings()).unwrap(), files(stranger.path())).unwrap();
    let c = Node::open(&postgres, files(stranger.path())).unwrap();
    let refused = Node::expect(c.turn("f", true).await, 409);
    assert_eq!(refused["error"]["code"], "no_signing_key", "{refused}");
    assert_eq!(a.version(), 2);
    // The secret is mounted: the next reload finds it, without a restart.
    std::fs::copy(
        home.path().join("signing-keys.json"),
        away.path().join("signing-keys.json"),
    )
    .unwrap();
    Node::expect(a.turn("f", true).await, 200);
    assert!(b.manage.reload().await.unwrap());
    assert_eq!(b.version(), 3);
    Node::expect(b.turn("f", false).await, 200);
    // Brand-new environments need keys, too.
    let staging = json!({"key": "staging", "project": "default", "name": "Staging"});
    let refused = Node::expect(b.call("POST", "/api/environments", staging.clone()).await, 409);
    assert_eq!(refused["error"]["code"], "no_signing_key", "{refused}");
    Node::expect(a.call("POST", "/api/environments", staging).await, 201);

    let empty = Database::new(&server().lock().unwrap_or_else(PoisonError::into_inner).url);
    let refused = Node::open(&Postgres::open(empty.settings()).unwrap(), may_not(away.path()))
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("first installation"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_manifest_never_replaces_a_newer_one() {
    let (database, postgres) = database();
    let directory = tempfile::tempdir().unwrap();
    let a = Node::open(&postgres, files(directory.path())).unwrap();
    a.flag("f").await;
    // The database goes back to its state before this: a replica took over that had not heard of it.
    let tables = "documents, salts, lists, audit, audit_head, manifests, manifest_bytes";
    for table in tables.split(", ") {
        database.sql(&format!("CREATE TABLE old_{table} AS TABLE {table}"));
    }
    Node::expect(a.turn("f", true).await, 200);
    database.sql(&format!("TRUNCATE {tables}"));
    for table in tables.split(", ") {
        database.sql(&format!("INSERT INTO {table} SELECT * FROM old_{table}"));
    }
    assert_eq!(a.version(), 3);
    assert!(a.manage.reload().await.unwrap());
    let now = a.manage.current("production").unwrap();
    assert_eq!((now.generation, now.version), (2, 3));
    // And when the first thing it hears of it is a change.
    Node::expect(a.turn("f", true).await, 200);
    database.sql(&format!("TRUNCATE {tables}"));
    for table in tables.split(", ") {
        database.sql(&format!("INSERT INTO {table} SELECT * FROM old_{table}"));
    }
    Node::expect(a.turn("f", true).await, 200);
    let now = a.manage.current("production").unwrap();
    assert_eq!((now.generation, now.version), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_id_list_is_kept_for_a_day() {
    let (_database, postgres) = database();
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(1_767_225_600_000));
    let now = Arc::clone(&clock);
    let config = ManageConfig {
        clock: Arc::new(move || now.load(Ordering::SeqCst)),
        ..ManageConfig::default()
    };
    let node = Node::open_at(&postgres, files(directory.path()), config).unwrap();
    let segments = "/api/projects/default/segments";
    Node::expect(
        node.call("POST", segments, json!({"key": "s", "list": {"unit": "user_id"}}))
            .await,
        201,
    );
    let upload = |ids: &str| {
        let ids = Value::from(ids);
        let node = &node;
        async move {
            let stored = Node::expect(node.call("PUT", &format!("{segments}/s/ids"), ids).await, 200);
            stored["list"]["sha256"].as_str().unwrap().to_owned()
        }
    };
    use evenhand_manage::store::DefinitionStore as _;
    let has = |sha256: &str| tokio::task::block_in_place(|| postgres.store().list(sha256).unwrap().is_some());
    let first = upload("a\nb").await;
    let second = upload("c").await;
    clock.fetch_add(KEPT_LISTS_MS - 1, Ordering::SeqCst);
    let third = upload("d").await;
    assert!(has(&first) && has(&second) && has(&third));
    clock.fetch_add(2, Ordering::SeqCst);
    // The second comes back to use before its day is over.
    assert_eq!(upload("c").await, second);
    assert!(!has(&first) && has(&second) && has(&third));
    clock.fetch_add(KEPT_LISTS_MS + 1, Ordering::SeqCst);
    upload("e").await;
    assert!(has(&second) && !has(&third));
    // A node that starts now reads what is named, and deletes nothing.
    let again = Node::open(&postgres, files(directory.path())).unwrap();
    let _: &Manage = &again.manage;
    assert!(has(&second));
}
