//! The aggregates in ClickHouse equal those of the embedded store, whatever the order, the cuts, the crashes, the processors that have lost
//! their partitions and go on nevertheless, and the moment a definition appears. The engine is the real one.

mod support;

use std::{
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use evenhand_clickhouse::ClickHouse;
use evenhand_kafka::UnitKey as RecordKey;
use evenhand_pipeline::{KeyKind, Pipeline, catalog::Catalog, process::UnitKey};
use evenhand_process::{
    Attempt, Begun, Catalogs, Metrics, ProcessSettings, Processor, RangeSource, Worker,
    in_memory::{InMemoryLog, InMemorySource},
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use support::{ENVIRONMENT, NOW, Sent};

const PARTITIONS: u32 = 3;

/// Small: histories are dropped and read again, rebuilds take many steps, names are forgotten.
fn settings() -> ProcessSettings {
    ProcessSettings {
        lanes: 2,
        history_bytes: 4_000,
        name_bytes: 2_500,
        rebuild_units: 2,
        retry: Duration::from_millis(100),
    }
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let exposure = (0..4_usize, 0..5_usize, 1..3_u32, 1..3_u32, 0..12_u8, any::<bool>(), 0..5_usize).prop_map(
        |(experiment, variation, phase, epoch, forced, by_device, about)| {
            let experiment = ["exp-a", "exp-a-opaque", "exp-b", "exp-d"][experiment];
            let real = experiment.trim_end_matches("-opaque");
            let variation = match variation {
                0 | 1 => "control".to_owned(),
                2 => "treatment".to_owned(),
                3 => format!("{real}-treatment-opaque"),
                _ => "unheard-of".to_owned(),
            };
            let reason = if forced == 0 { "OVERRIDE" } else { "SPLIT" };
            let unit = if by_device || experiment == "exp-d" { "device_id" } else { "user_id" };
            let about = [
                r#"{"country":"SE","beta":true}"#,
                r#"{"country":"NO","beta":false}"#,
                r#"{"country":"","beta":1}"#,
                r#"{"country":"it's = \"x\"","beta":null}"#,
                "{}",
            ][about];
            format!(
                r#""event_name":"$exposure","experiment_id":"{experiment}","variation_id":"{variation}","phase":{phase},"epoch":{epoch},"reason":"{reason}","unit":"{unit}","properties":{about}"#
            )
        },
    );
    let conversion =
        (any::<bool>(), -5_i64..40_000_000, 0..3_usize, 0..300_i32).prop_map(|(bought, micros, colour, price)| {
            let name = if bought { "purchase" } else { "view" };
            let colour = [r#""red""#, r#""blue""#, "7"][colour];
            format!(
                r#""event_name":"{name}","value":"{}","properties":{{"colour":{colour},"price":{}}}"#,
                evenhand_core::event::Micros(micros),
                f64::from(price) / 100.0
            )
        });
    // Few ids and moments, so that duplicates, ties and borders are common. Units and key kind follow the event id: one event comes from
    // one application.
    (0..60_u64, 0..100_i64, 0..20_i64, prop_oneof![exposure, conversion]).prop_map(|(id, second, later, rest)| {
        let (user, device) = (id % 5, id % 3);
        Sent {
            json: format!(
                r#"{{"event_id":"{}","timestamp":{},"user_id":"u{user}","units":{{"device_id":"d{device}"}},{rest}}}"#,
                support::event_id(id),
                // NOW is a midnight: days on both sides of it.
                NOW - 50_000 + second * 1_000
            ),
            received_at: NOW + later * 1_000,
            key_kind: KeyKind::ALL[id as usize % 3],
        }
    })
}

/// How far a range is brought before its processor is gone.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Stage {
    Begun,
    Rows,
    WorkedOut,
    Written,
    Finished,
}

#[derive(Debug, Clone)]
enum Op {
    Events(Vec<Sent>),
    /// One range, this far; where it does not come to its end, another processor takes over.
    Range {
        records: u64,
        until: Stage,
    },
    /// As before, and the one that lost its partitions does not know it yet.
    LeaveBehind {
        records: u64,
        until: Stage,
    },
    /// One that was left behind does its next step.
    Zombie(prop::sample::Index),
    /// One that was left behind goes on with rebuilds.
    ZombieRebuild(prop::sample::Index),
    Rebuild,
    Catalog(bool),
    Erase(u64),
}

fn any_op() -> impl Strategy<Value = Op> {
    let stage = prop_oneof![
        1 => Just(Stage::Begun),
        1 => Just(Stage::Rows),
        1 => Just(Stage::WorkedOut),
        1 => Just(Stage::Written),
        4 => Just(Stage::Finished)
    ];
    prop_oneof![
        8 => prop::collection::vec(any_sent(), 1..12).prop_map(Op::Events),
        8 => (1..12_u64, stage.clone()).prop_map(|(records, until)| Op::Range { records, until }),
        3 => (1..12_u64, stage).prop_map(|(records, until)| Op::LeaveBehind { records, until }),
        4 => any::<prop::sample::Index>().prop_map(Op::Zombie),
        1 => any::<prop::sample::Index>().prop_map(Op::ZombieRebuild),
        3 => Just(Op::Rebuild),
        2 => any::<bool>().prop_map(Op::Catalog),
        1 => (0..5_u64).prop_map(Op::Erase),
    ]
}

struct Member {
    worker: Worker,
    source: InMemorySource,
    /// A range on its way, and how far it is.
    attempt: Option<(Box<Attempt>, Stage)>,
}

struct Case {
    store: ClickHouse,
    log: InMemoryLog,
    catalogs: Arc<Catalogs>,
    member: Member,
    zombies: Vec<Member>,
}

impl Case {
    fn join(store: &ClickHouse, log: &InMemoryLog, catalogs: &Arc<Catalogs>) -> Member {
        let metrics = Arc::new(Metrics::default());
        Member {
            worker: Worker::new(store.clone(), Arc::clone(catalogs), settings(), metrics).unwrap(),
            source: log.join(5),
            attempt: None,
        }
    }

    fn take_over(&mut self) -> Member {
        let new = Self::join(&self.store, &self.log, &self.catalogs);
        std::mem::replace(&mut self.member, new)
    }

    /// Brings the next range this far; true when it came to its end, or there was none.
    async fn range(&mut self, records: u64, until: Stage) -> bool {
        let member = &mut self.member;
        member.source.range_records = records;
        let Some(range) = member.source.next_range(Duration::ZERO).unwrap() else {
            return true;
        };
        match member.worker.begin(&range).await.unwrap() {
            Begun::Done => {
                member.source.finish(range.partition, range.to);
                return true;
            }
            Begun::Attempt(attempt) => member.attempt = Some((attempt, Stage::Begun)),
        }
        while member.attempt.as_ref().is_some_and(|(_, stage)| *stage < until) {
            step(member).await;
        }
        if until < Stage::Written {
            return false;
        }
        if until == Stage::Finished {
            member.source.finish(range.partition, range.to);
        }
        until == Stage::Finished
    }

    async fn rebuild(member: &mut Member) {
        for partition in 0..PARTITIONS {
            member.worker.rebuild_step(partition).await.unwrap();
        }
    }

    /// Everything processed and rebuilt.
    async fn settle(&mut self) {
        drop(self.take_over());
        for _ in 0..10_000 {
            let before = self.member.source.lag();
            assert!(self.range(9, Stage::Finished).await);
            if before == 0 {
                break;
            }
        }
        assert_eq!(self.member.source.lag(), 0);
        for partition in 0..PARTITIONS {
            while self.member.worker.rebuild_step(partition).await.unwrap() {}
        }
    }

    async fn erase(&mut self, user: &str) {
        self.settle().await;
        let erasure = self
            .store
            .begin_erase(ENVIRONMENT, UnitKey::of("user_id", user))
            .await
            .unwrap();
        for unit in &erasure.touched {
            let key = RecordKey::encode(ENVIRONMENT, &unit.unit_type, &unit.id);
            let partition = support::partition_of(&unit.unit_type, &unit.id, PARTITIONS);
            self.log.append(partition, key.as_bytes(), br#"{"touch":true}"#);
        }
        self.settle().await;
        assert!(self.store.is_taken_out(&erasure).await.unwrap());
        self.store.finish_erase(&erasure).await.unwrap();
    }
}

/// The next step of the range a member has on its way. One that lost its partition does the same as one that has it.
async fn step(member: &mut Member) {
    let Some((mut attempt, stage)) = member.attempt.take() else {
        return;
    };
    let next = match stage {
        Stage::Begun => {
            member.worker.store_rows(&attempt).await.unwrap();
            Stage::Rows
        }
        Stage::Rows => {
            member.worker.work_out(&mut attempt).await.unwrap();
            Stage::WorkedOut
        }
        _ => {
            member.worker.write(*attempt).await.unwrap();
            return;
        }
    };
    member.attempt = Some((attempt, next));
}

async fn run(url: &str, ops: &[Op], pipeline: &Pipeline, embedded: &Mutex<Vec<Sent>>) -> (ClickHouse, InMemoryLog) {
    let (small, full) = (
        support::catalogs(&support::small()),
        support::catalogs(&support::full()),
    );
    let store = support::store(url).await;
    let log = InMemoryLog::default();
    let member = Case::join(&store, &log, &small);
    let mut case = Case {
        store,
        log,
        catalogs: small.clone(),
        member,
        zombies: Vec::new(),
    };
    for op in ops {
        match op {
            Op::Events(events) => {
                for event in events {
                    event.fill_log(&case.log, PARTITIONS);
                }
                embedded.lock().unwrap().extend(events.iter().cloned());
            }
            Op::Range { records, until } => {
                if !case.range(*records, *until).await {
                    drop(case.take_over());
                }
            }
            Op::LeaveBehind { records, until } => {
                case.range(*records, *until).await;
                let old = case.take_over();
                case.zombies.push(old);
            }
            Op::Zombie(which) if !case.zombies.is_empty() => {
                let zombie = which.index(case.zombies.len());
                step(&mut case.zombies[zombie]).await;
            }
            Op::ZombieRebuild(which) if !case.zombies.is_empty() => {
                let zombie = which.index(case.zombies.len());
                Case::rebuild(&mut case.zombies[zombie]).await;
            }
            Op::Zombie(_) | Op::ZombieRebuild(_) => {}
            Op::Rebuild => Case::rebuild(&mut case.member).await,
            Op::Catalog(all) => {
                case.catalogs = if *all { full.clone() } else { small.clone() };
                case.member.worker.set_catalogs(Arc::clone(&case.catalogs)).unwrap();
            }
            Op::Erase(user) => {
                let user = format!("u{user}");
                case.erase(&user).await;
                feed(pipeline, embedded);
                let (pipeline, user) = (pipeline.clone(), user.clone());
                tokio::task::spawn_blocking(move || pipeline.erase("user_id", &user).unwrap())
                    .await
                    .unwrap();
            }
        }
    }
    case.catalogs = full;
    case.settle().await;
    // Whoever was left behind comes to its end at last.
    for mut zombie in std::mem::take(&mut case.zombies) {
        while zombie.attempt.is_some() {
            step(&mut zombie).await;
        }
        Case::rebuild(&mut zombie).await;
    }
    case.settle().await;
    (case.store, case.log)
}

/// What was sent so far, into the embedded store.
fn feed(pipeline: &Pipeline, sent: &Mutex<Vec<Sent>>) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for event in sent.lock().unwrap().drain(..) {
                event.fill_pipeline(pipeline, &runtime);
            }
            assert!(pipeline.settle(Duration::from_secs(60)));
        });
    });
}

