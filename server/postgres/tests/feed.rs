//! The feed against a real server that is stopped, killed and full. The tests come one after the other: they share the server, and end it.

mod support;

use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evenhand_postgres::{Committed, Feed, FeedMode, FeedSettings, FeedState, Postgres};
use evenhand_test_servers::Server;
use support::node::{Node, files};
use support::{Database, server};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(700);

/// A database with one node, whose `turn` makes versions, and one server that is this test's alone.
struct Place {
    server: MutexGuard<'static, Server>,
    database: Database,
    postgres: Postgres,
    node: Arc<Node>,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let server = server().lock().unwrap_or_else(PoisonError::into_inner);
        let database = Database::new(&server.url);
        let postgres = Postgres::open(database.settings()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let node = open(&postgres, directory.path());
        Self {
            server,
            database,
            postgres,
            node: Arc::new(node),
            _directory: directory,
        }
    }

    fn settings(&self, mode: FeedMode) -> FeedSettings {
        FeedSettings {
            mode,
            slot: format!("slot_{}", self.database.name),
            patrol: Duration::from_millis(200),
            ..FeedSettings::default()
        }
    }

    fn feed(&self, mode: FeedMode) -> Feed {
        self.postgres.feed(self.settings(mode))
    }

    /// Publishes so many versions; the last one's number.
    async fn publish(&self, count: u64) -> u64 {
        for _ in 0..count {
            let kill = self.node.version().is_multiple_of(2);
            Node::expect(self.node.turn("f", kill).await, 200);
        }
        self.node.version()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A slot is the server's, not the database's, and keeps its log.
        if !std::thread::panicking() {
            self.database
                .sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active");
        }
    }
}

fn open(postgres: &Postgres, directory: &Path) -> Node {
    Node::open(postgres, files(directory)).unwrap()
}

async fn next(feed: &mut Feed) -> Committed {
    let state = feed.state();
    let next = tokio::time::timeout(LONG, feed.next()).await;
    next.unwrap_or_else(|_| panic!("nothing came; it was {state:?}, and is {:?}", feed.state()))
        .unwrap()
}

/// Takes and confirms until this version has come; all versions that did.
async fn until(feed: &mut Feed, version: u64) -> Vec<u64> {
    let mut came = Vec::new();
    loop {
        let committed = next(feed).await;
        feed.confirm(&committed).await.unwrap();
        came.push(committed.version);
        if committed.version == version {
            return came;
        }
    }
}

async fn nothing_comes(feed: &mut Feed) {
    let came = tokio::time::timeout(SHORT, feed.next()).await;
    assert!(came.is_err(), "{came:?}");
}

