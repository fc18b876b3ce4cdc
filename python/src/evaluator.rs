//! Decisions: what `Engine` and `Client` share. The manifest in use is an atomically swapped pointer: no lock of ours stands
//! between two threads that evaluate, but for the moment in which an unusable attribute is counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use evenhand_core::{FlagId, FlagType, Packed, Reason, Slots};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString};

use crate::argument::Argument;
use crate::attributes::DictAttributes;
use crate::context::{Context, Fitted, dict_of};
use crate::decision::Decision;
use crate::guard::{EvenhandError, guarded, raising};
use crate::loaded::Loaded;

const WRONG_NOW: &str = "now_ms is an int or a float, the milliseconds since 1970, such as time.time() * 1000";
const WRONG_TYPE: &str = "the type of a flag is one of bool, string, int, float, json";
/// The most attribute names that are counted.
const MAX_UNUSABLE_NAMES: usize = 1_000;

/// What decides flags. `Engine` and the clients are made of it.
#[pyclass(frozen, subclass, module = "evenhand._native")]
pub struct Evaluator {
    pub loaded: ArcSwapOption<Loaded>,
    /// The reason while there is no manifest.
    without: Reason,
    pub evaluations: AtomicU64,
    unusable: Mutex<BTreeMap<String, u64>>,
}

/// The system's clock, in milliseconds since 1970.
pub fn clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Evaluator {
    pub fn new(without: Reason) -> Self {
        Self {
            loaded: ArcSwapOption::empty(),
            without,
            evaluations: AtomicU64::new(0),
            unusable: Mutex::default(),
        }
    }

    /// Decides; whatever goes wrong, there is a decision.
    #[inline]
    pub fn decide_flag(
        &self,
        flag: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
        now_ms: Argument<i64>,
        expected: Argument<FlagType>,
    ) -> Decision {
        let guard = self.loaded.load();
        let Some(loaded) = guard.as_ref() else {
            return Decision::bare(flag, context, None, self.without);
        };
        let decided = guarded(|| self.decide_with(loaded, flag, context, now_ms, expected));
        // Behind the trip to the context's memory, which it would otherwise have to wait for.
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        match decided {
            Ok(Ok((id, packed))) => Decision::made(flag, context, Arc::clone(loaded), id, packed),
            Ok(Err(reason)) => Decision::bare(flag, context, Some(Arc::clone(loaded)), reason),
            Err(panic) => {
                warn(
                    context.py(),
                    &format!("a decision ended in an internal fault: {panic}; the caller's default counts"),
                );
                Decision::bare(flag, context, Some(Arc::clone(loaded)), Reason::Error)
            }
        }
    }

    #[inline]
    fn decide_with(
        &self,
        loaded: &Arc<Loaded>,
        flag: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
        now_ms: Argument<i64>,
        expected: Argument<FlagType>,
    ) -> Result<(FlagId, Packed), Reason> {
        let Ok(key) = flag.cast::<PyString>() else {
            warn(flag.py(), "a flag's key is a str; the caller's default counts");
            return Err(Reason::Error);
        };
        let snapshot = &loaded.snapshot;
        // Looked at first: its trip to memory overlaps with finding the flag.
        let kept = context.cast::<Context>().ok();
        let slots = kept.and_then(|context| context.get().first_slots(snapshot));
        // A lone surrogate stands in no key.
        let id = key
            .to_str()
            .ok()
            .and_then(|key| snapshot.flag(key))
            .ok_or(Reason::FlagUnknown)?;
        if let Some(expected) = read_or_told(flag.py(), expected, WRONG_TYPE)? {
            let found = loaded.types.get(id.index()).copied().flatten();
            if found.is_some_and(|found| found != expected && (found, expected) != (FlagType::Int, FlagType::Float)) {
                return Err(Reason::TypeMismatch);
            }
        }
        let now_ms = read_or_told(flag.py(), now_ms, WRONG_NOW)?.unwrap_or_else(clock_ms);
        if let Some(slots) = slots {
            return Ok((id, snapshot.evaluate_packed(id, slots, now_ms)));
        }
        if let Some(context) = kept {
            return Ok((
                id,
                context
                    .get()
                    .with_slots(snapshot, |slots| snapshot.evaluate_packed(id, slots, now_ms)),
            ));
        }
        let dict = match dict_of(context) {
            Ok(dict) => dict,
            Err(error) => {
                warn(context.py(), &format!("{error}; the caller's default counts"));
                return Err(Reason::Error);
            }
        };
        let attributes = DictAttributes::new(&dict, &loaded.attributes);
        let packed = snapshot.evaluate_packed(id, &attributes, now_ms);
        let unusable = attributes.unusable();
        if !unusable.is_empty() {
            self.count_unusable(unusable.iter().filter_map(|index| snapshot.attributes().nth(*index)));
        }
        Ok((id, packed))
    }

    #[cold]
    fn count_unusable<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let mut counts = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if let Some(count) = counts.get_mut(name) {
                *count = count.saturating_add(1);
            } else if counts.len() < MAX_UNUSABLE_NAMES {
                counts.insert(name.to_owned(), 1);
            }
        }
    }

    fn typed<'py>(
        &self,
        flag: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
        expected: FlagType,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.decide_flag(flag, context, Argument::Absent, Argument::Read(expected))
            .value_or(flag.py(), default)
    }
}

