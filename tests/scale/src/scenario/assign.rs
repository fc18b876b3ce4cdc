//! `GET /v1/assignments`: one flag, then all of 200 experiments beside a bare echo of the same body.

use std::path::Path;

use super::{Bench, check};
use crate::connection::{Connection, get};
use crate::load::{Plan, Requests, run};
use crate::process::{Server, free_port};
use crate::report::Bar;
use crate::workspace::CONTEXT;

pub const CONNECTIONS: usize = 32;
/// Different users asked for in turn.
pub const USERS: usize = 4_096;
pub const ONE_FLAG_RATE: f64 = 10_000.0;

/// The same few thousand requests over and over, built beforehand.
pub struct Prepared {
    requests: std::rc::Rc<Vec<Vec<u8>>>,
    offset: usize,
}

impl Requests for Prepared {
    fn next(&mut self, number: u64) -> &[u8] {
        &self.requests[(number as usize + self.offset) % self.requests.len()]
    }
}

pub fn users(key: &str, more: &str) -> std::rc::Rc<Vec<Vec<u8>>> {
    let request = |n| {
        get(
            &format!("/v1/assignments?user_id=user-{n}&context={CONTEXT}{more}"),
            key,
        )
    };
    std::rc::Rc::new((0..USERS).map(request).collect())
}

/// Each connection begins elsewhere among them.
pub fn prepared(requests: &std::rc::Rc<Vec<Vec<u8>>>) -> impl Fn(usize) -> Prepared + use<> {
    let requests = std::rc::Rc::clone(requests);
    move |index: usize| Prepared {
        requests: std::rc::Rc::clone(&requests),
        offset: index * 127,
    }
}

/// Measures both forms.
pub async fn assignments(bench: &mut Bench<'_>, base: &Path) -> Result<(), String> {
    let wrong = |e: std::io::Error| format!("assignments: {e}");
    let key = &bench.workspace.server_key;
    let address = bench.server.address;
    let plan = Plan {
        connections: CONNECTIONS,
        duration: bench.size.load,
        rate: None,
        expected: 200,
    };

    let one = users(key, &format!("&flags={}", bench.workspace.flags[0]));
    let paced_plan = Plan {
        rate: Some(ONE_FLAG_RATE),
        ..plan
    };
    // The same load again and again; the last round is reported.
    let mut resident = Vec::new();
    let (fast, paced, cpu) = loop {
        let cpu = bench.server.cpu_seconds();
        let fast = run(address, plan, prepared(&one)).await.map_err(wrong)?;
        check(bench.report, "assignments of one flag", &fast);
        let cpu = bench.server.cpu_seconds() - cpu;
        let paced = run(address, paced_plan, prepared(&one)).await.map_err(wrong)?;
        check(bench.report, "assignments of one flag, paced", &paced);
        resident.push(bench.server.resident() as f64);
        if resident.len() > bench.size.turns {
            break (fast, paced, cpu);
        }
    };
    let report = &mut *bench.report;
    report.judge("assign one flag: requests/s", fast.rate(), Bar::AtLeast(ONE_FLAG_RATE));
    report.number("assign one flag: p50 ms", fast.millis(0.5));
    report.judge(
        "assign one flag: p99 ms at full speed",
        fast.millis(0.99),
        Bar::Below(10.0),
    );
    report.number(
        "assign one flag: requests per server CPU second",
        fast.requests as f64 / cpu,
    );
    report.judge(
        "assign one flag, 10,000/s: p99 ms",
        paced.millis(0.99),
        Bar::Below(10.0),
    );
    report.number("assign one flag, 10,000/s: p99.9 ms", paced.millis(0.999));
    report.judge(
        "assign one flag, 10,000/s: reached requests/s",
        paced.rate(),
        Bar::AtLeast(0.98 * ONE_FLAG_RATE),
    );
    for (round, bytes) in resident.iter().enumerate() {
        report.number(
            &format!("assign one flag: memory MiB after round {}", round + 1),
            bytes / 1_048_576.0,
        );
    }
    // The allocator settles within the first half.
    let settled = resident.get(resident.len() / 2 - 1);
    let growth = resident
        .last()
        .zip(settled)
        .map_or(f64::INFINITY, |(last, settled)| last / settled);
    report.judge(
        "assign one flag: memory after the last round/at half time",
        growth,
        Bar::Below(1.1),
    );

    all_flags(bench, base, plan, prepared(&users(key, ""))).await
}

