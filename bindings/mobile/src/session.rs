//! The session, for a host loop in Swift or Kotlin: it says what to do, the host does it and reports.

use std::sync::{Arc, MutexGuard};

use evenhand::session::Session as Handle;
use evenhand_core::unit::{DecimalBuffer, unit_id};
use evenhand_core::{Packed, Value};
use evenhand_session::{Options, Session, Track, TrackValue};

use crate::context::NativeContext;
use crate::engine::{audience_of, key_set};
use crate::error::{Answer, NativeError, guard};
use crate::hot;
use crate::records::{DiagnosticRow, NextAction, SessionSettings, StickyRow, TelemetryRow, TrackedEvent};
use crate::snapshot::NativeSnapshot;

/// The state machine behind a client. Any thread may use it at any time. Its lock is held for microseconds, and while an id list
/// arrives as long as the manifest compiles; never by an evaluation, nor while a manifest is judged and compiled.
#[derive(uniffi::Object)]
#[repr(transparent)]
pub struct NativeSession(Handle);

impl NativeSession {
    #[inline]
    pub(crate) fn machine(&self) -> MutexGuard<'_, Session> {
        self.0.lock()
    }
}

fn sixteen(entropy: &[u8]) -> Answer<[u8; 16]> {
    entropy
        .try_into()
        .map_err(|_| NativeError::invalid("entropy is 16 bytes of the system's randomness"))
}

fn packed_of(packed: u64) -> Answer<Packed> {
    Packed::from_number(packed).ok_or_else(|| NativeError::invalid(format!("{packed} is no packed decision")))
}

#[uniffi::export]
impl NativeSession {
    /// A session without a manifest: the first fetch is due at once. `entropy`: 16 fresh bytes of the system's randomness. `now_ms`,
    /// here and everywhere: milliseconds since 1970.
    #[uniffi::constructor]
    pub fn new(settings: SessionSettings, entropy: Vec<u8>, now_ms: i64) -> Answer<Arc<Self>> {
        guard(|| {
            let mut options = Options {
                keys: key_set(settings.engine.keys)?,
                environment: settings.engine.environment,
                audience: audience_of(settings.engine.audience.as_deref())?,
                sdk: Some(settings.sdk),
                fetch: settings.fetch,
                stream: settings.stream,
                ..Options::default()
            };
            for (name, value) in settings.numbers {
                options.set_number(&name, value).map_err(NativeError::invalid)?;
            }
            let machine = Session::new(options, sixteen(&entropy)?, now_ms);
            Ok(Arc::new(Self(Handle::new(machine))))
        })
    }

    /// What the host is to do now. Ask again at once after anything but a wait and the end.
    pub fn next(&self, now_ms: i64) -> Answer<NextAction> {
        guard(|| Ok(self.machine().next(now_ms).into()))
    }

    /// Whether something has come up since the last wait that is due before its end.
    pub fn wakes(&self) -> Answer<bool> {
        guard(|| Ok(self.machine().wakes()))
    }

    /// Counts snapshots: compare it, and ask for the snapshot when it has changed.
    pub fn snapshots(&self) -> Answer<u64> {
        guard(|| Ok(self.machine().snapshots()))
    }

    /// The manifest in use, compiled.
    pub fn snapshot(&self) -> Answer<Option<Arc<NativeSnapshot>>> {
        guard(|| Ok(self.machine().snapshot().map(NativeSnapshot::of)))
    }

    /// The attributes that give unit ids: those that the manifest's experiments randomise, and `user_id`.
    pub fn unit_types(&self) -> Answer<Vec<String>> {
        guard(|| Ok(self.machine().unit_types().to_vec()))
    }

    /// Evaluates a flag and queues its exposures. Below zero where one was queued: the packed decision is then `-1 - answer`.
    pub fn decide_bound(
        &self,
        snapshot: &NativeSnapshot,
        context: &NativeContext,
        flag: u32,
        now_ms: i64,
    ) -> Answer<i64> {
        guard(|| Ok(hot::decide_bound(self, snapshot, context, flag, now_ms)))
    }

    /// As `decide_bound`, for the attributes in records.
    pub fn decide_records(&self, snapshot: &NativeSnapshot, records: Vec<u8>, flag: u32, now_ms: i64) -> Answer<i64> {
        guard(|| Ok(hot::decide_records(self, snapshot, &records, flag, now_ms)))
    }

