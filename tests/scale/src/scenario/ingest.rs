//! `POST /v1/events` in batches of 100: how many a second are durable when they are acknowledged, how fast they are processed behind,
//! and the same again when millions are stored.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Bench, check};
use crate::batch::Batches;
use crate::load::{Plan, run};
use crate::report::Bar;
use crate::workspace::Counts;

const CONNECTIONS: usize = 32;
const ACKNOWLEDGED: f64 = 50_000.0;
const PROCESSED: f64 = 25_000.0;
/// Longer than any backlog of a run takes at a tenth of the bar.
const DRAIN: Duration = Duration::from_secs(3_600);
/// Sending stops for a while when so many wait to be processed: what a fleet of clients sends in an hour, not in a second.
const MOST_WAITING: f64 = 1_000_000.0;

/// A burst on a young store, then (in a full run) the fill and a burst on a large one.
pub async fn ingestion(bench: &mut Bench<'_>) -> Result<(), String> {
    let before = bench.workspace.counts().await?;
    let mut acknowledged = burst(bench, "ingest, young store", false).await?;
    if let Some(target) = bench.size.stored {
        acknowledged += fill(bench, target.saturating_sub(acknowledged)).await?;
        let resident = bench.server.resident();
        acknowledged += burst(bench, &format!("ingest, {target} stored"), true).await?;
        let growth = bench.server.resident() as f64 / resident as f64;
        bench
            .report
            .judge("ingest: memory after/before the last burst", growth, Bar::Below(1.25));
    }
    let after = bench.workspace.counts().await?;
    let processed = (after.processed - before.processed) as u64;
    if processed < acknowledged {
        bench.report.fault(format!(
            "{acknowledged} events acknowledged, {processed} processed, none waiting: some are lost"
        ));
    }
    bench.report.note("ingest: events acknowledged in all", acknowledged);
    bench.report.number(
        "memory MiB after ingestion",
        bench.server.resident() as f64 / 1_048_576.0,
    );
    Ok(())
}

fn plan(bench: &Bench<'_>, duration: Duration) -> (Plan, impl FnMut(usize) -> Batches) {
    let (key, records, users) = (
        bench.workspace.server_key.clone(),
        bench.workspace.exposures.clone(),
        bench.size.users,
    );
    let made = now_seed();
    let make = move |index: usize| Batches::new(&key, &records, users, made.wrapping_add(index as u64));
    (
        Plan {
            connections: CONNECTIONS,
            duration,
            rate: None,
            expected: 202,
        },
        make,
    )
}

fn now_seed() -> u64 {
    crate::batch::now_ms().wrapping_mul(1_000)
}

/// Sends at full speed, then waits until everything is processed.
async fn burst(bench: &mut Bench<'_>, name: &str, judged: bool) -> Result<u64, String> {
    let before = bench.workspace.counts().await?;
    let cpu = bench.server.cpu_seconds();
    let started = Instant::now();
    let (plan, make) = plan(bench, bench.size.load);
    let sent = run(bench.server.address, plan, make)
        .await
        .map_err(|e| format!("{name}: {e}"))?;
    check(bench.report, name, &sent);
    let during = bench.workspace.counts().await?;
    let sending = started.elapsed().as_secs_f64();
    let after = drain(bench, name).await?;
    let whole = started.elapsed().as_secs_f64();
    let cpu = bench.server.cpu_seconds() - cpu;
    let report = &mut *bench.report;
    report.judge(
        &format!("{name}: acknowledged events/s"),
        sent.work_rate(),
        Bar::AtLeast(ACKNOWLEDGED),
    );
    report.number(&format!("{name}: p50 ms of a batch"), sent.millis(0.5));
    report.number(&format!("{name}: p99 ms of a batch"), sent.millis(0.99));
    report.number(
        &format!("{name}: processed events/s meanwhile"),
        (during.processed - before.processed) / sending,
    );
    let rate = (after.processed - before.processed) / whole;
    let label = format!("{name}: processed events/s until none waits");
    if judged {
        report.judge(&label, rate, Bar::AtLeast(PROCESSED))
    } else {
        report.number(&label, rate)
    }
    report.note(
        &format!("{name}: events waiting at the end of sending"),
        during.waiting as u64,
    );
    report.number(&format!("{name}: events per server CPU second"), sent.work as f64 / cpu);
    Ok(sent.work)
}

/// Waits until nothing is waiting to be processed.
async fn drain(bench: &mut Bench<'_>, name: &str) -> Result<Counts, String> {
    let until = Instant::now() + DRAIN;
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    loop {
        let counts = bench.workspace.counts().await?;
        bar.set_message(format!("{name}: {} events wait to be processed", counts.waiting));
        bar.tick();
        if counts.waiting == 0.0 {
            bar.finish_and_clear();
            return Ok(counts);
        }
        bench.server.check()?;
        if Instant::now() > until {
            return Err(format!(
                "{name}: {} events still wait after {} s",
                counts.waiting,
                DRAIN.as_secs()
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Stores `count` more events, with pauses where processing falls behind.
async fn fill(bench: &mut Bench<'_>, count: u64) -> Result<u64, String> {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {pos}/{len} events  {per_sec}  {eta} left");
    let bar = ProgressBar::new(count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut done = 0;
    let started = Instant::now();
    while done < count {
        let (plan, make) = plan(bench, Duration::from_secs(2));
        let sent = run(bench.server.address, plan, make)
            .await
            .map_err(|e| format!("fill: {e}"))?;
        check(bench.report, "fill", &sent);
        done += sent.work;
        bar.set_position(done.min(count));
        bench.server.check()?;
        while bench.workspace.counts().await?.waiting > MOST_WAITING {
            bench.server.check()?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    drain(bench, "fill").await?;
    bar.finish_and_clear();
    bench.report.number(
        "fill: events/s, stored and processed",
        done as f64 / started.elapsed().as_secs_f64(),
    );
    Ok(done)
}
