//! From event to results while 10,000 events a second come in: one exposure of a new unit at a time, and how long until results count it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::Value;

use super::{Bench, check};
use crate::batch::{Batches, EVENTS, event_id, exposure, now_ms};
use crate::connection::{Connection, post};
use crate::load::{Plan, run};
use crate::report::Bar;

const EVENTS_A_SECOND: f64 = 10_000.0;
const POLL: Duration = Duration::from_millis(50);
const GIVE_UP: Duration = Duration::from_secs(20);

/// Measures the time from sending an event to its being in the results.
pub async fn freshness(bench: &mut Bench<'_>) -> Result<(), String> {
    let (key, records, users) = (
        bench.workspace.server_key.clone(),
        bench.workspace.exposures.clone(),
        bench.size.users,
    );
    let seed = now_ms();
    let make = move |index: usize| Batches::new(&key, &records, users, seed ^ ((index as u64) << 32));
    let rate = EVENTS_A_SECOND / EVENTS as f64;
    let plan = Plan {
        connections: 8,
        duration: bench.size.freshness,
        rate: Some(rate),
        expected: 202,
    };
    let (load, probed) = tokio::join!(run(bench.server.address, plan, make), probe(bench));
    let load = load.map_err(|e| format!("freshness: {e}"))?;
    let probed = probed?;
    check(bench.report, "freshness", &load);
    bench.report.judge(
        "freshness: reached events/s",
        load.work_rate(),
        Bar::AtLeast(0.98 * EVENTS_A_SECOND),
    );
    bench.report.number("freshness: p99 ms of a batch", load.millis(0.99));
    bench.report.note("freshness: probes", probed.len());
    bench.report.number(
        "freshness: event to results, p50 ms",
        probed.value_at_quantile(0.5) as f64,
    );
    bench.report.judge(
        "freshness: event to results, worst ms",
        probed.max() as f64,
        Bar::Below(2_000.0),
    );
    Ok(())
}

async fn probe(bench: &Bench<'_>) -> Result<Histogram<u64>, String> {
    let wrong = |e: std::io::Error| format!("freshness: {e}");
    let mut waited = Histogram::new_with_bounds(1, 60_000, 3).map_err(|e| e.to_string())?;
    let mut connection = Connection::open(bench.server.address).await.map_err(wrong)?;
    let end = Instant::now() + bench.size.freshness;
    let mut random = now_ms();
    let mut units = bench.workspace.units_in_results().await?;
    while Instant::now() < end {
        let time = now_ms();
        let event: Value = exposure(
            &bench.workspace.probe_exposure,
            &event_id(&mut random, time),
            &format!("probe-{random}"),
            time,
        );
        let sent = Instant::now();
        let request = post("/v1/events", &bench.workspace.server_key, event.to_string().as_bytes());
        let status = connection.exchange(&request).await.map_err(wrong)?.status;
        if status != 202 {
            return Err(format!("freshness: a probe was answered with {status}"));
        }
        loop {
            let now = bench.workspace.units_in_results().await?;
            if now > units {
                units = now;
                break;
            }
            if sent.elapsed() > GIVE_UP {
                return Err(format!(
                    "freshness: an event was not in the results after {} s",
                    GIVE_UP.as_secs()
                ));
            }
            tokio::time::sleep(POLL).await;
        }
        waited.saturating_record(sent.elapsed().as_millis() as u64);
        tokio::time::sleep(Duration::from_millis(random % 200)).await;
    }
    Ok(waited)
}
