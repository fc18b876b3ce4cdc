//! Measures the log in Kafka against one broker on this machine: `cargo run --release -p evenhand-kafka --example measure_log [SECONDS
//! [SETTING=VALUE …]]`, the settings being librdkafka's.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use evenhand_kafka::{
    KafkaSettings, KafkaSink, RangeConsumer, RangeLimits, Rekey, SinkSettings, SpoolSettings, TopicSettings,
    ensure_topics,
};
use evenhand_pipeline::{ContentKind, IngestMeta, Ingestion, KeyKind, Pseudonyms, ingest::Pseudonymiser};
use evenhand_test_servers::Server;

const SENDERS: u64 = 64;
const BATCH: u64 = 50;
const NOW: i64 = 1_795_392_000_000;

fn body(first: u64) -> String {
    let events: Vec<String> = (first..first + BATCH)
        .map(|n| {
            let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!(
                r#"{{"event_id":"0190a000-{:04x}-7{:03x}-8000-{n:012x}","event_name":"purchase","timestamp":{},"user_id":"user-{}","value":"{}.5","units":{{"device_id":"d-{}"}},"properties":{{"page":"/checkout/{}","plan":"pro"}},"sdk":"python/1.0"}}"#,
                mixed >> 48,
                mixed & 0xfff,
                NOW - 1_000 - i64::try_from(n % 1_000).unwrap_or(0),
                mixed % 100_000,
                n % 90,
                mixed % 50_000,
                n % 300
            )
        })
        .collect();
    format!("[{}]", events.join(","))
}

/// Events acknowledged in a second.
fn rate(sink: &KafkaSink, seconds: f64) -> (f64, u64) {
    let ingestion = Ingestion::new(
        sink.environment("production"),
        Pseudonymiser::shared(&Pseudonyms::Off).expect("no key is needed"),
    );
    let (stop, next, taken) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let began = Instant::now();
    for _ in 0..SENDERS {
        let (ingestion, stop, next, taken) = (
            ingestion.clone(),
            Arc::clone(&stop),
            Arc::clone(&next),
            Arc::clone(&taken),
        );
        runtime.spawn(async move {
            while !stop.load(Relaxed) {
                let meta = IngestMeta {
                    received_at_ms: NOW,
                    content: ContentKind::Json,
                    key_id: "key-1".into(),
                    key_kind: KeyKind::Server,
                    sdk: None,
                    import: false,
                };
                match ingestion
                    .ingest(body(next.fetch_add(BATCH, Relaxed)).as_bytes(), meta)
                    .await
                {
                    Ok(outcome) => taken.fetch_add(outcome.accepted as u64, Relaxed),
                    Err(error) => panic!("{error}"),
                };
            }
        });
    }
    thread::sleep(Duration::from_secs_f64(seconds));
    let (events, took) = (taken.load(Relaxed), began.elapsed().as_secs_f64());
    stop.store(true, Relaxed);
    runtime.shutdown_timeout(Duration::from_secs(10));
    (events as f64 / took, events)
}

fn size(dir: &Path, topic: &str) -> u64 {
    let folders = fs::read_dir(dir).expect("the broker's data").flatten();
    folders
        .filter(|folder| folder.file_name().to_string_lossy().starts_with(topic))
        .flat_map(|folder| fs::read_dir(folder.path()).expect("a partition").flatten())
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "log"))
        .map(|file| file.metadata().map_or(0, |metadata| metadata.len()))
        .sum()
}

fn main() {
    let seconds: f64 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(8.0);
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("kafka");
    let broker = Server::start("kafka", &[&format!("log.dirs={}", data.display())]);
    let mut last = None;
    for compression in ["lz4", "zstd"] {
        let mut settings = KafkaSettings::new(&broker.url);
        settings.prefix = compression.into();
        for argument in std::env::args().skip(2) {
            let (name, value) = argument.split_once('=').expect("SETTING=VALUE");
            settings.options.insert(name.into(), value.into());
        }
        let topics = TopicSettings {
            partitions: 4,
            replication: 1,
            ..TopicSettings::default()
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(ensure_topics(&settings, &topics)).expect("topics");
        let sink = KafkaSink::open(
            &settings,
            &SinkSettings {
                compression: compression.into(),
                ..SinkSettings::default()
            },
        )
        .expect("a sink");
        rate(&sink, 1.0);
        let (events_a_second, _) = rate(&sink, seconds);
        sink.flush(Duration::from_secs(30)).expect("all is sent");
        let produced = sink.status().produced;
        let bytes = size(&data, &settings.events()) as f64 / produced as f64;
        println!(
            "{compression}: {events_a_second:.0} events/s acknowledged by Kafka, {bytes:.0} bytes an event on the broker's disk"
        );
        last = Some((settings, produced));
    }
    let (settings, produced) = last.expect("it was measured");

    let began = Instant::now();
    let rekey = Rekey::start(&settings).expect("re-keying");
    while rekey.status().written < produced * 2 {
        thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < Duration::from_secs(300), "{:?}", rekey.status());
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "re-keying: {:.0} events/s, {:.0} units' records/s (joining the group included)",
        produced as f64 / took,
        2.0 * produced as f64 / took
    );
    drop(rekey);

    let began = Instant::now();
    let mut member = RangeConsumer::open(&settings, RangeLimits::default()).expect("a consumer");
    let (mut records, mut ranges) = (0, 0);
    while records < produced * 2 {
        if let Some(range) = member.next_range(Duration::from_millis(200)).expect("a range") {
            records += range.records.len() as u64;
            ranges += 1;
            member.finish(&range);
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "ranges: {:.0} records/s in {ranges} ranges (joining the group included)",
        records as f64 / took
    );
    drop((member, broker));

    let away = SinkSettings {
        spool: Some(SpoolSettings::new(dir.path().join("spool"))),
        ack_timeout: Duration::from_millis(500),
        ..SinkSettings::default()
    };
    let sink = KafkaSink::open(&KafkaSettings::new("127.0.0.1:1"), &away).expect("a sink");
    rate(&sink, 1.0);
    let before = sink.status().spool.expect("a spool");
    let (events_a_second, _) = rate(&sink, seconds / 2.0);
    let spool = sink.status().spool.expect("a spool");
    let (events, bytes) = (spool.appended - before.appended, spool.bytes - before.bytes);
    println!(
        "spool: {events_a_second:.0} events/s acknowledged after fsync, {:.0} events an fsync, {:.0} bytes an event",
        events as f64 / (spool.fsyncs - before.fsyncs) as f64,
        bytes as f64 / events as f64
    );
}
