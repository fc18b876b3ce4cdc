//! What is promised of every order of calls: no event is lost uncounted, none is sent again after its answer, no id comes
//! twice, the queue keeps its bounds, and whatever a spool or a clock says, nothing panics.

use std::collections::BTreeSet;

use evenhand_core::digest::sha256_hex;
use evenhand_core::{Context, Value as Attribute};
use evenhand_session::{Action, EventCounts, Options, Session, Telemetry, Track};
use proptest::prelude::*;
use serde_json::{Value, json};

const START: i64 = 1_700_000_000_000;
const MANIFEST: &str = r#"{"schema":1,"environment":"e","audience":"server","generation":1,"version":1,"issued_at_ms":0,"flags":{
  "greeting":{"type":"string","off":"plain","default":"plain","variations":[{"key":"plain","value":"Hello"},{"key":"warm","value":"Hi"}],
  "rules":[{"id":"r","kind":"experiment","experiment":"greetings","phase":1,"unit":"user_id",
    "traffic":{"hash":"murmur3_32","salt":"t","ranges":[[0,4294967296]]},
    "split":{"hash":"murmur3_32","salt":"s","ranges":[[0,2147483648,"plain"],[2147483648,4294967296,"warm"]]}}]}}}"#;

/// What a host, its application, its server and its fate can do.
#[derive(Clone, Debug)]
enum Step {
    Expose(u8),
    /// With so many texts of 4,000 bytes.
    Track(usize),
    Next,
    Pass(i64),
    Answer(Reply),
    Flush,
    Shutdown(i64),
    /// The process ends and the next one begins with its spool; a batch on its way arrived or did not.
    Restart {
        arrived: bool,
    },
    /// This process goes on as a child.
    Fork,
}

