//! The session, for a host loop in Python: it says what to do, Python does it and reports.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use evenhand_core::Reason;
use evenhand_session::{Action, Options, Session as Core};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::argument::Argument;
use crate::decision::Decision;
use crate::engine::{audience_of, key_set};
use crate::evaluator::{Evaluator, clock_ms, warn};
use crate::exposing::sticky_record;
use crate::fork::HeldOverFork;
use crate::guard::{EvenhandError, ManifestError};
use crate::telemetry::to_dict;

/// The state machine behind the clients. Private: use `Client` or `AsyncClient`.
#[pyclass(frozen, subclass, extends = Evaluator, module = "evenhand._native")]
pub struct Session {
    pub core: Arc<Mutex<Core>>,
    /// The number of the snapshot in use.
    pub snapshots: AtomicU64,
    /// Whether nobody sends or spools any more what is queued. Changed and read under the lock: what was queued before is in the
    /// spool that is written afterwards.
    pub over: AtomicBool,
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
        sticky_record(slf.py(), decision.get())
    }

    /// The unit ids, as text, that a context has for the manifest's unit types.
    fn _unit_ids(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        slf.get().unit_ids(context)
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
        slf.get().track(name, context, value, properties, timestamp_ms)
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

    /// Which snapshot decides: the session may have a newer one, about to be put in use.
    fn _snapshot_in_use(&self) -> u64 {
        self.snapshots.load(Ordering::Relaxed)
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
