//! The session, for a host loop in Python: it says what to do, Python does it and reports.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use evenhand_core::unit::{DecimalBuffer, unit_id};
use evenhand_core::{Attributes, FlagId, Packed, Reason, Value};
use evenhand_session::{Action, Options, Session as Core, Track, TrackValue};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyTuple};

use crate::argument::Argument;
use crate::attributes::DictAttributes;
use crate::context::{Context, dict_of};
use crate::decision::Decision;
use crate::engine::{audience_of, key_set};
use crate::evaluator::{Evaluator, clock_ms, warn};
use crate::fork::HeldOverFork;
use crate::guard::{EvenhandError, ManifestError, fault, guarded, raising};
use crate::loaded::Loaded;
use crate::telemetry::to_dict;
use crate::units::{units_of, view};

/// The state machine behind the clients. Private: use `Client` or `AsyncClient`.
#[pyclass(frozen, subclass, extends = Evaluator, module = "evenhand._native")]
pub struct Session {
    core: Arc<Mutex<Core>>,
    snapshots: AtomicU64,
    /// Whether nobody sends or spools any more what is queued. Changed and read under the lock: what was queued before is in the
    /// spool that is written afterwards.
    over: AtomicBool,
}

impl Session {
    /// The session's lock. Where it is held without the interpreter, other threads run while this one waits.
    /// Raises inside a fork.
    fn lock<'a>(&'a self, py: Python<'_>) -> PyResult<MutexGuard<'a, Core>> {
        loop {
            match self.core.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {
                    self.refuse_inside_fork()?;
                    py.detach(|| drop(self.core.lock().unwrap_or_else(PoisonError::into_inner)))
                }
            }
        }
    }

    /// Somebody else's hook, or a signal handler, runs on the thread that forks and would wait for itself. In the child what it
    /// queued would be forgotten as the parent's, so it is told instead.
    fn refuse_inside_fork(&self) -> PyResult<()> {
        if !HeldOverFork::holds(&self.core) {
            return Ok(());
        }
        Err(EvenhandError::new_err(
            "this thread forks just now, and the client is not ready on either side: import evenhand before you register the hook that \
             called it (os.register_at_fork), so that it runs when the client's own have run",
        ))
    }

    /// The lock, for queueing; none when the client is over.
    fn queue<'a>(&'a self, py: Python<'_>) -> PyResult<Option<MutexGuard<'a, Core>>> {
        let core = self.lock(py)?;
        Ok((!self.over.load(Ordering::Relaxed)).then_some(core))
    }

    /// As [`Session::detached`], for work that reports a manifest: it is judged and compiled before the lock is taken, so that nobody's
    /// `decide` waits for it.
    fn judged<T: Send>(
        slf: &Bound<'_, Self>,
        manifest: &[u8],
        work: impl FnOnce(&mut Core) -> T + Send,
    ) -> PyResult<T> {
        let this = slf.get();
        this.refuse_inside_fork()?;
        let locked = || this.core.lock().unwrap_or_else(PoisonError::into_inner);
        slf.py().detach(|| {
            let preparation = locked().preparation();
            // What panics here panics again below, where it is told.
            if let Ok(prepared) = guarded(|| preparation.judge(manifest)) {
                locked().prepare(prepared);
            }
        });
        Self::detached(slf, work)
    }

    /// Runs `work` on the session without the interpreter, then puts a new snapshot in use if there is one.
    fn detached<T: Send>(slf: &Bound<'_, Self>, work: impl FnOnce(&mut Core) -> T + Send) -> PyResult<T> {
        let this = slf.get();
        this.refuse_inside_fork()?;
        let result = slf
            .py()
            .detach(|| guarded(|| work(&mut this.core.lock().unwrap_or_else(PoisonError::into_inner))));
        {
            // Under the lock, or of two updates the older could be put in use last.
            let core = this.lock(slf.py())?;
            let number = core.snapshots();
            if this.snapshots.swap(number, Ordering::AcqRel) != number
                && let Some(snapshot) = core.snapshot()
            {
                slf.as_super()
                    .get()
                    .loaded
                    .store(Some(Arc::new(Loaded::new(slf.py(), snapshot)?)));
            }
        }
        result.map_err(|panic| fault(&panic))
    }

    /// Queues what a decision exposes; how many that were, none when the client is over.
    fn expose_decision(&self, decision: &Decision, py: Python<'_>) -> PyResult<Option<u8>> {
        let (Some(loaded), Some(id)) = (&decision.loaded, decision.id) else {
            return Ok(Some(0));
        };
        if !Core::has_exposures(decision.packed) {
            return Ok(Some(0));
        }
        let context = decision.context.bind(py);
        let now_ms = clock_ms();
        raising(|| {
            if let Ok(context) = context.cast::<Context>() {
                return context.get().with_slots(&loaded.snapshot, |slots| {
                    self.queue_exposures(py, loaded, id, decision.packed, slots, now_ms)
                });
            }
            let dict = dict_of(context)?;
            let attributes = DictAttributes::new(&dict, &loaded.attributes);
            self.queue_exposures(py, loaded, id, decision.packed, &attributes, now_ms)
        })
    }

    #[inline]
    fn queue_exposures(
        &self,
        py: Python<'_>,
        loaded: &Loaded,
        id: FlagId,
        packed: Packed,
        attributes: &impl Attributes,
        now_ms: i64,
    ) -> PyResult<Option<u8>> {
        let mut core = self.queue(py)?;
        Ok(core
            .as_mut()
            .map(|core| core.expose(&loaded.snapshot, id, packed, attributes, now_ms).queued))
    }
}