#[derive(Clone, Debug)]
enum Reply {
    Taken,
    /// Of the events of these places of the batch.
    Rejected(BTreeSet<usize>),
    Status(u16, Option<&'static str>),
    /// The server took the batch, the answer was lost.
    Lost,
    Unreachable,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reply = prop_oneof![
        4 => Just(Reply::Taken),
        2 => prop::collection::btree_set(0usize..6, 0..4).prop_map(Reply::Rejected),
        4 => (prop::sample::select(vec![304, 400, 401, 413, 422, 429, 500, 503]), prop::sample::select(vec![None, Some("1"), Some("30"), Some("soon")]))
            .prop_map(|(status, after)| Reply::Status(status, after)),
        1 => Just(Reply::Lost),
        1 => Just(Reply::Unreachable),
    ];
    let step = prop_oneof![
        8 => (0u8..12).prop_map(Step::Expose),
        6 => prop_oneof![6 => Just(0usize), 1 => 1usize..8].prop_map(Step::Track),
        8 => Just(Step::Next),
        8 => reply.prop_map(Step::Answer),
        6 => prop_oneof![0i64..3_000, 0i64..200_000, -5_000i64..0].prop_map(Step::Pass),
        2 => Just(Step::Flush),
        1 => (0i64..20_000).prop_map(Step::Shutdown),
        1 => any::<bool>().prop_map(|arrived| Step::Restart { arrived }),
        1 => Just(Step::Fork),
    ];
    prop::collection::vec(step, 0..120)
}

fn options() -> impl Strategy<Value = Options> {
    (
        prop::sample::select(vec![10, 14, 10_000]),
        prop::sample::select(vec![1, 3, 500]),
        prop::sample::select(vec![1_024, 524_288]),
        prop::sample::select(vec![1, 5_000]),
        prop::sample::select(vec![0, 3, 50_000]),
    )
        .prop_map(|(queue, batch, batch_bytes, flush, remembered)| Options {
            queue_max_events: queue,
            queue_max_bytes: 262_144,
            batch_max_events: batch,
            batch_max_bytes: batch_bytes,
            flush_interval_ms: flush,
            dedupe_capacity: remembered,
            ..Options::default()
        })
}

fn event_ids(events: &Value) -> Vec<String> {
    let id = |event: &Value| event["event_id"].as_str().unwrap().to_owned();
    events.as_array().unwrap().iter().map(id).collect()
}

/// The events of a spool, by its page: the first line behind the checksum's.
fn spooled(spool: &[u8]) -> Vec<String> {
    let line = spool.split(|byte| *byte == b'\n').nth(1).unwrap();
    event_ids(&serde_json::from_slice::<Value>(line).unwrap()["events"])
}

fn sum(seen: &Telemetry, of: impl Fn(&EventCounts) -> u64) -> u64 {
    of(&seen.exposures) + of(&seen.events)
}

/// A session in its world, and the book that is kept of every event.
struct World {
    options: Options,
    session: Session,
    now: i64,
    randomness: u64,
    over: bool,
    batch: Option<(u64, Vec<String>)>,
    /// Given up by the session before its report came.
    overdue: Option<(u64, Vec<String>)>,
    /// Held after the last step, oldest first.
    held: Vec<String>,
    before: Telemetry,
    /// Every id that ever was.
    known: BTreeSet<String>,
    /// Ids that are done with: never to be held or sent again.
    ended: BTreeSet<String>,
    /// What the server has seen.
    arrived: BTreeSet<String>,
    /// Ended without the server: dropped, refused, the parent's.
    excused: BTreeSet<String>,
}

/// Bytes that never come twice, as the system's randomness.
fn entropy(randomness: &mut u64) -> [u8; 16] {
    *randomness += 1;
    let digest = sha256_hex(&randomness.to_be_bytes());
    u128::from_str_radix(&digest[..32], 16).unwrap().to_be_bytes()
}

impl World {
    fn new(options: Options) -> Self {
        let mut randomness = 0;
        let mut session = Session::new(options.clone(), entropy(&mut randomness), START);
        session.update_manifest(MANIFEST.as_bytes(), START).unwrap();
        let before = session.telemetry(START);
        Self {
            options,
            session,
            now: START,
            randomness,
            over: false,
            batch: None,
            overdue: None,
            held: Vec::new(),
            before,
            known: BTreeSet::new(),
            ended: BTreeSet::new(),
            arrived: BTreeSet::new(),
            excused: BTreeSet::new(),
        }
    }

    /// A step, and how many of the events held must have ended by it as answered (sent, rejected or refused).
    fn take(&mut self, step: &Step) {
        let mut answered = BTreeSet::new();
        let mut forked = false;
        match step {
            Step::Expose(user) => self.expose(*user),
            Step::Track(texts) => {
                let properties = json!({"pad": vec!["x".repeat(4_000); *texts]}).to_string();
                let units = [("user_id", Attribute::Str("u"))];
                let track = Track {
                    properties: Some(&properties),
                    ..Track::new("purchase", &units)
                };
                self.session.track(&track, self.now).unwrap();
            }
            Step::Next => {
                self.next();
            }
            Step::Pass(time) => self.now += time,
            Step::Answer(reply) => answered = self.answer(reply),
            Step::Flush => {
                self.session.flush(self.now);
            }
            Step::Shutdown(time) => self.session.shutdown(self.now, self.now + time),
            Step::Restart { arrived } => return self.restart(*arrived),
            Step::Fork => {
                let entropy = entropy(&mut self.randomness);
                self.session.reseed(entropy, self.now);
                (self.batch, self.overdue, self.over) = (None, None, false);
                forked = true;
            }
        }
        self.check(&answered, forked);
    }

    fn expose(&mut self, user: u8) {
        let snapshot = self.session.snapshot().unwrap();
        let context = Context::new().with("user_id", format!("user-{user}"));
        let flag = snapshot.flag("greeting").unwrap();
        let packed = snapshot.evaluate_packed(flag, &context, self.now);
        self.session.expose(&snapshot, flag, packed, &context, self.now);
    }

