//! What a change costs, how soon it arrives, and what happens to changes that nobody announced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use evenhand_redis::{Fetching, FollowConfig, ManageSource, ManifestCache, PublishConfig, Source, publish};
use evenhand_test_servers::Server;

use crate::support::{Publishing, at_once, calls, plain, quick, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_costs_each_of_five_hundred_nodes_one_read() {
    const NODES: usize = 500;
    let server = Server::start("redis", &[]);
    let home = Publishing::new();
    let cache = Arc::new(ManifestCache::new(&quick(&server.url)).unwrap());
    let publisher = publish(
        Arc::clone(&cache),
        Arc::clone(&home.manage),
        PublishConfig {
            check: Duration::from_secs(600),
            ..PublishConfig::default()
        },
    );
    publisher.bring().await.unwrap();
    let config = FollowConfig {
        refresh: Duration::from_secs(600),
        jitter: Duration::from_millis(300),
        ..FollowConfig::default()
    };
    let patient = evenhand_redis::RedisConfig::new(&server.url);
    let nodes: Vec<_> = (0..NODES)
        .map(|_| {
            let manage = home.follower();
            let cache = Arc::clone(&cache);
            let fetcher = Arc::new(evenhand_redis::Fetcher::new(Arc::clone(&manage), cache, None, None));
            (evenhand_redis::follow(&patient, fetcher, config).unwrap(), manage)
        })
        .collect();
    let all_at = |version: u64| {
        nodes
            .iter()
            .all(|(_, manage)| manage.current("production").is_some_and(|p| p.version == version))
    };
    until("all nodes begin", 30, || {
        all_at(home.version()) && nodes.iter().all(|(follower, _)| follower.gauges().connected())
    })
    .await;
    let mut plain = plain(&server.url).await;
    for change in 0..3 {
        let (reads, heads) = (calls(&mut plain, "get").await, calls(&mut plain, "mget").await);
        let puts = calls(&mut plain, "evalsha").await + calls(&mut plain, "eval").await;
        home.flag(&format!("f{change}")).await;
        until("all nodes have the change", 20, || all_at(home.version())).await;
        let puts = calls(&mut plain, "evalsha").await + calls(&mut plain, "eval").await - puts;
        // The script that puts reads the head once.
        let reads = calls(&mut plain, "get").await - reads - puts;
        assert_eq!(reads, NODES as u64, "change {change}");
        assert_eq!(calls(&mut plain, "mget").await, heads);
    }
    // A change that comes twice within the jitter is read once, as its last state.
    assert!(nodes.iter().all(|(follower, _)| follower.gauges().refused() == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_arrives_in_milliseconds_and_a_revoked_key_goes_everywhere() {
    const CHANGES: usize = 100;
    let server = Server::start("redis", &[]);
    let home = Publishing::new();
    for n in 0..200 {
        home.flag(&format!("flag-number-{n}")).await;
    }
    let bundle = home.manage.bundle("production").unwrap().unwrap();
    println!("a bundle of 200 flags: {} bytes", bundle.bytes.len());
    let cache = Arc::new(ManifestCache::new(&quick(&server.url)).unwrap());
    let _publisher = publish(cache.clone(), Arc::clone(&home.manage), PublishConfig::default());
    let nodes: Vec<_> = (0..3).map(|_| home.node(&server.url, at_once(), None, None)).collect();
    until("all begin", 20, || {
        nodes.iter().all(|node| node.version() == home.version())
    })
    .await;

    // From the answered change to the manifest in force at the last of the nodes: making, signing, putting, hearing, reading, compiling.
    let mut waits = Vec::new();
    for change in 0..CHANGES {
        let made = change % 2 == 0;
        let action = if made { "kill" } else { "unkill" };
        let path = format!("environments/production/flags/flag-number-7/{action}");
        home.call("POST", &path, "{}").await;
        let began = Instant::now();
        until("it arrives", 10, || {
            nodes.iter().all(|node| node.version() == home.version())
        })
        .await;
        waits.push(began.elapsed());
    }
    waits.sort();
    println!(
        "from the commit to the last of 3 nodes: p50 {:?}, p99 {:?}",
        waits[CHANGES / 2],
        waits[CHANGES * 99 / 100]
    );

    let (id, key) = home.key().await;
    until("the key is known", 10, || {
        nodes.iter().all(|node| node.manage.authenticate_key(&key).is_some())
    })
    .await;
    let version = home.version();
    home.call("DELETE", &format!("environments/production/keys/{id}"), "")
        .await;
    until("the key is gone", 10, || {
        nodes.iter().all(|node| node.manage.authenticate_key(&key).is_none())
    })
    .await;
    assert_eq!(home.version(), version, "no manifest told of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_announced_is_found_at_the_refresh() {
    let server = Server::start("redis", &[]);
    let home = Publishing::new();
    let cache = ManifestCache::new(&quick(&server.url)).unwrap();
    cache
        .put(&home.manage.bundle("production").unwrap().unwrap())
        .await
        .unwrap();
    let refresh = Duration::from_millis(900);
    let node = home.node(&server.url, FollowConfig { refresh, ..at_once() }, None, None);
    until("it begins", 10, || {
        node.version() == home.version() && node.follower.gauges().connected()
    })
    .await;
    let mut plain = plain(&server.url).await;
    for n in 0..3 {
        home.flag(&format!("f{n}")).await;
        let bundle = home.manage.bundle("production").unwrap().unwrap();
        let heard = node.follower.gauges().announcements();
        let head = format!(
            "{} {} {} {}",
            bundle.order.generation, bundle.order.version, bundle.order.revision, bundle.sha256
        );
        let _: () = redis::pipe()
            .set("active_experiments_v1:production", &bundle.bytes[..])
            .set("active_experiments_v1:production:head", head)
            .query_async(&mut plain)
            .await
            .unwrap();
        let waited = until("it is found", 5, || node.version() == home.version()).await;
        assert!(waited < refresh + Duration::from_millis(500), "{waited:?}");
        assert_eq!(node.follower.gauges().announcements(), heard);
    }
    // Quiet: heads are compared, bundles are not read.
    let (reads, compared) = (calls(&mut plain, "get").await, calls(&mut plain, "mget").await);
    tokio::time::sleep(refresh * 2 + Duration::from_millis(300)).await;
    assert_eq!(calls(&mut plain, "get").await, reads);
    assert!((1..=3).contains(&(calls(&mut plain, "mget").await - compared)));
}

/// Counts what it is asked.
struct Counting {
    inner: ManageSource,
    asked: AtomicU64,
}

impl Source for Counting {
    fn bundle<'a>(&'a self, environment: &'a str) -> Fetching<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let inner = self.inner.bundle(environment);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            inner.await
        })
    }

    fn list<'a>(&'a self, sha256: &'a str) -> Fetching<'a> {
        self.inner.list(sha256)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_misses_in_redis_asks_once_and_fills_it() {
    let server = Server::start("redis", &[]);
    let home = Publishing::new();
    home.flag("f").await;
    let cache = Arc::new(ManifestCache::new(&quick(&server.url)).unwrap());
    let source = Arc::new(Counting {
        inner: ManageSource(Arc::clone(&home.manage)),
        asked: AtomicU64::new(0),
    });
    let asked: Arc<dyn Source> = source.clone();
    let fetcher = Arc::new(evenhand_redis::Fetcher::new(
        home.follower(),
        Arc::clone(&cache),
        Some(asked),
        None,
    ));
    let many = (0..50).map(|_| {
        let fetcher = Arc::clone(&fetcher);
        tokio::spawn(async move { fetcher.bring("production").await.unwrap().unwrap() })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_eq!(source.asked.load(Ordering::SeqCst), 1);
    assert_eq!(fetcher.manage().current("production").unwrap().version, home.version());
    // Redis has it now: another node asks nobody else.
    let other = home.node(&server.url, at_once(), None, None);
    until("it begins", 10, || other.version() == home.version()).await;
    assert_eq!(fetcher.bring("nowhere").await.unwrap(), None);
}