/// An optional argument; one that is of no use is told.
#[inline]
fn read_or_told<T>(py: Python<'_>, argument: Argument<T>, wrong: &str) -> Result<Option<T>, Reason> {
    match argument {
        Argument::Absent => Ok(None),
        Argument::Read(value) => Ok(Some(value)),
        Argument::Unusable => {
            warn(py, &format!("{wrong}; the caller's default counts"));
            Err(Reason::Error)
        }
    }
}

/// The time of a call that may raise.
fn now_or_raise(now_ms: Option<&Bound<'_, PyAny>>) -> PyResult<i64> {
    match Argument::now_ms(now_ms) {
        Argument::Absent => Ok(clock_ms()),
        Argument::Read(now_ms) => Ok(now_ms),
        Argument::Unusable => Err(PyTypeError::new_err(WRONG_NOW)),
    }
}

/// Tells the logger `evenhand`. Never on the path of a decision that went well.
#[cold]
pub fn warn(py: Python<'_>, message: &str) {
    static WARN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if let Ok(warn) = WARN.import(py, "evenhand._log", "warn")
        && let Err(error) = warn.call1((message,))
    {
        error.write_unraisable(py, None);
    }
}

/// Any context as slots: those a `Context` keeps, or a dict's.
enum AnySlots {
    Kept(Arc<Fitted>),
    Own(Box<Slots>),
}

impl AnySlots {
    fn of(loaded: &Loaded, context: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(match context.cast::<Context>() {
            Ok(context) => Self::Kept(context.get().fitted(&loaded.snapshot)),
            Err(_) => Self::Own(Box::new(loaded.slots(&dict_of(context)?))),
        })
    }

    fn get(&self) -> &Slots {
        match self {
            Self::Kept(fitted) => &fitted.slots,
            Self::Own(slots) => slots,
        }
    }
}

#[pymethods]
impl Evaluator {
    /// Evaluates a flag. Nothing is logged and nothing raised.
    #[pyo3(signature = (flag, context, now_ms=None, r#type=None))]
    fn evaluate(
        &self,
        flag: &Bound<'_, PyAny>,
        context: &Bound<'_, PyAny>,
        now_ms: Option<&Bound<'_, PyAny>>,
        r#type: Option<&Bound<'_, PyAny>>,
    ) -> Decision {
        self.decide_flag(flag, context, Argument::now_ms(now_ms), Argument::flag_type(r#type))
    }

    /// Evaluates all flags of the manifest, by their keys in it. Nothing is logged and nothing raised.
    #[pyo3(signature = (context, now_ms=None))]
    fn evaluate_all<'py>(
        &self,
        context: &Bound<'py, PyAny>,
        now_ms: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = context.py();
        let all = PyDict::new(py);
        let Some(loaded) = self.loaded.load_full() else {
            return Ok(all);
        };
        self.evaluations.fetch_add(loaded.flags.len() as u64, Ordering::Relaxed);
        let outcome = guarded(|| {
            let now_ms = now_or_raise(now_ms)?;
            let slots = AnySlots::of(&loaded, context)?;
            let mut failed = Ok(());
            loaded.snapshot.evaluate_all(slots.get(), now_ms, |id, packed| {
                let Some(key) = loaded.flags.get(id.index()) else {
                    return;
                };
                let key = key.bind(py);
                let decision = Decision::made(key.as_any(), context, Arc::clone(&loaded), id, packed);
                if let Err(error) = Bound::new(py, decision).and_then(|decision| all.set_item(key, decision)) {
                    failed = Err(error);
                }
            });
            failed
        });
        let failure = match outcome {
            Ok(Ok(())) => return Ok(all),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic,
        };
        warn(py, &format!("evaluate_all: {failure}; the callers' defaults count"));
        for key in &loaded.flags {
            let key = key.bind(py);
            all.set_item(
                key,
                Decision::bare(key.as_any(), context, Some(Arc::clone(&loaded)), Reason::Error),
            )?;
        }
        Ok(all)
    }

    /// Evaluates a flag for many contexts; other threads run meanwhile.
    #[pyo3(signature = (flag, contexts, now_ms=None))]
    fn evaluate_many<'py>(
        &self,
        flag: &Bound<'py, PyAny>,
        contexts: &Bound<'py, PyAny>,
        now_ms: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = flag.py();
        let contexts: Vec<Bound<'py, PyAny>> = contexts.try_iter()?.collect::<PyResult<_>>()?;
        let loaded = self.loaded.load_full();
        let key = flag.extract::<String>().ok();
        let id = loaded
            .as_ref()
            .zip(key)
            .and_then(|(loaded, key)| loaded.snapshot.flag(&key));
        let (Some(loaded), Some(id)) = (loaded, id) else {
            let decisions = contexts
                .iter()
                .map(|context| self.decide_flag(flag, context, Argument::now_ms(now_ms), Argument::Absent));
            return PyList::new(py, decisions.collect::<Vec<_>>());
        };
        self.evaluations.fetch_add(contexts.len() as u64, Ordering::Relaxed);
        let now_ms =
            read_or_told(py, Argument::now_ms(now_ms), WRONG_NOW).map(|now_ms| now_ms.unwrap_or_else(clock_ms));
        // One that is no context leaves its caller the default, and the others what they get.
        let slots: Vec<Option<AnySlots>> = contexts
            .iter()
            .map(|context| AnySlots::of(&loaded, context).ok())
            .collect();
        let packed = py.detach(|| {
            guarded(|| {
                let decide = |slots: &Option<AnySlots>| {
                    let (slots, now_ms) = slots.as_ref().zip(now_ms.ok())?;
                    Some(loaded.snapshot.evaluate_packed(id, slots.get(), now_ms))
                };
                slots.iter().map(decide).collect::<Vec<_>>()
            })
        });
        let packed = packed.unwrap_or_else(|panic| {
            warn(py, &format!("evaluate_many: {panic}; the caller's default counts"));
            vec![None; contexts.len()]
        });
        let decisions = contexts.iter().zip(packed).map(|(context, packed)| match packed {
            Some(packed) => Decision::made(flag, context, Arc::clone(&loaded), id, packed),
            None => Decision::bare(flag, context, Some(Arc::clone(&loaded)), Reason::Error),
        });
        PyList::new(py, decisions.collect::<Vec<_>>())
    }