    /// Until when the host sleeps, if it does.
    fn next(&mut self) -> Option<i64> {
        let action = self.session.next(self.now);
        if self.session.telemetry(self.now).batches_failed > self.before.batches_failed {
            self.overdue = self.batch.take();
        }
        match action {
            Action::FetchManifest { ticket, .. } => {
                self.session.manifest_response(ticket, 304, None, None, b"", self.now);
            }
            Action::SendEvents {
                batch_id, body, events, ..
            } => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                let ids = event_ids(&body["events"]);
                assert_eq!(ids.len(), events);
                assert!(events >= 1 && events as u64 <= self.options.batch_max_events);
                let sizes: usize = body["events"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|e| e.to_string().len() + 1)
                    .sum();
                assert!(events == 1 || sizes as u64 <= self.options.batch_max_bytes);
                assert_eq!(ids, self.held[..events], "a batch takes the oldest");
                self.batch = Some((batch_id, ids));
            }
            Action::Wait { until_ms } => {
                assert!(until_ms > self.now && until_ms <= self.now + 60_000);
                return Some(until_ms);
            }
            Action::Done => self.over = true,
            unasked => panic!("{unasked:?}"),
        }
        None
    }

    fn answer(&mut self, reply: &Reply) -> BTreeSet<String> {
        let Some((id, ids)) = self.batch.take() else {
            if let Some((id, ids)) = self.overdue.take() {
                // Too late: it changes nothing, and the server knows the events by their ids when they come again.
                self.arrive(&ids);
                self.session.batch_response(id, 202, None, b"{}", self.now);
            }
            return BTreeSet::new();
        };
        let (session, now) = (&mut self.session, self.now);
        let arrives = match reply {
            Reply::Taken => {
                session.batch_response(id, 202, None, b"{\"rejected\":[]}", now);
                true
            }
            Reply::Rejected(places) => {
                let rejected: Vec<Value> = places
                    .iter()
                    .map(|at| json!({"index": at, "code": "too_old"}))
                    .collect();
                let body = json!({"rejected": rejected}).to_string();
                session.batch_response(id, 200, None, body.as_bytes(), now);
                true
            }
            Reply::Status(status, after) => {
                session.batch_response(id, *status, *after, b"", now);
                if matches!(status, 400 | 413 | 422) && ids.len() == 1 {
                    self.excused.extend(ids.clone());
                    return ids.into_iter().collect();
                }
                return BTreeSet::new();
            }
            Reply::Lost => {
                self.arrive(&ids);
                self.session.batch_failed(id, "no route", now);
                return BTreeSet::new();
            }
            Reply::Unreachable => {
                session.batch_failed(id, "no route", now);
                false
            }
        };
        if !arrives {
            return BTreeSet::new();
        }
        self.arrive(&ids);
        ids.into_iter().collect()
    }

    fn arrive(&mut self, ids: &[String]) {
        self.arrived.extend(ids.iter().cloned());
    }

    fn restart(&mut self, arrived: bool) {
        let spool = self.session.spool();
        assert_eq!(spooled(&spool), self.held, "a spool is a picture of the queue");
        if let Some((_, ids)) = self.batch.take().filter(|_| arrived) {
            self.arrive(&ids);
        }
        (self.overdue, self.over) = (None, false);
        self.session = Session::new(self.options.clone(), entropy(&mut self.randomness), self.now);
        let restored = self.session.restore(&spool, entropy(&mut self.randomness), self.now);
        assert!(restored.manifest);
        assert_eq!(restored.events, self.held.len(), "what was held fits again");
        self.before = Telemetry::default();
        let seen = self.session.telemetry(self.now);
        assert_eq!(sum(&seen, |counts| counts.restored), self.held.len() as u64);
        self.check(&BTreeSet::new(), false);
    }