#[test]
fn aggregates_equal_the_embedded_ones_through_crashes_and_processors_left_behind() {
    let url = support::server().url.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let cases: u32 = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(8);
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let first = prop::collection::vec(any_sent(), 1..8).prop_map(Op::Events);
    let ops = (first, prop::collection::vec(any_op(), 1..60));
    TestRunner::new(config)
        .run(&ops, |(first, mut ops)| {
            ops.insert(0, first);
            let directory = tempfile::tempdir().unwrap();
            let pipeline = support::open(directory.path());
            let sent = Mutex::new(Vec::new());
            let (store, _log) = runtime.block_on(run(&url, &ops, &pipeline, &sent));
            feed(&pipeline, &sent);
            let full = support::full();
            let expected = support::embedded(&pipeline, &full);
            prop_assert_eq!(&runtime.block_on(support::stored(&store, &full)), &expected);
            if !ops.iter().any(|op| matches!(op, Op::Erase(_))) {
                let shuffled = runtime.block_on(another_order(&url, &ops));
                prop_assert_eq!(&runtime.block_on(support::stored(&shuffled, &full)), &expected);
            }
            Ok(())
        })
        .unwrap();
}

/// The same events in another order, in ranges of another size, without any trouble.
async fn another_order(url: &str, ops: &[Op]) -> ClickHouse {
    let store = support::store(url).await;
    let log = InMemoryLog::default();
    let all: Vec<&Sent> = ops
        .iter()
        .filter_map(|op| {
            if let Op::Events(events) = op {
                Some(events)
            } else {
                None
            }
        })
        .flatten()
        .collect();
    for event in all.iter().rev() {
        event.fill_log(&log, PARTITIONS);
    }
    let full = support::catalogs(&support::full());
    let member = Case::join(&store, &log, &full);
    let mut case = Case {
        store,
        log,
        catalogs: full,
        member,
        zombies: Vec::new(),
    };
    case.settle().await;
    case.store
}