    /// The value of a `bool` flag, or `default`.
    fn bool_value<'py>(
        &self,
        flag: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.typed(flag, context, default, FlagType::Bool)
    }

    /// The value of a `string` flag, or `default`.
    fn string_value<'py>(
        &self,
        flag: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.typed(flag, context, default, FlagType::String)
    }

    /// The value of an `int` flag, or `default`.
    fn int_value<'py>(
        &self,
        flag: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.typed(flag, context, default, FlagType::Int)
    }

    /// The value of a `float` or `int` flag, as a float, or `default`.
    fn float_value<'py>(
        &self,
        flag: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let value = self.typed(flag, context, default.clone(), FlagType::Float)?;
        if value.is(&default) {
            return Ok(value);
        }
        // An int lies within ±(2^53 - 1): exact.
        Ok(value.extract::<f64>()?.into_pyobject(flag.py())?.into_any())
    }

    /// The value of a `json` flag, or `default`.
    fn json_value<'py>(
        &self,
        flag: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.typed(flag, context, default, FlagType::Json)
    }

    /// A decision and how it came about: every rule, every step, every leaf. For people; its shape may grow. Raises
    /// `EvenhandError` when there is no manifest.
    #[pyo3(signature = (flag, context, now_ms=None))]
    fn explain<'py>(
        &self,
        flag: &str,
        context: &Bound<'py, PyAny>,
        now_ms: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = context.py();
        let Some(loaded) = self.loaded.load_full() else {
            return Err(EvenhandError::new_err(
                "there is no manifest to explain by: hand one to update_manifest first",
            ));
        };
        let now_ms = now_or_raise(now_ms)?;
        let json = raising(|| {
            let slots = AnySlots::of(&loaded, context)?;
            py.detach(|| serde_json::to_string(&loaded.snapshot.explain(flag, slots.get(), now_ms)))
                .map_err(|error| EvenhandError::new_err(format!("the explanation could not be written: {error}")))
        })?;
        py.import(intern!(py, "json"))?
            .call_method1(intern!(py, "loads"), (json,))
    }

    /// Generation, version and environment of the manifest held; None when there is none.
    #[getter]
    fn manifest<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(loaded) = self.loaded.load_full() else {
            return Ok(None);
        };
        let dict = PyDict::new(py);
        dict.set_item("generation", loaded.snapshot.generation())?;
        dict.set_item("version", loaded.snapshot.version())?;
        dict.set_item("environment", loaded.snapshot.environment())?;
        Ok(Some(dict))
    }

    /// The keys of the manifest's flags (hashed in a client's manifest), in byte order.
    fn flags(&self, py: Python<'_>) -> Vec<Py<PyString>> {
        let loaded = self.loaded.load_full();
        loaded.map_or_else(Vec::new, |loaded| {
            loaded.flags.iter().map(|key| key.clone_ref(py)).collect()
        })
    }

    /// How often an attribute of a dict that a rule asked for was there but unusable, by name; at most 1,000 names.
    fn unusable_attributes(&self) -> BTreeMap<String, u64> {
        self.unusable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
