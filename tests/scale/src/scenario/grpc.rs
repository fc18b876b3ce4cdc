//! `AssignmentService.Get` beside `GET /v1/assignments`: the same flag for the same users, the two taking turns.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use evenhand_protocol::v1::assignment_service_client::AssignmentServiceClient;
use evenhand_protocol::v1::attribute::Kind;
use evenhand_protocol::v1::{Attribute, Context, GetRequest};
use tokio::task::LocalSet;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::assign::{CONNECTIONS, ONE_FLAG_RATE, USERS, prepared, users};
use super::{Bench, check};
use crate::load::{Measured, Plan, run};
use crate::report::Bar;

/// Calls share connections, as HTTP/2 has it.
const CHANNELS: usize = 4;

/// Measures calls as fast as they go and at a fixed rate.
pub async fn calls(bench: &mut Bench<'_>, address: SocketAddr) -> Result<(), String> {
    let key = &bench.workspace.server_key;
    let flag = bench.workspace.flags[0].clone();
    let bearer: MetadataValue<Ascii> = format!("Bearer {key}")
        .parse()
        .map_err(|e| format!("grpc: the key: {e}"))?;
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| format!("grpc: {e}"))?;
        channels.push(
            endpoint
                .tcp_nodelay(true)
                .connect()
                .await
                .map_err(|e| format!("grpc: {e:?}"))?,
        );
    }
    let requests: Rc<Vec<GetRequest>> = Rc::new((0..USERS).map(|user| request(user, &flag)).collect());
    let plan = Plan {
        connections: CONNECTIONS,
        duration: bench.size.load,
        rate: None,
        expected: 200,
    };
    let paced = Plan {
        rate: Some(ONE_FLAG_RATE),
        ..plan
    };
    let http = users(key, &format!("&flags={flag}"));
    let wrong = |e: std::io::Error| format!("grpc, the HTTP side: {e}");
    let mut turns = Vec::new();
    for _ in 0..=bench.size.turns {
        let cpu = bench.server.cpu_seconds();
        let fast = load(&channels, &bearer, &requests, plan).await?;
        let cpu = (fast.requests as f64) / (bench.server.cpu_seconds() - cpu);
        let at_rate = load(&channels, &bearer, &requests, paced).await?;
        let by_http = run(bench.server.address, plan, prepared(&http)).await.map_err(wrong)?;
        check(bench.report, "grpc Get", &fast);
        check(bench.report, "grpc Get, paced", &at_rate);
        check(bench.report, "grpc, the HTTP side", &by_http);
        turns.push((fast, at_rate, by_http, cpu));
    }
    let Some((fast, at_rate, by_http, per_cpu)) = turns.pop() else {
        return Err("grpc: no turn was taken".into());
    };
    let report = &mut *bench.report;
    report.judge("grpc Get: requests/s", fast.rate(), Bar::AtLeast(ONE_FLAG_RATE));
    report.number("grpc Get: p50 ms", fast.millis(0.5));
    report.judge("grpc Get: p99 ms at full speed", fast.millis(0.99), Bar::Below(10.0));
    report.number("grpc Get: requests per server CPU second", per_cpu);
    report.judge("grpc Get, 10,000/s: p99 ms", at_rate.millis(0.99), Bar::Below(10.0));
    report.judge(
        "grpc Get, 10,000/s: reached requests/s",
        at_rate.rate(),
        Bar::AtLeast(0.98 * ONE_FLAG_RATE),
    );
    report.number("grpc Get: requests/s over those of HTTP", fast.rate() / by_http.rate());
    Ok(())
}

fn request(user: usize, flag: &str) -> GetRequest {
    let attributes = [
        ("user_id", format!("user-{user}")),
        ("country", "DE".to_owned()),
        ("app_version", "5.4.1".to_owned()),
        ("plan", "free".to_owned()),
    ];
    let text = |text| Attribute {
        kind: Some(Kind::Text(text)),
    };
    let attributes: BTreeMap<_, _> = attributes.map(|(name, value)| (name.to_owned(), text(value))).into();
    GetRequest {
        context: Some(Context {
            attributes,
            sticky: Vec::new(),
        }),
        flag: flag.to_owned(),
    }
}

async fn load(
    channels: &[Channel],
    bearer: &MetadataValue<Ascii>,
    requests: &Rc<Vec<GetRequest>>,
    plan: Plan,
) -> Result<Measured, String> {
    let measured = Rc::new(RefCell::new(Measured::new()));
    let (local, start) = (LocalSet::new(), Instant::now());
    for index in 0..plan.connections {
        let client = AssignmentServiceClient::new(channels[index % channels.len()].clone());
        let (bearer, requests, measured) = (bearer.clone(), Rc::clone(requests), Rc::clone(&measured));
        local.spawn_local(caller(client, bearer, requests, measured, plan, (index, start)));
    }
    local.await;
    let mut measured = Rc::try_unwrap(measured)
        .map_err(|_| "grpc: a call outlived its load")?
        .into_inner();
    measured.seconds = start.elapsed().as_secs_f64();
    Ok(measured)
}

async fn caller(
    mut client: AssignmentServiceClient<Channel>,
    bearer: MetadataValue<Ascii>,
    requests: Rc<Vec<GetRequest>>,
    measured: Rc<RefCell<Measured>>,
    plan: Plan,
    (index, start): (usize, Instant),
) {
    for number in 0.. {
        let since = match plan.rate {
            Some(rate) => {
                let place = (number * plan.connections + index) as f64;
                let due = start + Duration::from_secs_f64(place / rate);
                if due < start + plan.duration {
                    tokio::time::sleep_until(due.into()).await;
                }
                due
            }
            None => Instant::now(),
        };
        if since >= start + plan.duration {
            return;
        }
        let mut request = tonic::Request::new(requests[(number + index * 127) % requests.len()].clone());
        request.metadata_mut().insert("authorization", bearer.clone());
        let said = match client.get(request).await {
            // An answer without a variation is none of those asked for.
            Ok(answer)
                if answer
                    .get_ref()
                    .decision
                    .as_ref()
                    .is_some_and(|d| d.variation.is_some()) =>
            {
                (200, None)
            }
            Ok(answer) => (204, Some(format!("{:?}", answer.into_inner()))),
            Err(status) => (500 + status.code() as u16, Some(status.message().to_owned())),
        };
        measured.borrow_mut().note(since, said, plan.expected, 1);
    }
}
