//! Series of definitions and how they spread. Names and meanings: `deploy/alerts/README.md`.

use std::fmt::Write as _;
use std::sync::Arc;

use evenhand_postgres::{FeedState, SlotStatus};

use super::Node;

const STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

pub fn text(node: &Node) -> String {
    let mut text = String::new();
    let mut series = |name: &str, kind: &str, help: &str, values: &[(String, f64)]| {
        let suffix = if kind == "counter" { "_total" } else { "" };
        // Writing to a String can't fail.
        let _ = writeln!(text, "# HELP evenhand_{name} {help}\n# TYPE evenhand_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "evenhand_{name}{suffix}{labels} {value}");
        }
    };
    let one = |value: f64| [(String::new(), value)];
    let flag = |is: bool| if is { 1.0 } else { 0.0 };
    let environments = node.manage.environments();
    let versions: Vec<(String, f64)> = environments
        .iter()
        .filter_map(|environment| Some((labelled(environment), node.manage.current(environment)?.version as f64)))
        .collect();
    series("manifest_version", "gauge", "Manifest version served", &versions);
    let followed = node.following(|follower| (follower.seconds_since_contact(), Arc::clone(follower.gauges())));
    let unconfirmed = match (&followed, &node.hearing) {
        (Some((seconds, _)), _) => Some(*seconds),
        (None, Some(hearing)) => Some(hearing.unconfirmed_seconds()),
        (None, None) => None,
    };
    if let Some(seconds) = unconfirmed {
        let all: Vec<(String, f64)> = environments.iter().map(|e| (labelled(e), seconds)).collect();
        let help = "Seconds since Redis or PostgreSQL last said that the served version is the newest";
        series("manifest_unconfirmed_seconds", "gauge", help, &all);
    }
    if let Some(hearing) = &node.hearing {
        series(
            "postgres_up",
            "gauge",
            "1 when the last request to PostgreSQL succeeded",
            &one(flag(hearing.is_up())),
        );
        series(
            "postgres_commit_conflicts",
            "counter",
            "Changes repeated because another node's came first",
            &one(node.manage.repeated_changes() as f64),
        );
        let help = "Times something that another node committed was brought into force";
        series("definitions_reloads", "counter", help, &one(hearing.reloads() as f64));
    }
    let feeds = node.feeding.as_ref().and_then(|feeding| feeding.seen().redis);
    if let Some(up) = followed.as_ref().map(|(_, gauges)| gauges.connected()).or(feeds) {
        series(
            "redis_up",
            "gauge",
            "1 when Redis answered at the last attempt",
            &one(flag(up)),
        );
    }
    if let Some((_, gauges)) = followed {
        series(
            "manifest_refused",
            "counter",
            "Bundles not taken",
            &one(gauges.refused() as f64),
        );
        series(
            "manifest_fetches",
            "counter",
            "Bundles read from Redis",
            &one(gauges.fetched() as f64),
        );
    }
    if let (Some(feeding), Some(_)) = (&node.feeding, &node.cache) {
        let seen = feeding.seen();
        let holds = matches!(seen.state, Some(FeedState::Holding(_)));
        series(
            "feed_held",
            "gauge",
            "1 on the node that holds the feed",
            &one(flag(holds)),
        );
        series(
            "feed_announced",
            "counter",
            "Bundles this node brought to Redis",
            &one(seen.stored as f64),
        );
        series(
            "feed_failures",
            "counter",
            "Attempts at that which failed",
            &one(seen.failures as f64),
        );
        series(
            "feed_confirmed",
            "counter",
            "Committed versions confirmed to PostgreSQL",
            &one(seen.counters.confirmed as f64),
        );
        if let Some(slot) = &seen.slot {
            series(
                "feed_slot_retained_bytes",
                "gauge",
                "Bytes of PostgreSQL's log kept for the slot",
                &one(slot.kept_bytes as f64),
            );
            series(
                "feed_slot_wal_status",
                "gauge",
                "1 for the present status of the slot",
                &statuses(slot),
            );
        }
    }
    text
}

fn labelled(environment: &str) -> String {
    format!("{{environment=\"{environment}\"}}")
}

fn statuses(slot: &SlotStatus) -> Vec<(String, f64)> {
    let is = |status: &str| slot.wal_status.as_deref() == Some(status);
    STATUSES
        .iter()
        .map(|status| (format!("{{status=\"{status}\"}}"), if is(status) { 1.0 } else { 0.0 }))
        .collect()
}
