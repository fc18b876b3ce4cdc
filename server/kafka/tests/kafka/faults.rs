//! kill -9, a silent broker, a full spool, a full disk: what was acknowledged is in the topic.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use evenhand_kafka::{KafkaSettings, KafkaSink, Rekey, SinkSettings, SpoolSettings};
use evenhand_pipeline::IngestError;

use crate::{
    broker::{alone, read_all, runtime, shared, topics, until},
    children::{Running, acknowledged},
    events::{self, NOW, ids, ingestion, load, send},
    fixed_ranges::{Store, count_until},
};

fn with_spool(dir: &std::path::Path) -> SinkSettings {
    SinkSettings {
        spool: Some(SpoolSettings {
            segment_bytes: 64 << 10,
            ..SpoolSettings::new(dir)
        }),
        ack_timeout: Duration::from_millis(500),
        ..SinkSettings::default()
    }
}

fn drained(sink: &KafkaSink) {
    until("the spool is sent", 40, || {
        let status = sink.status();
        status.direct && status.spool.is_some_and(|spool| spool.events == 0 && spool.bytes == 0)
    });
}

#[test]
fn a_broker_killed_under_load_costs_no_acknowledged_event() {
    let mut broker = alone();
    let dir = tempfile::tempdir().unwrap();
    let settings = topics(&broker.url, "killed", 3);
    let sink = KafkaSink::open(&settings, &with_spool(dir.path())).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = runtime();
    // All that follows works meanwhile, and goes on when the broker is back.
    let rekey = Rekey::start(&settings).unwrap();
    let (store, enough) = (Arc::new(Mutex::new(Store::default())), Arc::new(AtomicBool::new(false)));
    let counting = {
        let (store, enough, settings) = (Arc::clone(&store), Arc::clone(&enough), settings.clone());
        thread::spawn(move || count_until(&settings, &store, &enough))
    };
    let sending = runtime.spawn(load(ingestion(&sink), 16, 10, Arc::clone(&stop)));
    until("events arrive", 20, || sink.status().produced > 1_000);
    broker.kill();
    let mut status = sink.status();
    until("events wait in the spool", 20, || {
        status = sink.status();
        !status.direct && status.spool.is_some_and(|spool| spool.events > 500)
    });
    let problem = status.problem(NOW).unwrap();
    assert!(problem.contains("they wait in the spool"), "{problem}");
    broker.restart();
    until("events go to Kafka again", 40, || sink.status().direct);
    thread::sleep(Duration::from_millis(300));
    stop.store(true, Relaxed);
    let sent = runtime.block_on(sending).unwrap();
    drained(&sink);
    let found = read_all(&broker.url, &settings.events());
    let found = ids(found.iter().map(|found| found.value.as_str()));
    let lost: Vec<_> = sent.iter().filter(|n| !found.contains(&events::id(**n))).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged events are lost: {lost:?}",
        lost.len(),
        sent.len()
    );
    until("every unit's record is counted", 60, || {
        thread::sleep(Duration::from_millis(500));
        let units = read_all(&broker.url, &settings.units());
        let rekeyed = ids(units.iter().map(|found| found.value.as_str()));
        found.is_subset(&rekeyed) && store.lock().unwrap().is_complete(&broker.url, &settings.units())
    });
    enough.store(true, Relaxed);
    counting.join().unwrap();
    drop(rekey);
    let spool = sink.status().spool.unwrap();
    assert!(
        spool.appended > 500 && spool.damaged == 0 && spool.failures == 0,
        "{spool:?}"
    );
}

#[test]
fn a_node_killed_while_the_broker_hangs_leaves_its_spool_to_the_next() {
    let mut broker = alone();
    let dir = tempfile::tempdir().unwrap();
    let settings = topics(&broker.url, "orphaned", 3);
    let child = Running::start("produce", "", &settings, dir.path());
    until("the child's events are acknowledged", 20, || {
        acknowledged(&child.said()).len() > 500
    });
    broker.pause();
    let before = acknowledged(&child.said()).len();
    until("the child goes on with its spool", 20, || {
        acknowledged(&child.said()).len() > before + 500
    });
    let said = child.kill();
    // As a crash leaves it: the last write was not finished.
    let last = fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "spool"))
        .max()
        .unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes.extend_from_slice(b"EvS1\xff\x00\x00\x00half of a record");
    fs::write(&last, bytes).unwrap();
    broker.resume();
    let sink = KafkaSink::open(&settings, &with_spool(dir.path())).unwrap();
    drained(&sink);
    assert!(sink.status().spool.unwrap().torn_bytes > 0);
    let found = read_all(&broker.url, &settings.events());
    let found = ids(found.iter().map(|found| found.value.as_str()));
    let sent = acknowledged(&said);
    let lost: Vec<_> = sent.difference(&found).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged events are lost",
        lost.len(),
        sent.len()
    );
}

