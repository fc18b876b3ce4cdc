//! The session, for a host loop in TypeScript (`node/ts/loop.ts`): it says what to do, JavaScript does it and reports.

use std::cell::RefCell;
use std::collections::HashMap;

use evenhand_core::unit::{DecimalBuffer, unit_id};
use evenhand_core::{Packed, Slots, Snapshot, Value};
use evenhand_session::{Action, Options, Session, Track, TrackValue};
use napi::bindgen_prelude::{Result, Uint8Array};
use napi_derive::napi;

use crate::direct::Kept;
use crate::engine::{EngineSettings, Refusal, audience_of, key_set};
use crate::snapshot::{BoundContext, NativeSnapshot, StickyAssignment, evaluate, number};
use crate::telemetry;

#[napi(object)]
pub struct SessionSettings {
    pub engine: EngineSettings,
    pub sdk: String,
    pub fetch: bool,
    pub stream: bool,
    /// The numbers among the session's options, by their names there.
    pub numbers: HashMap<String, f64>,
}

/// What the host is to do.
#[napi(object)]
pub struct NextAction {
    #[napi(ts_type = "'wait' | 'manifest' | 'list' | 'events' | 'stream' | 'done'")]
    pub kind: String,
    pub ticket: f64,
    pub until_ms: Option<f64>,
    pub etag: Option<String>,
    pub sha256: Option<String>,
    pub last_event_id: Option<String>,
    pub idle_timeout_ms: Option<f64>,
    pub body: Option<Uint8Array>,
    pub content_type: Option<String>,
}

impl NextAction {
    fn of(kind: &str, ticket: u64) -> Self {
        Self {
            kind: kind.to_owned(),
            ticket: ticket as f64,
            until_ms: None,
            etag: None,
            sha256: None,
            last_event_id: None,
            idle_timeout_ms: None,
            body: None,
            content_type: None,
        }
    }
}

/// A unit of a tracked event: exactly one of the two, or neither for a value that is no unit id.
#[napi(object)]
pub struct TrackedUnit {
    pub name: String,
    pub text: Option<String>,
    pub number: Option<f64>,
}

/// An event's own number: at most one of the two.
#[napi(object)]
pub struct TrackedEvent {
    pub name: String,
    pub units: Vec<TrackedUnit>,
    pub decimal: Option<String>,
    pub number: Option<f64>,
    pub properties: Option<String>,
    pub timestamp_ms: Option<f64>,
}

#[napi(object)]
pub struct Tracked {
    pub event_id: Option<String>,
    pub refusal: Option<Refusal>,
}

#[napi(object)]
pub struct DiagnosticRow {
    pub at_ms: f64,
    #[napi(ts_type = "'info' | 'warn' | 'error'")]
    pub level: String,
    pub code: String,
    pub message: String,
    pub times: u32,
}

/// The state machine behind `Client`.
#[napi]
pub struct NativeSession {
    session: Kept<RefCell<Session>>,
}

fn entropy_of(bytes: &[u8]) -> Result<[u8; 16]> {
    <[u8; 16]>::try_from(bytes).map_err(|_| napi::Error::from_reason("entropy is 16 bytes of the system's randomness"))
}

/// Evaluates a flag and queues its exposures. See `told`.
pub fn decide(session: &mut Session, snapshot: &Snapshot, flag: u32, slots: &Slots, now_ms: f64) -> f64 {
    let packed = evaluate(snapshot, flag, slots, now_ms);
    told(packed, expose(session, snapshot, flag, packed, slots, now_ms))
}

fn expose(session: &mut Session, snapshot: &Snapshot, flag: u32, packed: Packed, slots: &Slots, now_ms: f64) -> u8 {
    let Some(flag) = snapshot.flag_at(flag as usize) else {
        return 0;
    };
    session.expose(snapshot, flag, packed, slots, now_ms as i64).queued
}

/// A decision whose exposure was queued is told as a number below zero: one crossing, not two.
fn told(packed: Packed, queued: u8) -> f64 {
    if queued == 0 {
        number(packed)
    } else {
        -1.0 - number(packed)
    }
}

#[napi]
impl NativeSession {
    #[napi(constructor, catch_unwind)]
    pub fn new(settings: SessionSettings, entropy: Uint8Array, now_ms: f64) -> Result<Self> {
        let engine = settings.engine;
        let mut options = Options {
            keys: (!engine.keys.is_empty()).then(|| key_set(engine.keys)).transpose()?,
            environment: engine.environment,
            audience: audience_of(engine.audience.as_deref())?,
            sdk: Some(settings.sdk),
            fetch: settings.fetch,
            stream: settings.stream,
            ..Options::default()
        };
        for (name, value) in settings.numbers {
            options
                .set_number(&name, value as u64)
                .map_err(|error| napi::Error::from_reason(error.to_string()))?;
        }
        Ok(Self {
            session: Kept::new(RefCell::new(Session::new(
                options,
                entropy_of(&entropy)?,
                now_ms as i64,
            ))),
        })
    }

    /// What `direct` calls it.
    #[napi(getter, catch_unwind)]
    pub fn place(&self) -> u32 {
        self.session.place()
    }

