//! Redis killed, emptied, silent, never there: nodes serve, say so, and catch up.

use std::sync::Arc;
use std::time::Duration;

use evenhand_redis::{FollowConfig, LocalCopy, ManifestCache, PublishConfig, publish};
use evenhand_test_servers::Server;

use crate::support::{Publishing, at_once, quick, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_its_last_manifest_while_redis_is_killed_emptied_or_silent_and_catches_up_after() {
    let mut server = Server::start("redis", &[]);
    let home = Publishing::new();
    home.flag("f").await;
    let cache = Arc::new(ManifestCache::new(&quick(&server.url)).unwrap());
    let config = PublishConfig {
        check: Duration::from_millis(500),
        pause: Duration::from_millis(100),
    };
    let publisher = publish(cache, Arc::clone(&home.manage), config);
    let node = home.node(
        &server.url,
        FollowConfig {
            refresh: Duration::from_millis(900),
            ..at_once()
        },
        None,
        None,
    );
    until("it begins", 10, || node.version() == home.version()).await;
    for (n, outage) in ["kill", "pause", "kill"].into_iter().enumerate() {
        if outage == "kill" {
            server.kill()
        } else {
            server.pause()
        }
        let before = node.version();
        let flag = format!("while-{n}");
        home.flag(&flag).await;
        until("it is seen", 10, || {
            !node.follower.gauges().connected() && !publisher.gauges().connected()
        })
        .await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(node.version(), before, "what it held stays in force");
        let published = node.manage.current("production").unwrap();
        assert!(published.snapshot.flag("f").is_some() && published.snapshot.flag(&flag).is_none());
        assert!(node.follower.seconds_since_contact() > 1.0);
        assert_eq!(publisher.gauges().waiting(), 1);
        // Killed, it comes back empty: it is in memory only.
        if outage == "kill" {
            server.restart()
        } else {
            server.resume()
        }
        let waited = until("it catches up", 10, || node.version() == home.version()).await;
        println!("after {outage}: caught up in {waited:?}");
        until("all is well", 10, || {
            node.follower.gauges().connected() && publisher.gauges().waiting() == 0
        })
        .await;
        assert!(node.follower.seconds_since_contact() < 1.0);
        assert!(
            node.manage
                .current("production")
                .unwrap()
                .snapshot
                .flag(&flag)
                .is_some()
        );
    }
    // Emptied while everybody is connected: filled again by the check, and nobody's manifest moved.
    let mut plain = crate::support::plain(&server.url).await;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut plain).await.unwrap();
    let stored = publisher.gauges().stored();
    until("it is filled again", 10, || publisher.gauges().stored() > stored).await;
    assert_eq!(node.version(), home.version());
    assert_eq!(node.follower.gauges().refused(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_from_its_disk_without_redis_and_passes_over_damage() {
    let mut server = Server::start("redis", &[]);
    let home = Publishing::new();
    home.flag("f").await;
    let cache = ManifestCache::new(&quick(&server.url)).unwrap();
    let older = home.manage.bundle("production").unwrap().unwrap();
    home.flag("g").await;
    cache
        .put(&home.manage.bundle("production").unwrap().unwrap())
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let local = || LocalCopy::open(dir.path()).unwrap();
    let file = dir.path().join("production.bundle");
    let node = home.node(&server.url, at_once(), None, Some(local()));
    until("it is on the disk", 10, || file.exists()).await;
    drop(node);
    server.kill();

    let alone = home.follower();
    assert_eq!(local().load(&alone), ["production"]);
    assert_eq!(alone.current("production").unwrap().version, home.version());

    // Redis comes back from somewhere with an older bundle: what the disk had is the floor.
    server.restart();
    cache.put(&older).await.unwrap();
    let node = home.node(&server.url, at_once(), None, Some(local()));
    assert_eq!(local().load(&node.manage), ["production"]);
    until("it is in touch", 10, || node.follower.gauges().connected()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(node.version(), home.version());
    drop(node);

    let whole = std::fs::read(&file).unwrap();
    for damage in [
        &whole[..0],
        &whole[..whole.len() / 2],
        &[&whole[..100], b"x", &whole[101..]].concat(),
    ] {
        std::fs::write(&file, damage).unwrap();
        let node = home.follower();
        assert!(local().load(&node).is_empty());
        assert!(node.current("production").is_none());
    }
    // And pins that can't be read are an error, not a reason to trust anybody.
    std::fs::write(dir.path().join("trusted-keys.json"), "{").unwrap();
    assert!(local().pins().unwrap_err().to_string().contains("trusted-keys.json"));
}
