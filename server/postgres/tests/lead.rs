//! Of several nodes one looks after what runs by itself; and where two believe to be the one, each thing is still done once.

mod support;

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use evenhand_manage::steward::{Request, StewardOrder};
use evenhand_manage::stewardship::{Cause, StewardAct};
use evenhand_postgres::{Candidate, Postgres};
use serde_json::json;
use support::node::{Node, files};
use support::{Database, server};

fn database() -> (Database, Postgres) {
    let database = Database::new(&server().lock().unwrap_or_else(PoisonError::into_inner).url);
    let postgres = Postgres::open(database.settings()).unwrap();
    (database, postgres)
}

async fn takes_over(candidate: &mut Candidate) {
    let until = Instant::now() + Duration::from_secs(10);
    while !candidate.leads().await {
        assert!(Instant::now() < until, "nobody follows");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_and_another_follows_when_it_is_gone() {
    let (database, postgres) = database();
    let (mut first, mut second) = (postgres.candidate("test"), postgres.candidate("test"));
    assert!(first.leads().await);
    assert!(!second.leads().await);
    assert!(first.leads().await, "who leads goes on leading");
    assert!(postgres.candidate("something else").leads().await);
    drop(first);
    takes_over(&mut second).await;
    // The server gives the connection up, as it does with a node that is cut off.
    database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_locks
         WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    let mut third = postgres.candidate("test");
    takes_over(&mut third).await;
    assert!(!second.leads().await, "it finds out before it acts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_both_believe_to_lead_do_a_thing_once() {
    let (_database, postgres) = database();
    let directory = tempfile::tempdir().unwrap();
    let nodes = [0, 1].map(|_| Node::open(&postgres, files(directory.path())).unwrap());
    nodes[0].flag("f").await;
    let weights = json!([{ "variation": "off", "weight": 5000 }, { "variation": "on", "weight": 5000 }]);
    let experiment = json!({ "key": "x", "flag": "f", "unit": "user_id", "variations": weights });
    let made = nodes[0]
        .call("POST", "/api/projects/default/experiments", experiment)
        .await;
    Node::expect(made, 201);
    let place = "/api/environments/production/experiments/x";
    Node::expect(nodes[0].call("POST", &format!("{place}/start"), json!({})).await, 200);
    let order = StewardOrder {
        environment: "production".into(),
        experiment: "x".into(),
        phase: 1,
        request: Request::Found {
            cause: Cause::Harm,
            act: StewardAct::Kill,
            dry_run: false,
            metric: Some("error".into()),
            variation: Some("on".into()),
        },
        because: "both saw it".into(),
    };
    // The second node has not heard of the experiment yet: it is judged by what is stored.
    let (one, other) = tokio::join!(nodes[0].manage.steward(order.clone()), nodes[1].manage.steward(order));
    let done = usize::from(one.unwrap()) + usize::from(other.unwrap());
    assert_eq!(done, 1);
    let audit = nodes[0]
        .call("GET", "/api/audit?target=experiment/x", json!(null))
        .await;
    let audit = Node::expect(audit, 200);
    let kills = audit["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["action"] == "experiment.kill");
    assert_eq!(kills.count(), 1);
}
