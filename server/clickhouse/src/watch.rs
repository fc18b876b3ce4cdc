//! Series of one connection: whether ClickHouse answers, what failed, how long inserts take. Names: `deploy/alerts/README.md`.

use std::{sync::atomic::AtomicI64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::error::ClickHouseError;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are the labels")]
pub(crate) enum Operation {
    insert,
    select,
    ddl,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    operation: Operation,
    code: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Watch {
    up: Gauge<i64, AtomicI64>,
    failures: Family<Failed, Counter>,
    insert_seconds: Histogram,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            up: Gauge::default(),
            failures: Family::default(),
            insert_seconds: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "clickhouse_up",
            "1 when the last request to ClickHouse succeeded",
            self.up.clone(),
        );
        // From the start, so that their first step is seen as one. The codes of refusals are ClickHouse's, and come when they come.
        for operation in [Operation::insert, Operation::select, Operation::ddl] {
            for code in ["unreachable", "timed_out"] {
                let code = code.to_owned();
                drop(self.failures.get_or_create(&Failed { operation, code }));
            }
        }
        registry.register("clickhouse_failures", "Requests that failed", self.failures.clone());
        registry.register(
            "clickhouse_insert_seconds",
            "Time of an insert",
            self.insert_seconds.clone(),
        );
    }

    pub(crate) fn saw(&self, operation: Operation, took: Duration, error: Option<&ClickHouseError>) {
        let Some(error) = error else {
            self.up.set(1);
            if operation == Operation::insert {
                self.insert_seconds.observe(took.as_secs_f64());
            }
            return;
        };
        // A server that refuses is there.
        self.up.set(i64::from(matches!(error, ClickHouseError::Refused { .. })));
        let code = match error {
            ClickHouseError::Unreachable { .. } => "unreachable".to_owned(),
            ClickHouseError::TimedOut { .. } => "timed_out".to_owned(),
            ClickHouseError::Refused { reason, .. } => code(reason).unwrap_or("other").to_owned(),
            ClickHouseError::Setting(_) | ClickHouseError::Password { .. } | ClickHouseError::Damaged(_) => {
                "other".to_owned()
            }
        };
        self.failures.get_or_create(&Failed { operation, code }).inc();
    }
}

/// The number in `Code: 241. DB::Exception: …`.
fn code(reason: &str) -> Option<&str> {
    let rest = reason.split_once("Code: ")?.1;
    let end = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    rest.get(..end).filter(|code| !code.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_by_operation_and_code() {
        let watch = Watch::new();
        let mut registry = Registry::with_prefix("evenhand");
        watch.register(&mut registry);
        let shown = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let refused = ClickHouseError::Refused {
            what: "storing events",
            reason: "bad response: Code: 241. DB::Exception: memory limit".into(),
        };
        watch.saw(Operation::insert, Duration::from_millis(7), None);
        watch.saw(Operation::insert, Duration::ZERO, Some(&refused));
        assert!(
            shown().contains("evenhand_clickhouse_up 1"),
            "a server that refuses is there: {}",
            shown()
        );
        assert!(
            shown().contains(r#"evenhand_clickhouse_failures_total{operation="insert",code="241"} 1"#),
            "{}",
            shown()
        );
        assert!(
            shown().contains("evenhand_clickhouse_insert_seconds_count 1"),
            "{}",
            shown()
        );
        let timed_out = ClickHouseError::TimedOut {
            what: "reading",
            host: "h".into(),
            seconds: 60,
        };
        watch.saw(Operation::select, Duration::ZERO, Some(&timed_out));
        assert!(shown().contains("evenhand_clickhouse_up 0"), "{}", shown());
    }
}
