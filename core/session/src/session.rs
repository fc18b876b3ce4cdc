//! The session: its parts, and what it asks for next.

use std::sync::Arc;

use evenhand_core::Snapshot;

use crate::action::{Action, STREAM_IDLE_TIMEOUT_MS};
use crate::clock::{Clock, Moment, ms};
use crate::dedupe::Dedupe;
use crate::delivery::Delivery;
use crate::diagnostics::{Code, Diagnostic, Diagnostics};
use crate::event_ids::EventIds;
use crate::fetching::Fetching;
use crate::jitter::Jitter;
use crate::judging::Prepared;
use crate::lists::Lists;
use crate::options::Options;
use crate::queue::{Limits, Queue};
use crate::stream::Stream;
use crate::telemetry::Telemetry;

/// No wait is longer: some hosts' timers stop while a device sleeps, and some overflow.
const LONGEST_WAIT_MS: i64 = 60_000;

/// Whether the session still fetches and sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Until this moment events are sent, and nothing else is done.
    Draining(Moment),
    Over,
}

/// The SDK as a state machine: it says what to do ([`Session::next`]), the host does it and reports. See the crate's page for the
/// loop.
///
/// No call blocks, fails a decision, or keeps more than the limits of its [`Options`] allow.
#[derive(Debug)]
pub struct Session {
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    pub(crate) jitter: Jitter,
    pub(crate) ids: EventIds,
    pub(crate) last_ticket: u64,
    pub(crate) last_seq: u64,
    pub(crate) fetching: Fetching,
    pub(crate) lists: Lists,
    pub(crate) prepared: Option<Prepared>,
    pub(crate) stream: Stream,
    pub(crate) dedupe: Dedupe,
    pub(crate) queue: Queue,
    pub(crate) delivery: Delivery,
    pub(crate) phase: Phase,
    pub(crate) counts: Telemetry,
    pub(crate) diagnostics: Diagnostics,
    /// Until when the last `next` told the host to wait.
    waiting_until: Option<Moment>,
}

impl Session {
    /// A session without a manifest: the first fetch is due at once. `entropy` are 16 fresh bytes of the system's randomness.
    pub fn new(mut options: Options, entropy: [u8; 16], now_ms: i64) -> Self {
        let clamped = options.clamp();
        let clock = Clock::new(now_ms);
        let now = clock.now();
        let mut session = Self {
            jitter: Jitter::new(&entropy),
            ids: EventIds::new(&entropy),
            last_ticket: 0,
            last_seq: 0,
            fetching: Fetching::new(options.fetch, now),
            lists: Lists::default(),
            prepared: None,
            stream: Stream::new(options.stream, now),
            dedupe: Dedupe::new(&entropy, options.dedupe_capacity),
            queue: Queue::default(),
            delivery: Delivery::default(),
            phase: Phase::Running,
            counts: Telemetry::default(),
            diagnostics: Diagnostics::default(),
            waiting_until: None,
            options,
            clock,
        };
        for error in clamped {
            session.say(Code::OptionClamped, error.to_string());
        }
        session
    }

    /// What the host is to do now. Actions are asked for one after the other: call it again at once after anything but
    /// `Wait`; the host may carry out several at a time, or one by one.
    pub fn next(&mut self, now_ms: i64) -> Action {
        let now = self.tick(now_ms);
        self.waiting_until = None;
        self.give_up_overdue(now);
        if let Some(done) = self.finish_draining(now) {
            return done;
        }
        let running = self.phase == Phase::Running;
        if running {
            self.watch_staleness(now);
            if self.fetching.is_due(now) {
                let ticket = self.ticket();
                self.counts.manifest_fetches = self.counts.manifest_fetches.saturating_add(1);
                return self.fetching.begin(ticket, now);
            }
            if let Some(sha256) = self.lists.due(now) {
                let ticket = self.ticket();
                self.lists.begin(ticket, &sha256, now);
                return Action::FetchList { ticket, sha256 };
            }
        }
        if self.events_due().is_some_and(|due| due <= now) {
            return self.begin_batch(now);
        }
        if running && self.stream.is_due(now) {
            let ticket = self.ticket();
            self.stream.begin(ticket, now);
            return Action::OpenStream {
                ticket,
                last_event_id: self
                    .fetching
                    .version()
                    .map(|(generation, version)| format!("{generation}.{version}")),
                idle_timeout_ms: STREAM_IDLE_TIMEOUT_MS,
            };
        }
        let until = self.deadline(now);
        self.waiting_until = Some(until);
        Action::Wait {
            until_ms: self.clock.to_host(until),
        }
    }