    /// The queue beside what it was: who left it, why, and who came.
    fn check(&mut self, answered: &BTreeSet<String>, forked: bool) {
        let held = spooled(&self.session.spool());
        let seen = self.session.telemetry(self.now);
        let grown = |of: fn(&EventCounts) -> u64| sum(&seen, of) - sum(&self.before, of);
        assert_eq!(seen.held_events, held.len() as u64);
        assert!(held.len() as u64 <= self.options.queue_max_events);
        assert!(seen.held_bytes <= self.options.queue_max_bytes);
        assert!(seen.dedupe_entries <= self.options.dedupe_capacity);

        let now: BTreeSet<&String> = held.iter().collect();
        assert_eq!(now.len(), held.len(), "an event is held once");
        let left: Vec<String> = self.held.iter().filter(|id| !now.contains(id)).cloned().collect();
        let stayed: Vec<&String> = self.held.iter().filter(|id| now.contains(id)).collect();
        assert_eq!(
            held.iter().take(stayed.len()).collect::<Vec<_>>(),
            stayed,
            "who stays keeps the place"
        );

        let news = &held[stayed.len()..];
        let mut came: Vec<String> = news.iter().filter(|id| !self.known.contains(*id)).cloned().collect();
        assert_eq!(came.len(), news.len(), "no id comes twice");
        // An event that is dropped at once was never seen: it is known by its count alone.
        let queued = grown(|counts| counts.queued);
        assert!(came.len() as u64 <= queued);
        let dropped_at_once = queued - came.len() as u64;
        self.known.extend(came.drain(..));

        let ended = grown(|counts| counts.sent) + grown(|counts| counts.rejected) + grown(|counts| counts.refused);
        assert_eq!(ended, answered.len() as u64, "each answered event is counted once");
        if forked {
            assert!(held.is_empty());
            assert_eq!(grown(|counts| counts.disowned), left.len() as u64);
            // They are the parent's; this world goes on as the child.
            self.excused.extend(left.clone());
            self.ended.extend(left);
        } else {
            let dropped: Vec<String> = left.iter().filter(|id| !answered.contains(*id)).cloned().collect();
            assert_eq!(left.len() - dropped.len(), answered.len(), "an answered event leaves");
            assert_eq!(
                grown(|counts| counts.dropped),
                dropped.len() as u64 + dropped_at_once,
                "every event that is lost is counted"
            );
            if let Some((_, under_way)) = &self.batch {
                assert!(
                    dropped.iter().all(|id| !under_way.contains(id)),
                    "what is under way stays"
                );
            }
            self.excused.extend(dropped);
            self.ended.extend(left);
        }
        assert!(
            held.iter().all(|id| !self.ended.contains(id)),
            "who is done with never comes back"
        );
        self.held = held;
        self.before = seen;
    }

    /// A kind server and a long night: nothing may be left.
    fn settle(mut self) {
        for _ in 0..100_000 {
            self.take(&Step::Answer(Reply::Taken));
            if self.held.is_empty() {
                break;
            }
            match self.next() {
                Some(until_ms) => self.now = until_ms,
                None if self.over => self.take(&Step::Restart { arrived: false }),
                None => {}
            }
        }
        assert!(self.held.is_empty(), "nothing waits for ever");
        let lost = |id: &&String| !self.arrived.contains(*id) && !self.excused.contains(*id);
        assert_eq!(
            self.known.iter().find(lost),
            None,
            "the server knows of every event but those counted"
        );
    }
}

