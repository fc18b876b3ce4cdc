//! A manifest in memory, and decisions by it: no network, no clock but the caller's, no exposures.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenhand_core::envelope::{Held, open_envelope};
use evenhand_core::id_list::IdList;
use evenhand_core::sign::{KeySet, PublicKey};
use evenhand_core::{Audience, ListSource, Reason, Report, Snapshot};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::evaluator::Evaluator;
use crate::guard::{ManifestError, raising};
use crate::loaded::Loaded;

/// Decides flags by a manifest held in memory. Decisions never raise: whatever is wrong, the caller gets a decision and its reason.
#[pyclass(frozen, subclass, extends = Evaluator, module = "evenhand")]
pub struct Engine {
    keys: Option<KeySet>,
    environment: Option<String>,
    audience: Option<Audience>,
    /// For moments between updates: no decision takes it, nothing compiles under it (a fork would leave a child with a lock that
    /// nobody gives back), and no Python runs under it.
    held: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    lists: Lists,
    report: Arc<Report>,
    /// How many updates there were.
    updates: u64,
}

/// Id lists by their address. Cloning shares them.
#[derive(Clone, Default)]
struct Lists(HashMap<String, IdList>);

impl ListSource for Lists {
    fn list(&self, sha256: &str) -> Option<IdList> {
        self.0.get(sha256).cloned()
    }
}

/// Public keys by id.
pub fn key_set(keys: Option<HashMap<String, String>>) -> PyResult<Option<KeySet>> {
    let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
        return Ok(None);
    };
    let mut set = KeySet::new();
    for (id, text) in &keys {
        let key =
            PublicKey::from_text(text).map_err(|error| PyValueError::new_err(format!("keys[{id:?}]: {error}")))?;
        set.insert(id, key);
    }
    Ok(Some(set))
}

/// Who a manifest must be for.
pub fn audience_of(name: Option<&str>) -> PyResult<Option<Audience>> {
    match name {
        None => Ok(None),
        Some("server") => Ok(Some(Audience::Server)),
        Some("client") => Ok(Some(Audience::Client)),
        Some(other) => Err(PyValueError::new_err(format!(
            "the audience is \"server\" or \"client\", not {other:?}"
        ))),
    }
}

impl Engine {
    fn compile(
        &self,
        bytes: &[u8],
        held: Option<&Held>,
        lists: &Lists,
    ) -> Result<(Arc<Snapshot>, Held, Report), (String, String)> {
        let told = |error: &dyn std::fmt::Display, code: &str| (code.to_owned(), error.to_string());
        let opened = open_envelope(bytes, self.keys.as_ref(), held).map_err(|error| told(&error, error.code()))?;
        opened
            .is_for(self.environment.as_deref(), self.audience)
            .map_err(|error| told(&error, error.code()))?;
        let held = opened.held();
        let (snapshot, report) =
            Snapshot::compile(opened.manifest, lists).map_err(|error| told(&error, "manifest_error"))?;
        Ok((Arc::new(snapshot), held, report))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self) -> Arc<Report> {
        Arc::clone(&self.state().report)
    }

    fn update(&self, py: Python<'_>, evaluator: &Evaluator, manifest: &[u8]) -> PyResult<()> {
        loop {
            let (held, lists, updates) = {
                let state = self.state();
                (state.held.clone(), state.lists.clone(), state.updates)
            };
            let (snapshot, held, report) = raising(|| {
                py.detach(|| self.compile(manifest, held.as_ref(), &lists))
                    .map_err(ManifestError::new_err)
            })?;
            let loaded = Arc::new(Loaded::new(py, snapshot)?);
            let mut state = self.state();
            if state.updates != updates {
                // Another thread's manifest came first: this one is judged anew beside it.
                continue;
            }
            state.updates = updates.wrapping_add(1);
            state.held = Some(held);
            state.report = Arc::new(report);
            evaluator.loaded.store(Some(loaded));
            return Ok(());
        }
    }

    fn take_list(&self, py: Python<'_>, blob: &[u8]) -> PyResult<()> {
        let list = raising(|| {
            py.detach(|| IdList::open_any(blob.into()))
                .map_err(|error| ManifestError::new_err(("bad_list", error.to_string())))
        })?;
        self.state().lists.0.insert(list.sha256().to_owned(), list);
        Ok(())
    }
}

#[pymethods]
impl Engine {
    /// Raises `ValueError` for a key that can't be read, `ManifestError` for a manifest or list that is refused.
    #[new]
    #[pyo3(signature = (manifest=None, *, keys=None, environment=None, audience=None, id_lists=None))]
    fn new(
        py: Python<'_>,
        manifest: Option<&[u8]>,
        keys: Option<HashMap<String, String>>,
        environment: Option<String>,
        audience: Option<&str>,
        id_lists: Option<Vec<Vec<u8>>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let evaluator = Evaluator::new(Reason::NoManifest);
        let engine = Self {
            keys: key_set(keys)?,
            environment,
            audience: audience_of(audience)?,
            held: Mutex::default(),
        };
        for list in id_lists.into_iter().flatten() {
            engine.take_list(py, &list)?;
        }
        if let Some(manifest) = manifest {
            engine.update(py, &evaluator, manifest)?;
        }
        Ok(PyClassInitializer::from(evaluator).add_subclass(engine))
    }

    /// Takes the blob of an id list, for manifests handed in afterwards. Raises `ManifestError` when it is none.
    fn add_list(&self, py: Python<'_>, blob: &[u8]) -> PyResult<()> {
        self.take_list(py, blob)
    }

    /// Puts a manifest, bare or signed, in the place of the one held, as a whole. Raises `ManifestError` when it is refused; the
    /// engine then keeps what it holds. Other threads run, and decide, meanwhile.
    fn update_manifest(slf: &Bound<'_, Self>, manifest: &[u8]) -> PyResult<()> {
        slf.get().update(slf.py(), slf.as_super().get(), manifest)
    }

    /// What did not compile in the manifest held: that flag answers `off` with UNSUPPORTED, the others are as ever.
    fn faults<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let report = self.report();
        let faults = report.faults.iter().map(|fault| {
            let dict = PyDict::new(py);
            dict.set_item("flag", fault.flag.as_deref())?;
            dict.set_item("path", &fault.path)?;
            dict.set_item("line", fault.line)?;
            dict.set_item("column", fault.column)?;
            dict.set_item("message", &fault.message)?;
            dict.set_item("remedy", &fault.remedy)?;
            Ok(dict)
        });
        faults.collect()
    }

    /// The keys of the flags that did not compile, in byte order.
    fn unsupported(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.report().unsupported().map(str::to_owned).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Id lists that the manifest names and that were not there, or refused: flags that need them answer NOT_READY.
    fn missing_lists<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let report = self.report();
        let missing = report.missing_lists.iter().map(|list| {
            let dict = PyDict::new(py);
            dict.set_item("list", &list.list)?;
            dict.set_item("sha256", &list.sha256)?;
            dict.set_item("refused", list.refused.as_deref())?;
            Ok(dict)
        });
        missing.collect()
    }
}
