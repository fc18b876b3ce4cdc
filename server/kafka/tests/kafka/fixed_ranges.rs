//! Every record is in exactly one range, and every attempt at a range has the same end: through crashes at every step, rebalances, a
//! consumer that hangs, kill -9.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use evenhand_kafka::{Finished, KafkaError, KafkaSettings, Range, RangeConsumer, RangeLimits, Rewind, rewind};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer},
    {Offset, TopicPartitionList},
};

use crate::{
    broker::{read_all, runtime, shared, topics, until},
    children::Running,
};

const LIMITS: RangeLimits = RangeLimits {
    records: 40,
    bytes: 1 << 20,
    delay: Duration::from_millis(50),
    accept_lost: false,
};

/// A store that behaves as the real one: cells and marker in one write, each range counted once whoever writes it.
#[derive(Default)]
pub struct Store {
    /// Partition → (from → to) of what has been counted.
    counted: BTreeMap<i32, BTreeMap<i64, i64>>,
    /// (partition, from) → to of every attempt.
    attempts: BTreeMap<(i32, i64), i64>,
    records: BTreeMap<(i32, i64), usize>,
    repeated: usize,
}

impl Store {
    fn attempt(&mut self, range: &Range) {
        let to = *self.attempts.entry((range.partition, range.from)).or_insert(range.to);
        assert_eq!(
            to, range.to,
            "two ends of one range: {} {}",
            range.partition, range.from
        );
        assert!(
            range
                .records
                .iter()
                .all(|record| (range.from..range.to).contains(&record.offset))
        );
        assert!(range.records.windows(2).all(|pair| pair[0].offset < pair[1].offset));
        self.repeated += usize::from(!range.fresh);
    }

    pub fn count(&mut self, range: &Range) {
        self.attempt(range);
        let counted = self.counted.entry(range.partition).or_default();
        let marker = counted.last_key_value().map(|(_, to)| *to);
        if counted.get(&range.from) == Some(&range.to) {
            return; // Done before, by this one or another.
        }
        assert!(
            marker.is_none_or(|marker| marker == range.from),
            "{range:?} does not follow {marker:?}"
        );
        counted.insert(range.from, range.to);
        for record in &range.records {
            *self.records.entry((range.partition, record.offset)).or_default() += 1;
        }
    }

    /// All of the topic's records were counted once.
    pub fn is_complete(&self, brokers: &str, topic: &str) -> bool {
        let found = read_all(brokers, topic);
        let all: BTreeMap<(i32, i64), usize> = found.iter().map(|found| ((found.partition, found.offset), 1)).collect();
        self.records == all
    }
}

/// Counts ranges until told to stop; a consumer that fails gives way to a new one.
pub fn count_until(settings: &KafkaSettings, store: &Mutex<Store>, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let mut member = RangeConsumer::open(settings, RangeLimits::default()).unwrap();
        while !stop.load(Relaxed) {
            match member.next_range(Duration::from_millis(100)) {
                Ok(Some(range)) => {
                    store.lock().unwrap().count(&range);
                    member.finish(&range);
                }
                Ok(None) => {}
                Err(_) => break,
            }
        }
    }
}

/// Records in each partition, in transactions of 30: their ends, and those that are aborted, leave gaps in the offsets.
fn fill(brokers: &str, topic: &str, partitions: i32, transactions: usize) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", topic)
        .create()
        .unwrap();
    let patience = Duration::from_secs(20);
    producer.init_transactions(patience).unwrap();
    for transaction in 0..transactions {
        producer.begin_transaction().unwrap();
        for number in 0..30 {
            for partition in 0..partitions {
                let value = format!("{transaction}-{number}");
                producer
                    .send(
                        BaseRecord::to(topic)
                            .partition(partition)
                            .key("production/user_id/u")
                            .payload(&value),
                    )
                    .unwrap();
            }
        }
        producer.flush(patience).unwrap();
        if transaction % 5 == 3 {
            producer.abort_transaction(patience).unwrap();
        } else {
            producer.commit_transaction(patience).unwrap();
        }
    }
}