/// A port nobody listens on stands for a broker that is away; the same spool is then opened beside the real one.
#[test]
fn a_full_spool_refuses_and_loses_nothing() {
    let broker = shared();
    let dir = tempfile::tempdir().unwrap();
    let settings = topics(&broker.url, "full", 2);
    let mut nowhere = KafkaSettings::new("127.0.0.1:1");
    nowhere.prefix = "full".into();
    let mut small = with_spool(dir.path());
    small.spool.as_mut().unwrap().max_bytes = 200 << 10;
    small.ack_timeout = Duration::from_millis(100);
    let sink = KafkaSink::open(&nowhere, &small).unwrap();
    let ingestion = ingestion(&sink);
    let runtime = runtime();
    let mut sent = Vec::new();
    let refused = (0..1_000_u64).find_map(|round| {
        let numbers = round * 20..round * 20 + 20;
        match runtime.block_on(send(&ingestion, numbers.clone())) {
            Ok(()) => {
                sent.extend(numbers);
                None
            }
            Err(error) => Some(error),
        }
    });
    assert_eq!(refused, Some(IngestError::Overloaded { retry_after_seconds: 5 }));
    let status = sink.status();
    let spool = status.spool.unwrap();
    assert!(
        spool.bytes <= 200 << 10 && spool.events == sent.len() as u64,
        "{spool:?}"
    );
    assert_eq!((status.refused, ingestion.gauges().overloaded), (20, 20));
    assert_eq!(spool.oldest_received_ms, Some(NOW));
    let message = match KafkaSink::open(&nowhere, &small) {
        Ok(_) => panic!("two share a spool"),
        Err(error) => error.to_string(),
    };
    assert!(message.contains("in use by another process"), "{message}");
    drop((ingestion, sink));
    // One record damaged by the disk.
    let first = dir.path().join(format!("{:020}.spool", 1));
    let mut bytes = fs::read(&first).unwrap();
    bytes[200] ^= 0x10;
    fs::write(&first, bytes).unwrap();
    let sink = KafkaSink::open(&settings, &with_spool(dir.path())).unwrap();
    drained(&sink);
    let found = read_all(&broker.url, &settings.events());
    let found = ids(found.iter().map(|found| found.value.as_str()));
    let missing: Vec<u64> = sent.into_iter().filter(|n| !found.contains(&events::id(*n))).collect();
    assert_eq!(missing, (0..20).collect::<Vec<_>>(), "the damaged batch and no other");
    assert_eq!(sink.status().spool.unwrap().damaged, 1);
    let aside: Vec<_> = fs::read_dir(dir.path().join("set-aside"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(aside.len(), 1);
    let kept = String::from_utf8_lossy(&fs::read(&aside[0]).unwrap()).into_owned();
    assert!(kept.contains(&events::id(19)), "the damaged bytes are kept");
    assert!(sink.status().problem(NOW).unwrap().contains("1 damaged and 0 refused"));
}

/// A limit on the size of files stands for a full disk: a write ends in the middle and fails.
#[test]
fn a_full_disk_refuses_and_what_was_acknowledged_is_whole() {
    let broker = shared();
    let dir = tempfile::tempdir().unwrap();
    let settings = topics(&broker.url, "disk", 2);
    let mut nowhere = KafkaSettings::new("127.0.0.1:1");
    nowhere.prefix = "disk".into();
    let child = Running::start("fill", "trap '' XFSZ; ulimit -f 10;", &nowhere, dir.path());
    let said = child.end();
    let refusal = said.iter().find(|line| line.starts_with("refused")).unwrap();
    assert!(
        refusal.contains("the spool can't be written") && refusal.contains("send again in 5 s"),
        "{refusal}"
    );
    let sent = acknowledged(&said);
    assert!(sent.len() > 10, "{}", sent.len());
    let sink = KafkaSink::open(&settings, &with_spool(dir.path())).unwrap();
    drained(&sink);
    let spool = sink.status().spool.unwrap();
    assert_eq!(
        (spool.damaged, spool.torn_bytes),
        (0, 0),
        "the unfinished write was cut off at once"
    );
    let found = read_all(&broker.url, &settings.events());
    let found = ids(found.iter().map(|found| found.value.as_str()));
    assert_eq!(found, sent);
}