    #[napi(catch_unwind)]
    pub fn next(&mut self, now_ms: f64) -> NextAction {
        match self.session.borrow_mut().next(now_ms as i64) {
            Action::Wait { until_ms } => NextAction {
                until_ms: Some(until_ms as f64),
                ..NextAction::of("wait", 0)
            },
            Action::FetchManifest { ticket, etag } => NextAction {
                etag,
                ..NextAction::of("manifest", ticket)
            },
            Action::FetchList { ticket, sha256 } => NextAction {
                sha256: Some(sha256),
                ..NextAction::of("list", ticket)
            },
            Action::OpenStream {
                ticket,
                last_event_id,
                idle_timeout_ms,
            } => NextAction {
                last_event_id,
                idle_timeout_ms: Some(idle_timeout_ms as f64),
                ..NextAction::of("stream", ticket)
            },
            Action::SendEvents {
                batch_id,
                body,
                content_type,
                events: _,
            } => NextAction {
                body: Some(body.into()),
                content_type: Some(content_type.to_owned()),
                ..NextAction::of("events", batch_id)
            },
            Action::Done => NextAction::of("done", 0),
        }
    }

    #[napi(catch_unwind)]
    pub fn wakes(&self) -> bool {
        self.session.borrow_mut().wakes()
    }

    /// Counts snapshots: compare it, and ask for the snapshot when it has changed.
    #[napi(catch_unwind)]
    pub fn snapshots(&self) -> f64 {
        self.session.borrow_mut().snapshots() as f64
    }

    #[napi(catch_unwind)]
    pub fn snapshot(&self) -> Option<NativeSnapshot> {
        self.session.borrow_mut().snapshot().map(NativeSnapshot::of)
    }

    #[napi(catch_unwind)]
    pub fn unit_types(&self) -> Vec<String> {
        self.session.borrow_mut().unit_types().to_vec()
    }

    /// Queues the exposures of a decision made before; how many were.
    #[napi(catch_unwind)]
    pub fn expose(&mut self, context: &BoundContext, flag: u32, packed: f64, now_ms: f64) -> u32 {
        let Some((snapshot, slots)) = context.parts() else {
            return 0;
        };
        let Some(packed) = Packed::from_number(packed as u64) else {
            return 0;
        };
        u32::from(expose(
            &mut self.session.borrow_mut(),
            &snapshot,
            flag,
            packed,
            slots,
            now_ms,
        ))
    }

    /// What a sticky store is to keep after a decision.
    #[napi(catch_unwind)]
    pub fn sticky_record(&self, context: &BoundContext, flag: u32, packed: f64) -> Option<StickyAssignment> {
        let (snapshot, slots) = context.parts()?;
        let record = snapshot.sticky_record(
            snapshot.flag_at(flag as usize)?,
            Packed::from_number(packed as u64)?,
            slots,
        )?;
        Some(StickyAssignment {
            experiment: record.experiment,
            phase: record.phase,
            unit: record.unit,
            variation: record.variation,
        })
    }

    /// The text of a number as unit id; null when it is none.
    #[napi(catch_unwind)]
    pub fn unit_text(&self, number: f64) -> Option<String> {
        let mut buffer = DecimalBuffer::new();
        unit_id(Value::Num(number), &mut buffer).map(str::to_owned)
    }