#[test]
fn a_crash_at_every_step_repeats_the_same_range() {
    let broker = shared();
    let settings = topics(&broker.url, "steps", 2);
    fill(&broker.url, &settings.units(), 2, 10);
    let (mut store, mut step, mut consumer) = (Store::default(), 0, None);
    let until = Instant::now() + Duration::from_secs(40);
    let mut quiet = 0;
    while quiet < 10 {
        assert!(Instant::now() < until, "it takes too long");
        let member = consumer.get_or_insert_with(|| RangeConsumer::open(&settings, LIMITS).unwrap());
        let Some(range) = member.next_range(Duration::from_millis(200)).unwrap() else {
            quiet += 1;
            continue;
        };
        quiet = 0;
        step += 1;
        match step {
            // Crashed before anything was counted, after, and after the range was finished.
            2 | 6 => {
                store.attempt(&range);
                consumer = None;
            }
            3 | 8 => {
                store.count(&range);
                consumer = None;
            }
            4 | 9 => {
                store.count(&range);
                assert_eq!(member.finish(&range), Finished::Done);
                consumer = None;
            }
            _ => {
                store.count(&range);
                assert_eq!(member.committed(range.partition).unwrap().to, Some(range.to));
                assert_eq!(member.finish(&range), Finished::Done);
            }
        }
    }
    assert!(store.is_complete(&broker.url, &settings.units()));
    assert!(store.repeated >= 4, "{}", store.repeated);
    // Quiet for longer than a second, what is finished is completed, and there is no lag.
    let member = consumer.as_ref().unwrap();
    for lag in member.lag() {
        let committed = member.committed(lag.partition).unwrap();
        assert_eq!((committed.from, committed.to), (lag.position, None));
        // The end of the last transaction is no record and has an offset.
        assert!(lag.lag <= 1 && lag.handled_ms.is_some(), "{lag:?}");
    }
}

#[test]
fn consumers_that_come_and_go_share_every_record_once() {
    let broker = shared();
    let mut settings = topics(&broker.url, "sharing", 5);
    settings.options.insert("heartbeat.interval.ms".into(), "200".into());
    let (store, stop) = (Arc::new(Mutex::new(Store::default())), Arc::new(AtomicBool::new(false)));
    let mut members = Vec::new();
    for seed in 0..3_u64 {
        let (store, stop, its) = (Arc::clone(&store), Arc::clone(&stop), settings.clone());
        members.push(thread::spawn(move || {
            let mut ranges = 0_u64;
            while !stop.load(Relaxed) {
                let mut member = RangeConsumer::open(&its, LIMITS).unwrap();
                let leaves = Instant::now() + Duration::from_millis(2_500 + seed * 1_700);
                while !stop.load(Relaxed) && (seed == 0 || Instant::now() < leaves) {
                    let Some(range) = member.next_range(Duration::from_millis(50)).unwrap() else {
                        continue;
                    };
                    ranges += 1;
                    if ranges % 5 == seed {
                        // Slow: the partition may be taken away meanwhile.
                        thread::sleep(Duration::from_millis(20));
                    }
                    store.lock().unwrap().count(&range);
                    if ranges % 7 == seed {
                        continue; // Never finished: only a new owner goes on. This one leaves soon, or lost it already.
                    }
                    member.finish(&range);
                }
                if seed == 0 {
                    break;
                }
            }
            ranges
        }));
        thread::sleep(Duration::from_millis(300));
        fill(&broker.url, &settings.units(), 5, 4);
    }
    for _ in 0..6 {
        fill(&broker.url, &settings.units(), 5, 4);
        thread::sleep(Duration::from_millis(700));
    }
    // Member 0 left some ranges unfinished; the last one takes over whatever is left.
    stop.store(true, Relaxed);
    let ranges: Vec<u64> = members.into_iter().map(|member| member.join().unwrap()).collect();
    assert!(ranges.iter().all(|ranges| *ranges > 1), "{ranges:?}");
    let mut last = RangeConsumer::open(&settings, LIMITS).unwrap();
    let mut store = store.lock().unwrap();
    until("the last takes over the rest", 30, || {
        while let Some(range) = last.next_range(Duration::from_millis(300)).unwrap() {
            store.count(&range);
            last.finish(&range);
        }
        store.is_complete(&broker.url, &settings.units())
    });
    assert!(store.repeated > 0);
}