fn entropy_of(entropy: &[u8]) -> PyResult<[u8; 16]> {
    entropy
        .try_into()
        .map_err(|_| PyValueError::new_err("entropy is 16 bytes of os.urandom"))
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (entropy, *, keys=None, environment=None, audience=None, sdk=None, fetch=true, stream=false, numbers=None))]
    #[allow(clippy::too_many_arguments, reason = "each is an option of the client")]
    fn new(
        entropy: &[u8],
        keys: Option<HashMap<String, String>>,
        environment: Option<String>,
        audience: Option<&str>,
        sdk: Option<String>,
        fetch: bool,
        stream: bool,
        numbers: Option<HashMap<String, u64>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let mut options = Options {
            keys: key_set(keys)?,
            environment,
            audience: audience_of(audience)?,
            sdk,
            fetch,
            stream,
            ..Options::default()
        };
        for (name, value) in numbers.iter().flatten() {
            options
                .set_number(name, *value)
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
        }
        let core = Core::new(options, entropy_of(entropy)?, clock_ms());
        let session = Self {
            core: Arc::new(Mutex::new(core)),
            snapshots: AtomicU64::new(0),
            over: AtomicBool::new(false),
        };
        Ok(PyClassInitializer::from(Evaluator::new(Reason::NotReady)).add_subclass(session))
    }

    /// Evaluates a flag and queues the exposure. Nothing is raised.
    #[pyo3(signature = (flag, context, now_ms=None, r#type=None))]
    fn _decide(
        slf: &Bound<'_, Self>,
        flag: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
        now_ms: Option<&Bound<'_, PyAny>>,
        r#type: Option<&Bound<'_, PyAny>>,
    ) -> (Decision, bool) {
        let evaluator = slf.as_super().get();
        let decision = evaluator.decide_flag(flag, context, Argument::now_ms(now_ms), Argument::flag_type(r#type));
        let queued = match slf.get().expose_decision(&decision, slf.py()) {
            Ok(queued) => queued.is_some_and(|queued| queued > 0),
            Err(error) => {
                warn(slf.py(), &format!("an exposure is lost: {error}"));
                false
            }
        };
        (decision, queued)
    }

    /// Queues the exposures of a decision, unless they were lately; how many. Raises when they can't be.
    fn _expose(slf: &Bound<'_, Self>, decision: &Bound<'_, Decision>) -> PyResult<u8> {
        let queued = slf.get().expose_decision(decision.get(), slf.py())?;
        queued.ok_or_else(|| EvenhandError::new_err("the client is closed; expose before you close it"))
    }

    /// What a sticky store is to keep after a decision; None when there is nothing to keep.
    fn _sticky_record<'py>(
        slf: &Bound<'py, Self>,
        decision: &Bound<'py, Decision>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = slf.py();
        let decision = decision.get();
        let (Some(loaded), Some(id)) = (&decision.loaded, decision.id) else {
            return Ok(None);
        };
        let context = decision.context.bind(py);
        let record = match context.cast::<Context>() {
            Ok(context) => loaded.snapshot.sticky_record(id, decision.packed, &context.get().inner),
            Err(_) => loaded
                .snapshot
                .sticky_record(id, decision.packed, &loaded.slots(&dict_of(context)?)),
        };
        let Some(record) = record else { return Ok(None) };
        let dict = PyDict::new(py);
        dict.set_item("experiment", record.experiment)?;
        dict.set_item("phase", record.phase)?;
        dict.set_item("unit", record.unit)?;
        dict.set_item("variation", record.variation)?;
        Ok(Some(dict))
    }

    /// The unit ids, as text, that a context has for the manifest's unit types.
    fn _unit_ids(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        let units = units_of(context, slf.get().unit_types(slf.py())?)?;
        let mut ids = Vec::new();
        for (_, value) in &units {
            let mut buffer = DecimalBuffer::new();
            if let Some(id) = unit_id(view(value), &mut buffer) {
                ids.push(id.to_owned());
            }
        }
        Ok(ids)
    }

    /// Queues an event; its id. Raises `ValueError` for what the server would refuse.
    #[pyo3(signature = (name, context, value=None, properties=None, timestamp_ms=None))]
    fn _track(
        slf: &Bound<'_, Self>,
        name: &str,
        context: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        properties: Option<&str>,
        timestamp_ms: Option<i64>,
    ) -> PyResult<String> {
        let py = slf.py();
        let units = units_of(context, slf.get().unit_types(py)?)?;
        let units: Vec<(&str, Value<'_>)> = units.iter().map(|(name, value)| (name.as_str(), view(value))).collect();
        let decimal;
        let value = match value {
            None => None,
            Some(value) if value.is_instance_of::<PyBool>() => {
                return Err(PyTypeError::new_err(
                    "the value of an event is an int, a float, a Decimal or decimal text, not a bool",
                ));
            }
            Some(value) if value.is_instance_of::<PyFloat>() => Some(TrackValue::Number(value.extract()?)),
            Some(value) => {
                decimal = value.str()?.to_string();
                Some(TrackValue::Decimal(&decimal))
            }
        };
        let track = Track {
            name,
            units: &units,
            value,
            properties,
            timestamp_ms,
        };
        raising(|| {
            let Some(mut core) = slf.get().queue(py)? else {
                return Err(EvenhandError::new_err(
                    "the client is closed; track before you close it",
                ));
            };
            core.track(&track, clock_ms())
                .map(|id| id.to_string())
                .map_err(|error| PyValueError::new_err(error.to_string()))
        })
    }

    /// What to do now: `(kind, …)`.
    fn _next<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let this = slf.get();
        let action = Self::detached(slf, |core| {
            let action = core.next(clock_ms());
            if matches!(action, Action::Done) {
                this.over.store(true, Ordering::Relaxed);
            }
            action
        })?;
        match action {
            Action::Wait { until_ms } => ("wait", until_ms).into_pyobject(py),
            Action::FetchManifest { ticket, etag } => ("manifest", ticket, etag).into_pyobject(py),
            Action::FetchList { ticket, sha256 } => ("list", ticket, sha256).into_pyobject(py),
            Action::OpenStream {
                ticket,
                last_event_id,
                idle_timeout_ms,
            } => ("stream", ticket, last_event_id, idle_timeout_ms).into_pyobject(py),
            Action::SendEvents {
                batch_id,
                body,
                content_type,
                events,
            } => ("events", batch_id, PyBytes::new(py, &body), content_type, events).into_pyobject(py),
            Action::Done => ("done",).into_pyobject(py),
        }
    }

    /// Whether the loop should call `_next` before its wait is over.
    fn _wakes(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.wakes())
    }

    fn _manifest_response(
        slf: &Bound<'_, Self>,
        ticket: u64,
        status: u16,
        etag: Option<&str>,
        retry_after: Option<&str>,
        body: &[u8],
    ) -> PyResult<()> {
        let report = |core: &mut Core| core.manifest_response(ticket, status, etag, retry_after, body, clock_ms());
        if status == 200 {
            Self::judged(slf, body, report)
        } else {
            Self::detached(slf, report)
        }
    }

    fn _list_response(
        slf: &Bound<'_, Self>,
        ticket: u64,
        status: u16,
        retry_after: Option<&str>,
        body: &[u8],
    ) -> PyResult<()> {
        Self::detached(slf, |core| {
            core.list_response(ticket, status, retry_after, body, clock_ms())
        })
    }

    fn _stream_response(slf: &Bound<'_, Self>, ticket: u64, status: u16, retry_after: Option<&str>) -> PyResult<()> {
        Self::detached(slf, |core| {
            core.stream_response(ticket, status, retry_after, clock_ms())
        })
    }

    fn _stream_bytes(slf: &Bound<'_, Self>, ticket: u64, data: &[u8]) -> PyResult<()> {
        Self::detached(slf, |core| core.stream_bytes(ticket, data, clock_ms()))
    }

    fn _stream_closed(slf: &Bound<'_, Self>, ticket: u64) -> PyResult<()> {
        Self::detached(slf, |core| core.stream_closed(ticket, clock_ms()))
    }

    fn _fetch_failed(slf: &Bound<'_, Self>, ticket: u64, message: &str) -> PyResult<()> {
        Self::detached(slf, |core| core.fetch_failed(ticket, message, clock_ms()))
    }

    fn _batch_response(
        slf: &Bound<'_, Self>,
        batch: u64,
        status: u16,
        retry_after: Option<&str>,
        body: &[u8],
    ) -> PyResult<()> {
        Self::detached(slf, |core| {
            core.batch_response(batch, status, retry_after, body, clock_ms())
        })
    }

    fn _batch_failed(slf: &Bound<'_, Self>, batch: u64, message: &str) -> PyResult<()> {
        Self::detached(slf, |core| core.batch_failed(batch, message, clock_ms()))
    }

    /// Puts a manifest from elsewhere in use. Raises `ManifestError` when it is refused; the one in use stays.
    fn update_manifest(slf: &Bound<'_, Self>, manifest: &[u8]) -> PyResult<()> {
        let updated = Self::judged(slf, manifest, |core| core.update_manifest(manifest, clock_ms()))?;
        updated
            .map(|_| ())
            .map_err(|error| ManifestError::new_err((error.code(), error.to_string())))
    }

    /// Gives it the blob of an id list from elsewhere; whether the manifest names it.
    fn add_list(slf: &Bound<'_, Self>, blob: &[u8]) -> PyResult<bool> {
        Self::detached(slf, |core| core.provide_list(blob, clock_ms()))
    }

    fn _flush(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.flush(clock_ms()))
    }

    fn _is_flushed(&self, py: Python<'_>, mark: u64) -> PyResult<bool> {
        Ok(self.lock(py)?.is_flushed(mark))
    }

    fn _shutdown(&self, py: Python<'_>, deadline_ms: i64) -> PyResult<()> {
        self.lock(py)?.shutdown(clock_ms(), deadline_ms);
        Ok(())
    }

    /// From now on nothing is queued, whether `_next` has come to its end or not.
    fn _end(&self, py: Python<'_>) -> PyResult<()> {
        let _core = self.lock(py)?;
        self.over.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Everything the next start needs.
    fn _spool<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyBytes>> {
        let spool = Self::detached(slf, |core| core.spool())?;
        Ok(PyBytes::new(slf.py(), &spool))
    }

    /// A number that changes whenever the spool would: (queued and restored, ended, snapshots).
    fn _spool_mark(&self, py: Python<'_>) -> PyResult<(u64, u64, u64)> {
        let mut core = self.lock(py)?;
        let telemetry = core.telemetry(clock_ms());
        let sum = |pick: fn(&evenhand_session::EventCounts) -> u64| {
            pick(&telemetry.exposures).wrapping_add(pick(&telemetry.events))
        };
        Ok((
            sum(|counts| counts.queued.wrapping_add(counts.restored)),
            telemetry.held_events,
            telemetry.snapshots,
        ))
    }

    /// Takes back a spool; how many events came with it.
    fn _restore(slf: &Bound<'_, Self>, spool: &[u8], entropy: &[u8]) -> PyResult<usize> {
        let entropy = entropy_of(entropy)?;
        Self::detached(slf, |core| core.restore(spool, entropy, clock_ms()).events)
    }

    /// Diagnostics since the last call: `(level, code, message, times)`.
    fn _diagnostics(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, &'static str, String, u32)>> {
        let taken = self.lock(py)?.take_diagnostics();
        let told = taken
            .into_iter()
            .map(|diagnostic| {
                (
                    diagnostic.level().as_str(),
                    diagnostic.code.as_str(),
                    diagnostic.message,
                    diagnostic.times,
                )
            })
            .collect();
        Ok(told)
    }

    /// The client in numbers.
    fn telemetry<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let evaluations = slf.as_super().get().evaluations.swap(0, Ordering::Relaxed);
        let telemetry = {
            let mut core = slf.get().lock(slf.py())?;
            core.count_evaluations(evaluations);
            core.telemetry(clock_ms())
        };
        to_dict(slf.py(), &telemetry)
    }

    fn _before_fork(&self, py: Python<'_>) -> PyResult<()> {
        let guard = self.lock(py)?;
        // SAFETY: the guard is of this lock.
        unsafe { HeldOverFork::keep(guard, &self.core) };
        Ok(())
    }

    /// In the parent: the lock is given back.
    fn _after_fork_in_parent(&self) {
        drop(HeldOverFork::release(&self.core));
    }

    /// In the child: what the parent queued is the parent's, and ids begin elsewhere.
    fn _after_fork_in_child(&self, entropy: &[u8]) -> PyResult<()> {
        let entropy = entropy_of(entropy)?;
        if let Some(mut held) = HeldOverFork::release(&self.core) {
            held.core().reseed(entropy, clock_ms());
            self.over.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Session {
    /// What `track` takes from a context. Before the first manifest nothing else is known.
    fn unit_types(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let types = self.lock(py)?.unit_types().to_vec();
        Ok(if types.is_empty() {
            vec!["user_id".to_owned()]
        } else {
            types
        })
    }
}