    /// Queues the exposures of a decision made before; how many were.
    pub fn expose(&self, context: &NativeContext, flag: u32, packed: u64, now_ms: i64) -> Answer<u32> {
        guard(|| {
            let (snapshot, slots) = context.parts()?;
            let Some(id) = snapshot.flag_at(flag as usize) else {
                return Ok(0);
            };
            let exposed = self.machine().expose(&snapshot, id, packed_of(packed)?, slots, now_ms);
            Ok(u32::from(exposed.queued))
        })
    }

    /// What a sticky store is to keep after a decision.
    pub fn sticky_record(&self, context: &NativeContext, flag: u32, packed: u64) -> Answer<Option<StickyRow>> {
        guard(|| {
            let (snapshot, slots) = context.parts()?;
            let Some(id) = snapshot.flag_at(flag as usize) else {
                return Ok(None);
            };
            Ok(snapshot.sticky_record(id, packed_of(packed)?, slots).map(Into::into))
        })
    }

    /// The text of a number as unit id; none when it is none.
    pub fn unit_text(&self, number: f64) -> Answer<Option<String>> {
        guard(|| {
            let mut buffer = DecimalBuffer::new();
            Ok(unit_id(Value::Num(number), &mut buffer).map(str::to_owned))
        })
    }

    /// Queues an event; its id. Refused when the server would refuse it.
    pub fn track(&self, event: TrackedEvent, now_ms: i64) -> Answer<String> {
        guard(|| {
            let units = event.units.iter().map(|unit| {
                let value = match (&unit.text, unit.number) {
                    (Some(text), _) => Value::Str(text),
                    (None, Some(number)) => Value::Num(number),
                    (None, None) => Value::Unusable,
                };
                (unit.name.as_str(), value)
            });
            let units: Vec<(&str, Value<'_>)> = units.collect();
            let track = Track {
                name: &event.name,
                units: &units,
                value: match (&event.decimal, event.number) {
                    (Some(text), _) => Some(TrackValue::Decimal(text)),
                    (None, number) => number.map(TrackValue::Number),
                },
                properties: event.properties.as_deref(),
                timestamp_ms: event.timestamp_ms,
            };
            let queued = self.machine().track(&track, now_ms);
            queued
                .map(|id| id.to_string())
                .map_err(|error| NativeError::refused(error.code.as_str(), error))
        })
    }

    /// Adds evaluations that the host has counted, for the telemetry.
    pub fn count_evaluations(&self, evaluations: u64) -> Answer<()> {
        guard(|| {
            self.machine().count_evaluations(evaluations);
            Ok(())
        })
    }

    /// Puts a manifest from elsewhere in use. Refused, the one in use stays.
    pub fn update_manifest(&self, manifest: Vec<u8>, now_ms: i64) -> Answer<()> {
        guard(|| {
            let updated = self.0.lock_for(&manifest).update_manifest(&manifest, now_ms);
            updated
                .map(|_| ())
                .map_err(|error| NativeError::refused(error.code(), error))
        })
    }

    /// Hands in an id list from elsewhere. Whether the manifest names it; false also when it is none.
    pub fn provide_list(&self, blob: Vec<u8>, now_ms: i64) -> Answer<bool> {
        guard(|| Ok(self.machine().provide_list(&blob, now_ms)))
    }

    /// Reports the answer to FetchManifest; the headers as they are.
    pub fn manifest_response(
        &self,
        ticket: u64,
        status: u16,
        etag: Option<String>,
        retry_after: Option<String>,
        body: Vec<u8>,
        now_ms: i64,
    ) -> Answer<()> {
        guard(|| {
            let mut machine = if status == 200 {
                self.0.lock_for(&body)
            } else {
                self.machine()
            };
            machine.manifest_response(ticket, status, etag.as_deref(), retry_after.as_deref(), &body, now_ms);
            Ok(())
        })
    }

    /// Reports the answer to FetchList.
    pub fn list_response(
        &self,
        ticket: u64,
        status: u16,
        retry_after: Option<String>,
        body: Vec<u8>,
        now_ms: i64,
    ) -> Answer<()> {
        guard(|| {
            self.machine()
                .list_response(ticket, status, retry_after.as_deref(), &body, now_ms);
            Ok(())
        })
    }

    /// Reports that there was no answer to FetchManifest, FetchList or OpenStream: what went wrong, for the logs.
    pub fn fetch_failed(&self, ticket: u64, text: String, now_ms: i64) -> Answer<()> {
        guard(|| {
            self.machine().fetch_failed(ticket, &text, now_ms);
            Ok(())
        })
    }

    /// Reports the head of the answer to OpenStream.
    pub fn stream_response(&self, ticket: u64, status: u16, retry_after: Option<String>, now_ms: i64) -> Answer<()> {
        guard(|| {
            self.machine()
                .stream_response(ticket, status, retry_after.as_deref(), now_ms);
            Ok(())
        })
    }

    /// Hands on bytes of the stream, cut anywhere.
    pub fn stream_bytes(&self, ticket: u64, bytes: Vec<u8>, now_ms: i64) -> Answer<()> {
        guard(|| {
            self.machine().stream_bytes(ticket, &bytes, now_ms);
            Ok(())
        })
    }

    /// Reports the end of an open stream.
    pub fn stream_closed(&self, ticket: u64, now_ms: i64) -> Answer<()> {
        guard(|| {
            self.machine().stream_closed(ticket, now_ms);
            Ok(())
        })
    }

    /// Reports the answer to SendEvents.
    pub fn batch_response(
        &self,
        ticket: u64,
        status: u16,
        retry_after: Option<String>,
        body: Vec<u8>,
        now_ms: i64,
    ) -> Answer<()> {
        guard(|| {
            self.machine()
                .batch_response(ticket, status, retry_after.as_deref(), &body, now_ms);
            Ok(())
        })
    }

    /// Reports that there was no answer to SendEvents: what went wrong, for the logs. The events stay queued.
    pub fn batch_failed(&self, ticket: u64, text: String, now_ms: i64) -> Answer<()> {
        guard(|| {
            self.machine().batch_failed(ticket, &text, now_ms);
            Ok(())
        })
    }

    /// Sends what is queued now as soon as it may be; a mark for `is_flushed`.
    pub fn flush(&self, now_ms: i64) -> Answer<u64> {
        guard(|| Ok(self.machine().flush(now_ms)))
    }

    /// Whether no event queued before that flush is still held.
    pub fn is_flushed(&self, mark: u64) -> Answer<bool> {
        guard(|| Ok(self.machine().is_flushed(mark)))
    }

    /// Ends the session: what is queued is sent until the deadline; then the next action is Done.
    pub fn shutdown(&self, now_ms: i64, deadline_ms: i64) -> Answer<()> {
        guard(|| {
            self.machine().shutdown(now_ms, deadline_ms);
            Ok(())
        })
    }

    /// Everything the next start needs: the manifest in use and the events that are not delivered.
    pub fn spool(&self) -> Answer<Vec<u8>> {
        guard(|| Ok(self.machine().spool()))
    }

    /// Changes whenever the spool would.
    pub fn spool_mark(&self, now_ms: i64) -> Answer<String> {
        guard(|| {
            let telemetry = self.machine().telemetry(now_ms);
            let come = |counts: evenhand_session::EventCounts| counts.queued.saturating_add(counts.restored);
            Ok(format!(
                "{} {} {} {}",
                come(telemetry.exposures),
                come(telemetry.events),
                telemetry.held_events,
                telemetry.snapshots
            ))
        })
    }

    /// Takes back the spool of an earlier session; how many of its events wait to be sent.
    pub fn restore(&self, spool: Vec<u8>, entropy: Vec<u8>, now_ms: i64) -> Answer<u64> {
        guard(|| {
            let restored = self.machine().restore(&spool, sixteen(&entropy)?, now_ms);
            Ok(restored.events as u64)
        })
    }

    /// Takes what the logger is to be told, oldest first.
    pub fn take_diagnostics(&self) -> Answer<Vec<DiagnosticRow>> {
        guard(|| {
            let taken = self.machine().take_diagnostics();
            Ok(taken.into_iter().map(Into::into).collect())
        })
    }

    /// The session in numbers.
    pub fn telemetry(&self, now_ms: i64) -> Answer<TelemetryRow> {
        guard(|| Ok(self.machine().telemetry(now_ms).into()))
    }

    /// The address: for the hot path, and a handle of the C ABI, as long as this object lives.
    pub fn address(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }
}