/// All flags and the echo take turns, so that a busy machine slows both.
async fn all_flags(
    bench: &mut Bench<'_>,
    base: &Path,
    plan: Plan,
    make: impl Fn(usize) -> Prepared,
) -> Result<(), String> {
    let wrong = |e: std::io::Error| format!("assignments of all flags: {e}");
    let body = {
        let mut connection = Connection::open(bench.server.address).await.map_err(wrong)?;
        let request = make(0).next(0).to_vec();
        let answer = connection.exchange(&request).await.map_err(wrong)?;
        if answer.status != 200 {
            return Err(format!(
                "assignments of all flags: {} {}",
                answer.status,
                String::from_utf8_lossy(answer.body)
            ));
        }
        answer.body.to_vec()
    };
    let answer: serde_json::Value =
        serde_json::from_slice(&body).map_err(|e| format!("assignments: the answer is not JSON: {e}"))?;
    let flags = answer["assignments"].as_object().map_or(0, |o| o.len());
    if flags < bench.workspace.flags.len() {
        bench.report.fault(format!(
            "assignments of all flags: {flags} decisions for {} flags",
            bench.workspace.flags.len()
        ));
    }
    let file = base.join("echo-body.json");
    std::fs::write(&file, &body).map_err(wrong)?;
    let port = free_port().map_err(wrong)?;
    let program = std::env::current_exe().map_err(wrong)?;
    let arguments = ["echo", "--port", &port.to_string(), "--body", &file.to_string_lossy()].map(str::to_owned);
    let echo = Server::start(&program, &arguments, port, "/", base.join("echo.log")).await?;
    let echo_requests = std::rc::Rc::new(vec![get("/", "")]);

    let (mut ours, mut theirs, mut best) = (Vec::new(), Vec::new(), None);
    // What a request costs each of the two servers: other load on the machine distorts it less than the rates.
    let (mut our_cost, mut their_cost) = (Vec::new(), Vec::new());
    for _ in 0..bench.size.turns {
        let before = (bench.server.cpu_seconds(), echo.cpu_seconds());
        let requests = std::rc::Rc::clone(&echo_requests);
        let bare = run(echo.address, plan, move |_| Prepared {
            requests: std::rc::Rc::clone(&requests),
            offset: 0,
        })
        .await
        .map_err(wrong)?;
        check(bench.report, "echo", &bare);
        let all = run(bench.server.address, plan, &make).await.map_err(wrong)?;
        check(bench.report, "assignments of all flags", &all);
        our_cost.push((bench.server.cpu_seconds() - before.0) / all.requests as f64 * 1e6);
        their_cost.push((echo.cpu_seconds() - before.1) / bare.requests as f64 * 1e6);
        theirs.push(bare.rate());
        ours.push(all.rate());
        best = Some(all);
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    bench.report.note("assign all flags: body bytes", body.len());
    bench.report.number("assign all flags: requests/s", ours);
    bench.report.number("bare echo of the same body: requests/s", theirs);
    bench.report.judge(
        "assign all flags: share of the echo's rate",
        ours / theirs,
        Bar::AtLeast(0.5),
    );
    bench
        .report
        .number("assign all flags: server CPU µs a request", median(&mut our_cost));
    bench.report.number(
        "bare echo of the same body: server CPU µs a request",
        median(&mut their_cost),
    );
    if let Some(last) = best {
        bench.report.number("assign all flags: p99 ms", last.millis(0.99));
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