/// The loop itself, on its thread, while ClickHouse dies and comes back.
#[test]
fn a_processor_goes_on_when_clickhouse_was_killed() {
    let mut server = support::server();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let store = runtime.block_on(support::store(&server.url));
    let directory = tempfile::tempdir().unwrap();
    let pipeline = support::open(directory.path());
    let log = InMemoryLog::default();
    let mut random = TestRunner::deterministic();
    let full = support::full();
    let current: Arc<RwLock<Arc<Catalogs>>> = Arc::new(RwLock::new(support::catalogs(&support::small())));
    let mut some = || {
        let events = prop::collection::vec(any_sent(), 300)
            .new_tree(&mut random)
            .unwrap()
            .current();
        let sending = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for event in &events {
            event.fill_log(&log, PARTITIONS);
            event.fill_pipeline(&pipeline, &sending);
        }
    };
    some();
    log.append(0, b"no key", b"{}");
    let processor = Processor::new(
        log.join(20),
        store.clone(),
        Arc::clone(&current),
        settings(),
        runtime.handle(),
    )
    .unwrap();
    let metrics = processor.metrics();
    let stop = Arc::new(AtomicBool::new(false));
    let thread = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || processor.run(&stop))
    };
    std::thread::sleep(Duration::from_millis(300));
    server.kill();
    some();
    std::thread::sleep(Duration::from_millis(300));
    *current.write().unwrap() = support::catalogs(&full);
    server.restart();
    wait(&metrics, |g| g.ranges > 0 && g.lag == 0);
    some();
    wait(&metrics, |g| {
        g.lag == 0 && g.rebuild_thousandths == 1_000 && g.rebuild_steps > 0
    });
    stop.store(true, Relaxed);
    thread.join().unwrap().unwrap();
    assert_eq!(
        runtime.block_on(support::stored(&store, &full)),
        support::embedded(&pipeline, &full)
    );
    let gauges = metrics.snapshot();
    assert!(gauges.failures > 0, "{gauges:?}");
    assert!(gauges.histories_evicted > 0, "{gauges:?}");
    let buried = log.buried();
    assert!(
        buried.iter().all(|(_, _, reason)| reason.contains("key")) && !buried.is_empty(),
        "{buried:?}"
    );
    assert!(
        gauges.watermark_ms > NOW - 50_000 && gauges.watermark_ms < NOW + 50_000,
        "{gauges:?}"
    );
}