#[test]
fn a_consumer_that_hangs_is_fenced() {
    let broker = shared();
    let mut settings = topics(&broker.url, "hanging", 1);
    settings.options.insert("session.timeout.ms".into(), "3000".into());
    settings.options.insert("heartbeat.interval.ms".into(), "500".into());
    settings.options.insert("max.poll.interval.ms".into(), "3000".into());
    fill(&broker.url, &settings.units(), 1, 6);
    let mut store = Store::default();
    let mut hangs = RangeConsumer::open(&settings, LIMITS).unwrap();
    let mut held = None;
    until("a range", 20, || {
        held = hangs.next_range(Duration::from_millis(200)).unwrap();
        held.is_some()
    });
    let held = held.unwrap();
    store.attempt(&held);
    let mut heir = RangeConsumer::open(&settings, LIMITS).unwrap();
    let mut taken = Vec::new();
    until("another takes over", 30, || {
        if let Some(range) = heir.next_range(Duration::from_millis(100)).unwrap() {
            store.count(&range);
            assert_eq!(heir.finish(&range), Finished::Done);
            taken.push(range);
        }
        taken.len() >= 3
    });
    assert_eq!(
        (taken[0].from, taken[0].to, taken[0].fresh),
        (held.from, held.to, false)
    );
    assert_eq!(taken[0].records, held.records);
    // It comes back to life, knows nothing, and writes what has been written already.
    store.count(&held);
    hangs.finish(&held);
    for _ in 0..20 {
        match hangs.next_range(Duration::from_millis(50)) {
            Ok(None) => {}
            Ok(Some(range)) => panic!("it hands out {range:?}"),
            Err(error) => {
                assert!(error.to_string().contains("reading units"), "{error}");
                break;
            }
        }
    }
    until("the heir does the rest", 20, || {
        if let Some(range) = heir.next_range(Duration::from_millis(100)).unwrap() {
            store.count(&range);
            heir.finish(&range);
        }
        store.is_complete(&broker.url, &settings.units())
    });
}

/// The child's part: counts ranges in a directory, as the store does, until it is killed.
pub fn process_forever(settings: &KafkaSettings, dir: &Path, say: &dyn Fn(String)) {
    let mut settings = settings.clone();
    settings.options.insert("session.timeout.ms".into(), "2000".into());
    settings.options.insert("heartbeat.interval.ms".into(), "500".into());
    let mut member = RangeConsumer::open(&settings, LIMITS).unwrap();
    loop {
        let Some(range) = member.next_range(Duration::from_millis(100)).unwrap() else {
            continue;
        };
        say(format!(
            "range {} {} {} {}",
            range.partition,
            range.from,
            range.to,
            range.records.len()
        ));
        thread::sleep(Duration::from_millis(15));
        let path = dir.join(format!("{}-{}-{}", range.partition, range.from, range.to));
        fs::write(&path, "").unwrap();
        thread::sleep(Duration::from_millis(15));
        member.finish(&range);
    }
}

