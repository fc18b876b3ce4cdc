//! Processes that are killed: this test program again, in a role.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, atomic::AtomicBool},
    thread,
    time::Duration,
};

use evenhand_kafka::{KafkaSettings, KafkaSink, SinkSettings, SpoolSettings};

use crate::{broker::runtime, events, fixed_ranges};

const ROLE: &str = "EVENHAND_KAFKA_TEST_ROLE";
const BROKERS: &str = "EVENHAND_KAFKA_TEST_BROKERS";
const PREFIX: &str = "EVENHAND_KAFKA_TEST_PREFIX";
const DIR: &str = "EVENHAND_KAFKA_TEST_DIR";

/// A child and the lines it has said.
pub struct Running {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Running {
    /// Starts this program in a role. `shell` is put before it, as in `ulimit -f 8;`.
    pub fn start(role: &str, shell: &str, settings: &KafkaSettings, dir: &Path) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "{shell} exec \"$0\" --exact children::child --nocapture --test-threads 1"
            ))
            .arg(program)
            .env(ROLE, role)
            .env(BROKERS, &settings.brokers)
            .env(PREFIX, &settings.prefix)
            .env(DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in output.lines().map_while(Result::ok) {
                    said.lock().unwrap().push(line);
                }
            })
        };
        Self {
            child,
            said,
            reader: Some(reader),
        }
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// kill -9; everything it said until then.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        self.said()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Vec<String> {
        assert!(self.child.wait().unwrap().success(), "{:?}", self.said());
        self.reader.take().unwrap().join().unwrap();
        self.said()
    }
}

/// Ids of the events that a producing child said were acknowledged. The last line may be cut off.
pub fn acknowledged(said: &[String]) -> BTreeSet<String> {
    said.iter()
        .filter_map(|line| {
            line.strip_prefix("acknowledged ")?
                .strip_suffix(" events")?
                .parse::<u64>()
                .ok()
        })
        .flat_map(|first| first..first + BATCH)
        .map(events::id)
        .collect()
}

pub const BATCH: u64 = 5;

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").and_then(|()| out.flush()).unwrap();
}

/// Not a test of its own: what the children of the others do.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut settings = KafkaSettings::new(std::env::var(BROKERS).unwrap());
    settings.prefix = std::env::var(PREFIX).unwrap();
    let dir = std::path::PathBuf::from(std::env::var(DIR).unwrap());
    match role.as_str() {
        "produce" => produce(&settings, &dir),
        "fill" => fill(&settings, &dir),
        "process" => fixed_ranges::process_forever(&settings, &dir, &|line| say(&line)),
        other => panic!("no role {other}"),
    }
}

fn spooled(dir: &Path) -> SinkSettings {
    SinkSettings {
        spool: Some(SpoolSettings {
            segment_bytes: 16 << 10,
            ..SpoolSettings::new(dir)
        }),
        ack_timeout: Duration::from_millis(300),
        ..SinkSettings::default()
    }
}

/// Sends until it is killed.
fn produce(settings: &KafkaSettings, dir: &Path) {
    let sink = KafkaSink::open(settings, &spooled(dir)).unwrap();
    let ingestion = events::ingestion(&sink);
    runtime().block_on(async move {
        let mut tasks = Vec::new();
        for sender in 0..8_u64 {
            let ingestion = ingestion.clone();
            tasks.push(tokio::spawn(async move {
                for round in 0.. {
                    let first = (round * 8 + sender) * BATCH;
                    events::send(&ingestion, first..first + BATCH).await.unwrap();
                    say(&format!("acknowledged {first} events"));
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Sends, without a broker, until the disk takes no more.
fn fill(settings: &KafkaSettings, dir: &Path) {
    let sink = KafkaSink::open(settings, &spooled(dir)).unwrap();
    let ingestion = events::ingestion(&sink);
    let stop = AtomicBool::new(false);
    runtime().block_on(async {
        let mut refusals = 0;
        for round in 0..2_000_u64 {
            let first = round * BATCH;
            match events::send(&ingestion, first..first + BATCH).await {
                Ok(()) => say(&format!("acknowledged {first} events")),
                Err(error) => {
                    say(&format!("refused {error}"));
                    refusals += 1;
                    if refusals == 3 {
                        stop.store(true, std::sync::atomic::Ordering::Relaxed);
                        break;
                    }
                }
            }
        }
    });
    assert!(stop.into_inner(), "the disk never filled up");
}
