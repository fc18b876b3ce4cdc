//! Load on one thread: as fast as the server answers, or at a fixed rate.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::LocalSet;

use crate::connection::Connection;

/// Makes the next request of a load. One instance per connection, so that nothing is shared on the hot path.
pub trait Requests {
    /// The bytes to send; `number` counts the requests of this connection.
    fn next(&mut self, number: u64) -> &[u8];
    /// Units of work in one request: events of a batch, else 1.
    fn weight(&self) -> u64 {
        1
    }
}

/// What a load measured.
pub struct Measured {
    pub requests: u64,
    pub work: u64,
    pub seconds: f64,
    /// Microseconds. At a fixed rate they count from when the request was due, so that a stalled server can't hide behind
    /// requests that were never sent.
    pub latency: Histogram<u64>,
    /// Answers that were not the expected status.
    pub unexpected: BTreeMap<u16, u64>,
    /// Body of the first of them.
    pub first_unexpected: Option<String>,
}

impl Measured {
    /// Nothing yet.
    pub fn new() -> Measured {
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3)
            .expect("bounds and digits are constants within the crate's range");
        Measured {
            requests: 0,
            work: 0,
            seconds: 0.0,
            latency,
            unexpected: BTreeMap::new(),
            first_unexpected: None,
        }
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// Units of work a second.
    pub fn work_rate(&self) -> f64 {
        self.work as f64 / self.seconds
    }

    /// A quantile in milliseconds.
    pub fn millis(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// One answer: its status, and its body if it was not the expected one.
    pub fn note(&mut self, since: Instant, answer: (u16, Option<String>), expected: u16, weight: u64) {
        self.requests += 1;
        self.latency.saturating_record(since.elapsed().as_micros() as u64);
        if answer.0 == expected {
            self.work += weight;
        } else {
            *self.unexpected.entry(answer.0).or_default() += 1;
            if self.first_unexpected.is_none() {
                self.first_unexpected = answer.1;
            }
        }
    }
}

/// How a load is run.
#[derive(Clone, Copy)]
pub struct Plan {
    pub connections: usize,
    pub duration: Duration,
    /// Requests a second over all connections; none: each sends its next as soon as the last is answered.
    pub rate: Option<f64>,
    pub expected: u16,
}

/// Runs a load on this thread until its time is over; every request that was sent is waited for.
pub async fn run<R: Requests + 'static>(
    address: SocketAddr,
    plan: Plan,
    mut requests: impl FnMut(usize) -> R,
) -> io::Result<Measured> {
    let measured = Rc::new(RefCell::new(Measured::new()));
    let local = LocalSet::new();
    let mut connections = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        connections.push(Connection::open(address).await?);
    }
    let start = Instant::now();
    let mut tasks = Vec::with_capacity(plan.connections);
    for (index, connection) in connections.into_iter().enumerate() {
        let share = Share {
            index,
            start,
            plan,
            measured: Rc::clone(&measured),
        };
        tasks.push(local.spawn_local(share.drive(connection, requests(index))));
    }
    local
        .run_until(async {
            for task in tasks {
                task.await.map_err(io::Error::other)??;
            }
            Ok::<_, io::Error>(())
        })
        .await?;
    let mut measured = Rc::try_unwrap(measured)
        .map_err(|_| io::Error::other("a connection outlived its load"))?
        .into_inner();
    measured.seconds = start.elapsed().as_secs_f64();
    Ok(measured)
}

/// One connection's part of a load.
struct Share {
    index: usize,
    start: Instant,
    plan: Plan,
    measured: Rc<RefCell<Measured>>,
}

impl Share {
    /// When request `number` is due at a fixed rate; the connections take turns.
    fn due(&self, rate: f64, number: u64) -> Instant {
        let place = number as f64 * self.plan.connections as f64 + self.index as f64;
        self.start + Duration::from_secs_f64(place / rate)
    }

    async fn drive<R: Requests>(self, mut connection: Connection, mut requests: R) -> io::Result<()> {
        let end = self.start + self.plan.duration;
        for number in 0.. {
            let since = match self.plan.rate {
                Some(rate) => {
                    let due = self.due(rate, number);
                    if due >= end {
                        return Ok(());
                    }
                    tokio::time::sleep_until(due.into()).await;
                    due
                }
                None => Instant::now(),
            };
            if since >= end {
                return Ok(());
            }
            let weight = requests.weight();
            let answer = connection.exchange(requests.next(number)).await?;
            let body = (answer.status != self.plan.expected)
                .then(|| String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned());
            let said = (answer.status, body);
            self.measured.borrow_mut().note(since, said, self.plan.expected, weight);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    struct Ping;

    impl Requests for Ping {
        fn next(&mut self, _number: u64) -> &[u8] {
            b"GET / HTTP/1.1\r\n\r\n"
        }
    }

    /// Answers at once, but for one pause.
    async fn server(pause: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            for number in 0.. {
                if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                    return;
                }
                if number == 20 {
                    tokio::time::sleep(pause).await;
                }
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await
                    .unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn a_stall_counts_for_every_request_that_was_due_in_it() {
        let address = server(Duration::from_millis(300)).await;
        let plan = Plan {
            connections: 1,
            duration: Duration::from_millis(600),
            rate: Some(200.0),
            expected: 200,
        };
        let measured = run(address, plan, |_| Ping).await.unwrap();
        assert_eq!((measured.requests, measured.work), (120, 120));
        // One request was slow, but some 60 were due while it stalled: a third to a half of all waited 50 ms or more.
        let slow = measured
            .latency
            .iter_recorded()
            .filter(|v| v.value_iterated_to() >= 50_000)
            .map(|v| v.count_at_value())
            .sum::<u64>();
        assert!((35..=80).contains(&slow), "{slow}");
    }

    #[tokio::test]
    async fn an_unexpected_status_is_no_work() {
        let address = server(Duration::ZERO).await;
        let plan = Plan {
            connections: 1,
            duration: Duration::from_millis(50),
            rate: Some(100.0),
            expected: 202,
        };
        let measured = run(address, plan, |_| Ping).await.unwrap();
        assert_eq!(
            (measured.requests, measured.work, measured.unexpected.get(&200)),
            (5, 0, Some(&5))
        );
        assert_eq!(measured.first_unexpected.as_deref(), Some("ok"));
    }
}