#[test]
fn a_process_killed_in_the_middle_leaves_ranges_that_tile() {
    let broker = shared();
    let settings = topics(&broker.url, "tiles", 2);
    let dir = tempfile::tempdir().unwrap();
    fill(&broker.url, &settings.units(), 2, 20);
    let all = read_all(&broker.url, &settings.units()).len();
    let mut attempts: BTreeMap<(i32, i64), i64> = BTreeMap::new();
    let mut counts: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    let mut take = |said: Vec<String>| {
        for line in said.iter().filter_map(|line| line.strip_prefix("range ")) {
            let words: Vec<i64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
            let [partition, from, to, records] = words[..] else {
                continue;
            };
            let partition = i32::try_from(partition).unwrap();
            assert_eq!(
                *attempts.entry((partition, from)).or_insert(to),
                to,
                "two ends of one range"
            );
            counts.insert((partition, from), usize::try_from(records).unwrap());
        }
        (attempts.clone(), counts.values().sum::<usize>())
    };
    for most in [4, 9] {
        let child = Running::start("process", "", &settings, dir.path());
        until("some ranges", 30, || {
            child.said().iter().filter(|line| line.starts_with("range ")).count() >= most
        });
        take(child.kill());
    }
    let child = Running::start("process", "", &settings, dir.path());
    until("all ranges", 40, || take(child.said()).1 == all);
    let (attempts, _) = take(child.kill());
    for partition in 0..2 {
        let mut at = 0;
        for ((_, from), to) in attempts.range((partition, 0)..(partition + 1, 0)) {
            assert_eq!(*from, at, "ranges follow each other without gap or overlap");
            at = *to;
        }
    }
}

#[test]
fn replay_begins_where_it_is_told_and_lost_records_are_an_error() {
    let broker = shared();
    let settings = topics(&broker.url, "replay", 1);
    let units = settings.units();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker.url)
        .create()
        .unwrap();
    for n in 0..10_i64 {
        producer
            .send(BaseRecord::to(&units).key("k").payload("v").timestamp(1_000_000 + n))
            .unwrap();
        producer.flush(Duration::from_secs(20)).unwrap();
    }
    let first = |member: &mut RangeConsumer| {
        let mut found = None;
        until("a range", 20, || {
            found = member.next_range(Duration::from_millis(200)).unwrap();
            found.is_some()
        });
        found.unwrap()
    };
    let mut member = RangeConsumer::open(&settings, LIMITS).unwrap();
    let range = first(&mut member);
    assert_eq!((range.from, range.to, range.fresh), (0, 10, true));
    member.finish(&range);
    let message = rewind(&settings, Rewind::Start).unwrap_err().to_string();
    assert!(message.contains("stop every `evenhand process`"), "{message}");
    drop(member);
    assert_eq!(
        rewind(&settings, Rewind::Time(1_000_007)).unwrap(),
        BTreeMap::from([(0, 7)])
    );
    let mut member = RangeConsumer::open(&settings, LIMITS).unwrap();
    let range = first(&mut member);
    assert_eq!((range.from, range.to, range.fresh), (7, 10, true));
    drop(member);
    assert_eq!(rewind(&settings, Rewind::Start).unwrap(), BTreeMap::from([(0, 0)]));

    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &broker.url)
        .create()
        .unwrap();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&units, 0, Offset::Offset(4)).unwrap();
    runtime()
        .block_on(admin.delete_records(&before, &AdminOptions::new()))
        .unwrap();
    let mut member = RangeConsumer::open(&settings, LIMITS).unwrap();
    let mut error = None;
    until("the loss is told", 20, || {
        error = member.next_range(Duration::from_millis(200)).err();
        error.is_some()
    });
    assert!(
        matches!(
            error,
            Some(KafkaError::Lost {
                partition: 0,
                from: 0,
                first: 4,
                ..
            })
        ),
        "{error:?}"
    );
    drop(member);
    let limits = RangeLimits {
        accept_lost: true,
        ..LIMITS
    };
    let mut member = RangeConsumer::open(&settings, limits).unwrap();
    let range = first(&mut member);
    assert_eq!((range.from, range.to, range.records.len()), (0, 10, 6));
}
