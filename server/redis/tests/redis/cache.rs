//! Which bundle Redis holds after everybody has put theirs.

use std::sync::atomic::{AtomicU64, Ordering};

use evenhand_manage::{BundleOrder, NodeBundle};
use evenhand_redis::{ManifestCache, Put};
use evenhand_test_servers::Server;
use proptest::prelude::*;

use crate::support::{plain, quick};

fn bundle(environment: &str, (generation, version, revision): (u64, u64, u64)) -> NodeBundle {
    let order = BundleOrder {
        generation,
        version,
        revision,
    };
    NodeBundle {
        environment: environment.into(),
        order,
        sha256: format!("hash-of-{order}"),
        bytes: order.to_string().into_bytes().into(),
        lists: Vec::new(),
    }
}

/// Two publishers at once, in any order: what is newest stays, and nobody who looks ever sees a step back.
#[test]
fn an_older_bundle_never_takes_the_place_of_a_newer_one() {
    let server = Server::start("redis", &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let caches = [(); 3].map(|()| ManifestCache::new(&quick(&server.url)).unwrap());
    let case = AtomicU64::new(0);
    // The greatest that a manifest may have are told apart too: Lua's numbers are doubles.
    let number = || prop_oneof![4 => 1_u64..5, 1 => (1_u64 << 53) - 3..(1_u64 << 53)];
    let orders = proptest::collection::vec((number(), number(), number()), 1..12);
    proptest!(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() }, |(one in orders.clone(), other in orders)| {
        let environment = format!("e{}", case.fetch_add(1, Ordering::Relaxed));
        let newest = *one.iter().chain(&other).max().unwrap();
        let newest = bundle(&environment, newest);
        let put_all = async |cache: &ManifestCache, orders: &[(u64, u64, u64)]| {
            for order in orders {
                let bundle = bundle(&environment, *order);
                match cache.put(&bundle).await.unwrap() {
                    Put::Stored | Put::Held => {}
                    Put::Newer(held) => assert!(held > bundle.order),
                }
            }
        };
        let watch = async {
            let mut seen = BundleOrder::default();
            for _ in 0..10 {
                if let Some(head) = caches[2].heads(std::slice::from_ref(&environment)).await.unwrap().get(&environment) {
                    assert!(head.order >= seen, "a step back");
                    seen = head.order;
                }
            }
        };
        runtime.block_on(async {
            tokio::join!(put_all(&caches[0], &one), put_all(&caches[1], &other), watch);
            let heads = caches[0].heads(std::slice::from_ref(&environment)).await.unwrap();
            assert_eq!(heads[&environment].order, newest.order);
            assert_eq!(heads[&environment].sha256, newest.sha256);
            assert_eq!(caches[0].get(&environment).await.unwrap().unwrap(), newest.bytes);
            assert_eq!(caches[0].put(&newest).await.unwrap(), Put::Held);
        });
    });
    runtime.block_on(async {
        // A head without its bundle, or one that nobody can read, holds nobody back.
        let mut plain = plain(&server.url).await;
        for (name, command) in [("evicted", "DEL"), ("scribbled", "SET")] {
            caches[0].put(&bundle(name, (9, 9, 9))).await.unwrap();
            let mut damage = redis::cmd(command);
            let _: redis::Value = match command {
                "DEL" => damage
                    .arg(format!("active_experiments_v1:{name}"))
                    .query_async(&mut plain)
                    .await
                    .unwrap(),
                _ => damage
                    .arg(format!("active_experiments_v1:{name}:head"))
                    .arg("x")
                    .query_async(&mut plain)
                    .await
                    .unwrap(),
            };
            assert_eq!(caches[0].put(&bundle(name, (1, 1, 1))).await.unwrap(), Put::Stored);
        }
        assert_eq!(caches[0].get("nowhere").await.unwrap(), None);
        assert!(caches[0].environments().await.unwrap().len() > 60);
    });
}
