//! Limits over several nodes, with Redis and without.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenhand_redis::SharedLimiter;
use evenhand_test_servers::Server;

use crate::support::quick;

const LIMIT: u32 = 200;

/// Asks at `rate` a second for so long; gives how many were let through in each whole second.
async fn press(limiter: Arc<SharedLimiter>, rate: f64, seconds: usize) -> Vec<u32> {
    let began = Instant::now();
    let mut through = vec![0; seconds];
    let mut sent = 0.0;
    loop {
        let elapsed = began.elapsed().as_secs_f64();
        let Some(second) = through.get_mut(elapsed as usize) else {
            return through;
        };
        while sent < elapsed * rate {
            sent += 1.0;
            *second += u32::from(limiter.check("key-a").is_ok());
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

fn nodes(name: &str) -> Vec<Arc<SharedLimiter>> {
    (0..3)
        .map(|_| SharedLimiter::new(name, NonZeroU32::new(LIMIT).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_hold_one_limit_together() {
    let server = Server::start("redis", &[]);
    let tick = Duration::from_millis(100);
    // Much too much everywhere; one node busy and two nearly idle; all of it through one.
    for (name, rates) in [
        ("even", [400.0, 400.0, 400.0]),
        ("uneven", [1000.0, 40.0, 10.0]),
        ("one", [600.0, 0.0, 0.0]),
    ] {
        let nodes = nodes(name);
        let _sharing: Vec<_> = nodes
            .iter()
            .map(|node| node.share(&quick(&server.url), tick).unwrap())
            .collect();
        let seconds = 5;
        let pressing: Vec<_> = nodes
            .iter()
            .zip(rates)
            .map(|(node, rate)| tokio::spawn(press(Arc::clone(node), rate, seconds)))
            .collect();
        let mut through = vec![0; seconds];
        for node in pressing {
            for (sum, second) in through.iter_mut().zip(node.await.unwrap()) {
                *sum += second;
            }
        }
        println!("{name}: let through in each second {through:?}");
        // The first second has the full bucket besides, and what the nodes did not know of each other; the second pays for it.
        let steady: u32 = through[2..].iter().sum();
        let expected = LIMIT * (seconds as u32 - 2);
        assert!(
            (expected * 85 / 100..=expected * 115 / 100).contains(&steady),
            "{name}: {steady} of {expected}: {through:?}"
        );
        let all: u32 = through.iter().sum();
        assert!(all <= LIMIT * seconds as u32 + LIMIT + 3 * LIMIT, "{name}: {through:?}");
    }
    // Under the limit nobody is refused: 3 nodes, 150 a second in all.
    let nodes = nodes("under");
    let _sharing: Vec<_> = nodes
        .iter()
        .map(|node| node.share(&quick(&server.url), tick).unwrap())
        .collect();
    let pressing: Vec<_> = nodes
        .iter()
        .map(|node| tokio::spawn(press(Arc::clone(node), 50.0, 3)))
        .collect();
    let mut through = 0;
    for node in pressing {
        through += node.await.unwrap().iter().sum::<u32>();
    }
    assert!(through >= 3 * 3 * 50 - 6, "{through}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_node_limits_by_itself_and_waits_for_nobody() {
    let mut server = Server::start("redis", &[]);
    let node = SharedLimiter::new("key", NonZeroU32::new(LIMIT).unwrap());
    let _sharing = node.share(&quick(&server.url), Duration::from_millis(50)).unwrap();
    press(Arc::clone(&node), 100.0, 1).await;
    assert!(node.gauges().exchanges() > 5 && node.gauges().connected());
    server.pause();
    let pressed = tokio::spawn(press(Arc::clone(&node), 1_000.0, 3));
    let mut slowest = Duration::ZERO;
    for _ in 0..2_000 {
        let began = Instant::now();
        let _counted = node.check("another");
        slowest = slowest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let through = pressed.await.unwrap();
    println!("without Redis: {through:?} a second, the slowest check {slowest:?}");
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
    assert!(
        through[1..]
            .iter()
            .all(|second| (LIMIT * 9 / 10..=LIMIT * 11 / 10).contains(second)),
        "{through:?}"
    );
    assert!(!node.gauges().connected() && node.gauges().failures() > 0);
    server.resume();
    let exchanges = node.gauges().exchanges();
    press(Arc::clone(&node), 100.0, 2).await;
    assert!(node.gauges().connected() && node.gauges().exchanges() > exchanges);
}

#[test]
fn a_refusal_says_when_to_come_back_and_a_check_costs_nanoseconds() {
    let limiter = SharedLimiter::new("key", NonZeroU32::new(3).unwrap());
    for _ in 0..3 {
        limiter.check("a").unwrap();
    }
    let wait = limiter.check("a").unwrap_err();
    assert!(
        (Duration::from_millis(200)..=Duration::from_millis(334)).contains(&wait),
        "{wait:?}"
    );
    limiter.check("b").unwrap();
    std::thread::sleep(wait);
    limiter.check("a").unwrap();
    limiter.check("a").unwrap_err();

    let limiter = SharedLimiter::new("key", NonZeroU32::new(4_000_000_000).unwrap());
    let keys: Vec<String> = (0..64).map(|n| format!("key-{n}")).collect();
    // Of many short rounds the quickest: the machine does other things too.
    let quickest = (0..400).map(|_| {
        let began = Instant::now();
        for _ in 0..40 {
            for key in &keys {
                limiter.check(key).unwrap();
            }
        }
        began.elapsed().as_nanos() as f64 / (40 * keys.len()) as f64
    });
    println!("a check costs {:.0} ns", quickest.fold(f64::MAX, f64::min));
}

/// Unshared limits hold a bounded number of buckets too: idle ones go.
#[test]
fn buckets_of_the_idle_make_room() {
    let limiter = SharedLimiter::new("address", NonZeroU32::new(1_000_000).unwrap());
    for n in 0..300_000 {
        limiter.check(&n.to_string()).unwrap();
    }
    assert!(limiter.gauges().buckets() <= 100_000);
    assert_eq!(limiter.gauges().overflowed(), 0);
}