async fn state(feed: &Feed, wanted: impl Fn(&FeedState) -> bool) {
    let mut states = feed.states();
    tokio::time::timeout(LONG, states.wait_for(|state| wanted(state)))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replication_misses_nothing_and_repeats_nothing_that_was_confirmed() {
    let mut place = Place::new();
    place.node.flag("f").await;
    let mut first = place.feed(FeedMode::Replication);
    // All that was there before the slot, once.
    let begun = next(&mut first).await;
    assert_eq!(
        (
            begun.environment.as_str(),
            begun.generation,
            begun.version,
            begun.at_lsn
        ),
        ("production", 1, 2, None)
    );
    assert_eq!(begun.hash, place.node.manage.current("production").unwrap().hash);
    first.confirm(&begun).await.unwrap();
    // Then each commit, in order.
    let last = place.publish(5).await;
    assert_eq!(until(&mut first, last).await, (3..=last).collect::<Vec<_>>());

    // A second node waits, and takes over where the first had come to.
    let mut second = place.feed(FeedMode::Replication);
    state(&second, |state| *state == FeedState::Waiting).await;
    let last = place.publish(3).await;
    let one = next(&mut first).await;
    first.confirm(&one).await.unwrap();
    assert!(one.at_lsn.is_some());
    // Given to the first, and never confirmed: the second gets it.
    let lost = next(&mut first).await;
    drop(first);
    assert_eq!(
        until(&mut second, last).await,
        (lost.version..=last).collect::<Vec<_>>()
    );
    assert_eq!(second.counters().announcements, 0);

    // The server is restarted, and then killed, with commits around it.
    place.server.stop();
    place.server.restart();
    let last = place.publish(3).await;
    assert_eq!(until(&mut second, last).await, (last - 2..=last).collect::<Vec<_>>());
    let last = place.publish(2).await;
    assert_eq!(until(&mut second, last).await, [last - 1, last]);
    place.server.kill();
    place.server.restart();
    let newest = place.publish(3).await;
    assert_eq!(until(&mut second, newest).await, [newest - 2, newest - 1, newest]);
    assert!(second.counters().reconnects > 0);

    // Confirmed, then both die at once: the server forgets what it was told of the slot since its last checkpoint, and still nothing comes twice.
    let last = place.publish(4).await;
    assert_eq!(until(&mut second, last).await.len(), 4);
    place.server.kill();
    drop(second);
    place.server.restart();
    let mut third = place.feed(FeedMode::Replication);
    state(&third, |state| matches!(state, FeedState::Holding(_))).await;
    nothing_comes(&mut third).await;
    let last = place.publish(1).await;
    assert_eq!(until(&mut third, last).await, [last]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_lost_is_made_anew_and_everything_announced_again() {
    let place = Place::new();
    place.node.flag("f").await;
    let mut feed = place.feed(FeedMode::Replication);
    assert_eq!(until(&mut feed, 2).await, [2]);
    // What is not confirmed shows before it is a danger.
    place.publish(2).await;
    let held = next(&mut feed).await;
    place
        .database
        .sql("SELECT pg_logical_emit_message(TRUE, 'noise', repeat('x', 3000000))");
    let status = feed.slot_status().await.unwrap().unwrap();
    assert!(
        status.active && status.lag_bytes > 3_000_000 && !status.is_lost(),
        "{status:?}"
    );
    feed.confirm(&held).await.unwrap();
    drop(feed);

    // Nobody reads, and the server's patience is over.
    place.database.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    place.database.sql("SELECT pg_reload_conf()");
    let last = place.publish(2).await;
    let mut watcher = place.feed(FeedMode::Listen);
    for _ in 0..100 {
        if watcher.slot_status().await.unwrap().unwrap().is_lost() {
            break;
        }
        place.database.sql("CREATE TABLE IF NOT EXISTS noise (a INT)");
        place.database.sql("INSERT INTO noise SELECT generate_series(1, 1000)");
        place.database.sql("SELECT pg_switch_wal()");
        place.database.sql("CHECKPOINT");
    }
    let status = watcher.slot_status().await.unwrap().unwrap();
    assert!(status.is_lost(), "{status:?}");
    assert_eq!(until(&mut watcher, last).await, [last]);
    drop(watcher);
    place.database.sql("ALTER SYSTEM RESET max_slot_wal_keep_size");
    place.database.sql("SELECT pg_reload_conf()");

    let mut feed = place.feed(FeedMode::Replication);
    assert_eq!(until(&mut feed, last).await, [last]);
    assert_eq!(feed.counters().announcements, 1);
    let newest = place.publish(2).await;
    assert_eq!(until(&mut feed, newest).await, [last + 1, newest]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listening_misses_nothing_either() {
    let mut place = Place::new();
    place.node.flag("f").await;
    let mut first = place.feed(FeedMode::Listen);
    assert_eq!(until(&mut first, 2).await, [2]);
    let last = place.publish(5).await;
    assert_eq!(until(&mut first, last).await, (3..=last).collect::<Vec<_>>());
    let mut second = place.feed(FeedMode::Listen);
    state(&second, |state| *state == FeedState::Waiting).await;
    place.server.kill();
    place.server.restart();
    // Whichever of the two is first after that: one holds it, and all of this comes.
    let newest = place.publish(3).await;
    let came = tokio::select! {
        came = until(&mut first, newest) => came,
        came = until(&mut second, newest) => came,
    };
    assert!(
        came == [newest - 2, newest - 1, newest] || came.last() == Some(&newest),
        "{came:?}"
    );
    drop(first);
    let last = place.publish(1).await;
    assert!(until(&mut second, last).await.len() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_rights_it_says_what_an_administrator_must_do_and_listens() {
    let place = Place::new();
    place.node.flag("f").await;
    place
        .database
        .sql("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO plain");
    let mut settings = place.database.settings();
    settings.url = settings.url.replace("postgres@", "plain@");
    // The tables are there: it needs no right to make any.
    place.database.sql("GRANT CREATE ON SCHEMA public TO plain");
    let plain = Postgres::open(settings).unwrap();
    let mut refused = plain.feed(place.settings(FeedMode::Replication));
    assert!(refused.next().await.is_none());
    let FeedState::Ended(why) = refused.state() else {
        panic!("{:?}", refused.state())
    };
    for sql in [
        "ALTER ROLE \"plain\" REPLICATION",
        "CREATE PUBLICATION \"evenhand_publication\" FOR TABLE manifests",
        "wal_level = logical",
    ] {
        assert!(why.contains(sql), "{why}");
    }
    let mut feed = plain.feed(place.settings(FeedMode::Auto));
    assert_eq!(until(&mut feed, 2).await, [2]);
    assert_eq!(feed.state(), FeedState::Holding(FeedMode::Listen));
    drop(feed);
    // As told.
    place.database.sql("ALTER ROLE plain REPLICATION");
    place
        .database
        .sql("CREATE PUBLICATION evenhand_publication FOR TABLE manifests WITH (publish = 'insert')");
    let mut feed = plain.feed(place.settings(FeedMode::Auto));
    assert_eq!(until(&mut feed, 2).await, [2]);
    assert_eq!(feed.state(), FeedState::Holding(FeedMode::Replication));
    drop((feed, refused, plain));
    tokio::time::sleep(SHORT).await;
    place.database.sql("DROP OWNED BY plain; DROP ROLE plain");
}

/// Changes go on while the server is killed: what was answered is stored, once; what was not is stored whole or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answered_change_is_lost_when_the_server_is_killed() {
    let mut place = Place::new();
    place.node.flag("f").await;
    let mut answered = 0;
    for _ in 0..3 {
        let node = Arc::clone(&place.node);
        let changes = tokio::spawn(async move {
            let mut done = 0;
            let until = Instant::now() + Duration::from_millis(2500);
            while Instant::now() < until {
                let kill = node.version().is_multiple_of(2);
                let (status, body) = node.turn("f", kill).await;
                assert_eq!(status.as_u16(), 200, "the server was away for a moment only: {body}");
                done += 1;
            }
            done
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        place.server.kill();
        place.server.restart();
        let done = changes.await.unwrap();
        answered += done;
    }
    let version = place.node.version();
    assert_eq!(version, 2 + answered, "each change that was answered made one version");
    let report = Node::expect(
        place
            .node
            .call("GET", "/api/audit/verify", serde_json::Value::Null)
            .await,
        200,
    );
    assert_eq!(
        (&report["intact"], report["records"].as_u64()),
        (&true.into(), Some(2 + answered)),
        "{report}"
    );
}

/// `cargo test --release -p evenhand-postgres --test feed -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn how_long_a_commit_and_its_feed_take() {
    let place = Place::new();
    place.node.flag("f").await;
    for mode in [FeedMode::Replication, FeedMode::Listen] {
        let mut feed = place.feed(mode);
        until(&mut feed, place.node.version()).await;
        let (mut commits, mut feeds) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let begun = Instant::now();
            let last = place.publish(1).await;
            let committed = Instant::now();
            commits.push(committed - begun);
            let came = next(&mut feed).await;
            feeds.push(committed.elapsed());
            assert_eq!(came.version, last);
            feed.confirm(&came).await.unwrap();
        }
        for (what, mut times) in [("change", commits), ("commit answered → feed", feeds)] {
            times.sort();
            println!(
                "{mode:?}: {what}: p50 {:?}, p99 {:?}, max {:?}",
                times[150], times[297], times[299]
            );
        }
        drop(feed);
        tokio::time::sleep(SHORT).await;
    }
}