/// As an old or foreign program, a disk or an enemy might leave it; the checksum made right again where that is asked for.
fn damaged(spool: &[u8], cuts: &[(usize, u8)], end: usize, sealed: bool) -> Vec<u8> {
    let from = if sealed { 73 } else { 0 };
    let mut bytes = spool.to_vec();
    for (at, byte) in cuts {
        let place = from + at % (bytes.len() - from);
        bytes[place] = *byte;
    }
    bytes.truncate(bytes.len() - (end % (bytes.len() - from)));
    if sealed {
        let checksum = sha256_hex(&bytes[73..]);
        bytes[8..72].copy_from_slice(checksum.as_bytes());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_event_ends_once_and_is_counted(options in options(), steps in steps()) {
        let mut world = World::new(options);
        for step in &steps {
            world.take(step);
        }
        world.settle();
    }

    /// Two equal sessions stand for a process and its copy.
    #[test]
    fn parent_and_child_share_no_id(options in options(), steps in steps(), child in any::<[u8; 16]>()) {
        prop_assume!(u128::from_be_bytes(child) >> 64 != 0);
        let (mut parent, mut copy) = (World::new(options.clone()), World::new(options));
        for step in &steps {
            parent.take(step);
            copy.take(step);
        }
        prop_assert_eq!(parent.session.spool(), copy.session.spool());
        copy.session.reseed(child, copy.now);
        let mut ids = BTreeSet::new();
        let units = [("user_id", Attribute::Str("u"))];
        for world in [&mut parent, &mut copy] {
            for _ in 0..50 {
                let id = world.session.track(&Track::new("purchase", &units), world.now).unwrap();
                prop_assert!(ids.insert(id));
                prop_assert!(!world.known.contains(&id.to_string()));
            }
        }
    }

    #[test]
    fn a_damaged_spool_is_survived(
        users in prop::collection::vec(0u8..12, 0..8),
        cuts in prop::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        end in prop_oneof![3 => Just(0usize), 1 => any::<usize>()],
        sealed in any::<bool>(),
    ) {
        let mut world = World::new(Options::default());
        for user in users {
            world.take(&Step::Expose(user));
        }
        let spool = world.session.spool();
        let bytes = damaged(&spool, &cuts, end, sealed);
        let mut session = Session::new(Options::default(), [1; 16], START);
        let restored = session.restore(&bytes, [2; 16], START);
        if bytes == spool {
            prop_assert_eq!((restored.manifest, restored.events), (true, world.held.len()));
        } else if !sealed {
            prop_assert_eq!((restored.manifest, restored.events), (false, 0));
        }
        prop_assert_eq!(session.telemetry(START).held_events, restored.events as u64);
        // What was taken can be sent, and stands in the next spool.
        let next = session.spool();
        prop_assert_eq!(spooled(&next).len(), restored.events);
        let mut again = Session::new(Options::default(), [3; 16], START);
        let second = again.restore(&next, [4; 16], START);
        prop_assert_eq!((second.manifest, second.events), (restored.manifest, restored.events));
    }

    /// Clocks that jump to either end of time, numbers nobody sends, reports nobody asked for.
    #[test]
    fn no_clock_and_no_report_panics(steps in prop::collection::vec((any::<i64>(), 0u64..40, any::<u16>(), any::<u64>(), 0u8..12), 0..60)) {
        let mut session = Session::new(Options { stream: true, ..Options::default() }, [9; 16], START);
        let units = [("user_id", Attribute::Str("u"))];
        for (now, ticket, status, number, what) in steps {
            let after = number.to_string();
            match what {
                0 => session.manifest_response(ticket, status, None, Some(&after), MANIFEST.as_bytes(), now),
                1 => session.batch_response(ticket, status, Some(&after), b"{}", now),
                2 => session.announced(number, number, now),
                3 => session.stream_response(ticket, status, Some(&after), now),
                4 => session.stream_bytes(ticket, &number.to_be_bytes(), now),
                5 => session.stream_closed(ticket, now),
                6 => { let _ = session.track(&Track { timestamp_ms: Some(number as i64), ..Track::new("x", &units) }, now); }
                7 => session.shutdown(now, number as i64),
                8 => session.reseed(number.to_be_bytes().repeat(2).try_into().unwrap(), now),
                9 => { session.restore(&session.spool(), [5; 16], now); }
                _ => { session.next(now); }
            }
            let seen = session.telemetry(now);
            let ends = sum(&seen, |c| c.sent + c.rejected + c.refused + c.dropped + c.disowned);
            prop_assert_eq!(sum(&seen, |c| c.queued + c.restored), ends + seen.held_events);
        }
    }
}