    #[napi(catch_unwind)]
    pub fn track(&mut self, event: TrackedEvent, now_ms: f64) -> Tracked {
        let units: Vec<(&str, Value<'_>)> = event
            .units
            .iter()
            .map(|unit| {
                let value = match (&unit.text, unit.number) {
                    (Some(text), _) => Value::Str(text),
                    (None, Some(number)) => Value::Num(number),
                    (None, None) => Value::Unusable,
                };
                (unit.name.as_str(), value)
            })
            .collect();
        let track = Track {
            name: &event.name,
            units: &units,
            value: match (&event.decimal, event.number) {
                (Some(text), _) => Some(TrackValue::Decimal(text)),
                (None, number) => number.map(TrackValue::Number),
            },
            properties: event.properties.as_deref(),
            timestamp_ms: event.timestamp_ms.map(|at| at as i64),
        };
        match self.session.borrow_mut().track(&track, now_ms as i64) {
            Ok(id) => Tracked {
                event_id: Some(id.to_string()),
                refusal: None,
            },
            Err(error) => Tracked {
                event_id: None,
                refusal: Some(Refusal {
                    code: error.code.as_str().to_owned(),
                    message: error.to_string(),
                }),
            },
        }
    }

    /// Why a manifest was refused; null when it was taken.
    #[napi(catch_unwind)]
    pub fn update_manifest(&mut self, bytes: Uint8Array, now_ms: f64) -> Option<Refusal> {
        let refused = self.session.borrow_mut().update_manifest(&bytes, now_ms as i64).err()?;
        Some(Refusal {
            code: refused.code().to_owned(),
            message: refused.to_string(),
        })
    }

    #[napi(catch_unwind)]
    pub fn provide_list(&mut self, bytes: Uint8Array, now_ms: f64) -> bool {
        self.session.borrow_mut().provide_list(&bytes, now_ms as i64)
    }

    #[napi(catch_unwind)]
    pub fn manifest_response(
        &mut self,
        ticket: f64,
        status: u32,
        etag: Option<String>,
        retry_after: Option<String>,
        body: Uint8Array,
        now_ms: f64,
    ) {
        self.session.borrow_mut().manifest_response(
            ticket as u64,
            status as u16,
            etag.as_deref(),
            retry_after.as_deref(),
            &body,
            now_ms as i64,
        );
    }

    #[napi(catch_unwind)]
    pub fn list_response(
        &mut self,
        ticket: f64,
        status: u32,
        retry_after: Option<String>,
        body: Uint8Array,
        now_ms: f64,
    ) {
        self.session.borrow_mut().list_response(
            ticket as u64,
            status as u16,
            retry_after.as_deref(),
            &body,
            now_ms as i64,
        );
    }

    #[napi(catch_unwind)]
    pub fn fetch_failed(&mut self, ticket: f64, message: String, now_ms: f64) {
        self.session
            .borrow_mut()
            .fetch_failed(ticket as u64, &message, now_ms as i64);
    }

    #[napi(catch_unwind)]
    pub fn stream_response(&mut self, ticket: f64, status: u32, retry_after: Option<String>, now_ms: f64) {
        self.session
            .borrow_mut()
            .stream_response(ticket as u64, status as u16, retry_after.as_deref(), now_ms as i64);
    }

    #[napi(catch_unwind)]
    pub fn stream_bytes(&mut self, ticket: f64, bytes: Uint8Array, now_ms: f64) {
        self.session
            .borrow_mut()
            .stream_bytes(ticket as u64, &bytes, now_ms as i64);
    }

    #[napi(catch_unwind)]
    pub fn stream_closed(&mut self, ticket: f64, now_ms: f64) {
        self.session.borrow_mut().stream_closed(ticket as u64, now_ms as i64);
    }

    #[napi(catch_unwind)]
    pub fn batch_response(
        &mut self,
        ticket: f64,
        status: u32,
        retry_after: Option<String>,
        body: Uint8Array,
        now_ms: f64,
    ) {
        self.session.borrow_mut().batch_response(
            ticket as u64,
            status as u16,
            retry_after.as_deref(),
            &body,
            now_ms as i64,
        );
    }

    #[napi(catch_unwind)]
    pub fn batch_failed(&mut self, ticket: f64, message: String, now_ms: f64) {
        self.session
            .borrow_mut()
            .batch_failed(ticket as u64, &message, now_ms as i64);
    }

    #[napi(catch_unwind)]
    pub fn flush(&mut self, now_ms: f64) -> f64 {
        self.session.borrow_mut().flush(now_ms as i64) as f64
    }

    #[napi(catch_unwind)]
    pub fn is_flushed(&self, mark: f64) -> bool {
        self.session.borrow_mut().is_flushed(mark as u64)
    }

    #[napi(catch_unwind)]
    pub fn shutdown(&mut self, now_ms: f64, deadline_ms: f64) {
        self.session.borrow_mut().shutdown(now_ms as i64, deadline_ms as i64);
    }

    #[napi(catch_unwind)]
    pub fn spool(&self) -> Uint8Array {
        self.session.borrow_mut().spool().into()
    }

    /// Changes whenever the spool would.
    #[napi(catch_unwind)]
    pub fn spool_mark(&mut self, now_ms: f64) -> String {
        let telemetry = self.session.borrow_mut().telemetry(now_ms as i64);
        let come = |counts: evenhand_session::EventCounts| counts.queued.saturating_add(counts.restored);
        format!(
            "{} {} {} {}",
            come(telemetry.exposures),
            come(telemetry.events),
            telemetry.held_events,
            telemetry.snapshots
        )
    }

    /// Takes back a spool; how many events came with it.
    #[napi(catch_unwind)]
    pub fn restore(&mut self, spool: Uint8Array, entropy: Uint8Array, now_ms: f64) -> Result<u32> {
        let restored = self
            .session
            .borrow_mut()
            .restore(&spool, entropy_of(&entropy)?, now_ms as i64);
        Ok(u32::try_from(restored.events).unwrap_or(u32::MAX))
    }

    #[napi(catch_unwind)]
    pub fn take_diagnostics(&mut self) -> Vec<DiagnosticRow> {
        let taken = self.session.borrow_mut().take_diagnostics();
        let rows = taken.into_iter().map(|diagnostic| DiagnosticRow {
            at_ms: diagnostic.at_ms as f64,
            level: diagnostic.level().as_str().to_owned(),
            code: diagnostic.code.as_str().to_owned(),
            message: diagnostic.message,
            times: diagnostic.times,
        });
        rows.collect()
    }

    /// The session in numbers, as JSON, with the evaluations since the last call added.
    #[napi(catch_unwind)]
    pub fn telemetry(&mut self, evaluations: f64, now_ms: f64) -> String {
        self.session.borrow_mut().count_evaluations(evaluations as u64);
        telemetry::json(&self.session.borrow_mut().telemetry(now_ms as i64)).to_string()
    }
}