fn wait(metrics: &Metrics, done: impl Fn(&evenhand_process::Gauges) -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    // Twice in a row: a range may be on its way at the moment of looking.
    let mut seen = 0;
    while seen < 3 {
        seen = if done(&metrics.snapshot()) { seen + 1 } else { 0 };
        assert!(Instant::now() < until, "not settled: {:?}", metrics.snapshot());
        std::thread::sleep(Duration::from_millis(150));
    }
}

#[test]
fn a_log_that_does_not_fit_is_refused_in_words() {
    let url = support::server().url.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = support::store(&url).await;
        let catalog: Catalog = support::small();
        let worker = || Worker::new(store.clone(), support::catalogs(&catalog), settings(), Arc::default()).unwrap();
        let range = |from, to| evenhand_process::Range {
            partition: 0,
            from,
            to,
            records: Vec::new(),
            traces: Vec::new(),
        };
        let mut first = worker();
        let Begun::Attempt(mut attempt) = first.begin(&range(0, 10)).await.unwrap() else {
            panic!("nothing was there");
        };
        first.store_rows(&attempt).await.unwrap();
        first.work_out(&mut attempt).await.unwrap();
        first.write(*attempt).await.unwrap();
        assert!(matches!(worker().begin(&range(0, 10)).await, Ok(Begun::Done)));
        assert!(matches!(worker().begin(&range(3, 7)).await, Ok(Begun::Done)));
        let words = |error: Result<Begun, evenhand_process::ProcessError>| match error {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it does not fit"),
        };
        let gap = words(worker().begin(&range(12, 20)).await);
        assert!(
            gap.contains("below offset 10") && gap.contains("goes on at 12"),
            "{gap}"
        );
        let torn = words(worker().begin(&range(5, 20)).await);
        assert!(torn.contains("inside the range 5 to 20"), "{torn}");
        assert!(matches!(worker().begin(&range(10, 20)).await, Ok(Begun::Attempt(_))));
        // Between the cells and the topic of dead letters a processor may be killed.
        let mut strange = range(10, 20);
        strange.records.push(evenhand_process::Record {
            offset: 12,
            key: b"no key".to_vec(),
            value: b"{}".to_vec(),
        });
        let put_aside = worker().process(&strange).await.unwrap();
        assert!(
            matches!(&put_aside[..], [(0, reason)] if reason.contains("key")),
            "{put_aside:?}"
        );
        assert!(matches!(worker().begin(&strange).await, Ok(Begun::Done)));
        assert_eq!(
            worker().process(&strange).await.unwrap(),
            put_aside,
            "told again where it is done again"
        );
    });
}