    /// Whether something has come up since the last `Wait` that is due before its end: the host's loop should call `next` now.
    /// Cheap: meant to be asked after `expose` and `track`.
    pub fn wakes(&self) -> bool {
        self.waiting_until
            .is_some_and(|until| self.deadline(self.clock.now()) < until)
    }

    /// The manifest in use, compiled. Evaluation needs nothing else: keep the `Arc`, and take the new one when
    /// [`Session::snapshots`] has changed.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.fetching.snapshot()
    }

    /// How many snapshots there have been: a number to compare, for noticing a new one cheaply.
    pub fn snapshots(&self) -> u64 {
        self.counts.snapshots
    }

    /// The unit types that the experiments of the manifest in use randomise, and `user_id`; in ascending byte order. Without
    /// a manifest `user_id` alone. What `track` should be given of a context.
    pub fn unit_types(&self) -> &[String] {
        self.fetching.unit_types()
    }

    /// Adds evaluations that the host has counted.
    pub fn count_evaluations(&mut self, evaluations: u64) {
        self.counts.evaluations = self.counts.evaluations.saturating_add(evaluations);
    }

    /// The session in numbers.
    pub fn telemetry(&mut self, now_ms: i64) -> Telemetry {
        let now = self.tick(now_ms);
        let mut telemetry = self.counts.clone();
        telemetry.held_events = self.queue.len() as u64;
        telemetry.held_bytes = self.queue.bytes() as u64;
        telemetry.dedupe_entries = self.dedupe.len() as u64;
        telemetry.manifest = self.fetching.version();
        telemetry.manifest_issued_at_ms = self.fetching.issued_at_ms();
        telemetry.manifest_age_ms = self.fetching.age(now);
        telemetry.stale = self.fetching.stale;
        telemetry.streaming = self.stream.is_open();
        (telemetry.lists_held, telemetry.lists_missing) = self.lists.counts();
        telemetry.diagnostics_lost = self.diagnostics.lost;
        telemetry.last_error = self.diagnostics.last_error.clone();
        telemetry
    }

    /// Takes what the application's logger is to be told, oldest first.
    pub fn take_diagnostics(&mut self) -> Vec<Diagnostic> {
        self.diagnostics.take()
    }

    /// The options, as they hold.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// To be called in a child process after a fork, before anything else. Events that the parent queued are the parent's to
    /// send: the child forgets its copies (counted as disowned). Actions under way are the parent's too; the child keeps
    /// manifest, lists and the memory of exposures.
    pub fn reseed(&mut self, entropy: [u8; 16], now_ms: i64) {
        let now = self.tick(now_ms);
        self.ids = EventIds::new(&entropy);
        self.jitter = Jitter::new(&entropy);
        for event in self.queue.clear() {
            let counts = self.counts_of(event.kind);
            counts.disowned = counts.disowned.saturating_add(1);
        }
        self.delivery = Delivery::default();
        self.lists.restart(now);
        self.stream = Stream::new(self.options.stream, now);
        self.schedule_after_fork(now);
        self.waiting_until = None;
        if self.phase != Phase::Running {
            self.phase = Phase::Running;
        }
    }

    /// Sends what is queued now as soon as it may be, without waiting for more; a wait that the server asked for is kept.
    /// The mark returned can be asked for with [`Session::is_flushed`].
    pub fn flush(&mut self, now_ms: i64) -> u64 {
        self.tick(now_ms);
        self.delivery.flush_through = self.last_seq;
        self.delivery.hurry();
        self.last_seq
    }

    /// Whether no event queued before a flush is still held.
    pub fn is_flushed(&self, mark: u64) -> bool {
        self.queue.iter().all(|event| event.seq > mark)
    }

    /// Ends the session: fetches end, what is queued is sent, until `deadline_ms` of the host's clock at the latest; then `next`
    /// says `Done`. Events that are still held then stand in the spool.
    pub fn shutdown(&mut self, now_ms: i64, deadline_ms: i64) {
        self.tick(now_ms);
        if self.phase != Phase::Over {
            self.phase = Phase::Draining(self.clock.moment_at(deadline_ms));
            self.delivery.flush_through = u64::MAX;
            self.delivery.hurry();
        }
    }

    pub(crate) fn tick(&mut self, now_ms: i64) -> Moment {
        self.clock.tick(now_ms)
    }

    pub(crate) fn ticket(&mut self) -> u64 {
        self.last_ticket = self.last_ticket.saturating_add(1);
        self.last_ticket
    }

    pub(crate) fn say(&mut self, code: Code, message: String) {
        self.diagnostics.add(self.clock.host_ms(), code, message);
    }

    pub(crate) fn unknown_report(&mut self, ticket: u64) {
        self.say(
            Code::ReportUnknown,
            format!("a report came for the action {ticket}, which is not under way: it came twice, or later than `report_timeout_ms`; it is ignored"),
        );
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            events: usize::try_from(self.options.queue_max_events).unwrap_or(usize::MAX),
            bytes: usize::try_from(self.options.queue_max_bytes).unwrap_or(usize::MAX),
        }
    }

    /// Draining is over when nothing is held, when time is up, or when the next try would come too late.
    fn finish_draining(&mut self, now: Moment) -> Option<Action> {
        if let Phase::Draining(deadline) = self.phase {
            let nothing_held = self.queue.len() == 0;
            let too_late = !self.delivery.is_under_way() && self.events_due().is_some_and(|due| due > deadline);
            if nothing_held || now >= deadline || too_late {
                self.phase = Phase::Over;
            }
        }
        (self.phase == Phase::Over).then_some(Action::Done)
    }

    /// Actions that were never reported on count as failed, or one lost report would end all fetching.
    fn give_up_overdue(&mut self, now: Moment) {
        let patience = ms(self.options.report_timeout_ms);
        let limit = now.saturating_sub(patience);
        let overdue = [
            self.fetching.under_way(),
            self.lists.under_way(),
            self.stream.opening(),
            self.delivery.under_way(),
        ];
        for (ticket, since) in overdue.into_iter().flatten() {
            if since <= limit {
                self.say(
                    Code::ReportOverdue,
                    format!("no report on the action {ticket} within {patience} ms: it counts as failed; the host must report on every action, also when it fails"),
                );
                self.fail(ticket, None, "no report");
            }
        }
    }

    /// The next moment at which something is due, above `now` if `next` has just asked for all that is.
    fn deadline(&self, now: Moment) -> Moment {
        let patience = ms(self.options.report_timeout_ms);
        let lapse = |under_way: Option<(u64, Moment)>| under_way.map(|(_, since)| since.saturating_add(patience));
        let mut earliest = now.saturating_add(LONGEST_WAIT_MS);
        let mut consider = |moment: Option<Moment>| {
            if let Some(moment) = moment {
                earliest = earliest.min(moment);
            }
        };
        consider(self.events_due());
        consider(lapse(self.delivery.under_way()));
        match self.phase {
            Phase::Running => {
                consider(self.fetching.due());
                consider(lapse(self.fetching.under_way()));
                consider(self.lists.next_due());
                consider(lapse(self.lists.under_way()));
                consider(self.stream.due());
                consider(lapse(self.stream.opening()));
                consider(self.stale_at());
            }
            Phase::Draining(deadline) => consider(Some(deadline)),
            Phase::Over => {}
        }
        earliest
    }
}
