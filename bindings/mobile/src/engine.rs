//! Which manifest is held: envelopes opened, verified and compiled.

use std::sync::{Arc, Mutex, PoisonError};

use evenhand_core::envelope::{EnvelopeError, Held, open_envelope};
use evenhand_core::id_list::IdList;
use evenhand_core::sign::{KeySet, PublicKey};
use evenhand_core::{Audience, Report, Snapshot};

use crate::error::{Answer, NativeError, guard};
use crate::records::EngineSettings;
use crate::snapshot::NativeSnapshot;

/// Public keys by id; none where there are none: an empty set would accept nothing at all.
pub(crate) fn key_set(keys: impl IntoIterator<Item = (String, String)>) -> Answer<Option<KeySet>> {
    let mut set = KeySet::new();
    let mut any = false;
    for (id, key) in keys {
        let key =
            PublicKey::from_text(&key).map_err(|error| NativeError::invalid(format!("public key `{id}`: {error}")))?;
        set.insert(&id, key);
        any = true;
    }
    Ok(any.then_some(set))
}

pub(crate) fn audience_of(name: Option<&str>) -> Answer<Option<Audience>> {
    match name {
        None => Ok(None),
        Some("server") => Ok(Some(Audience::Server)),
        Some("client") => Ok(Some(Audience::Client)),
        Some(other) => Err(NativeError::invalid(format!(
            "audience is `{other}`: say `server` or `client`"
        ))),
    }
}

/// Opens manifests one after the other and remembers which it holds.
#[derive(uniffi::Object)]
pub struct NativeEngine {
    keys: Option<KeySet>,
    environment: Option<String>,
    audience: Option<Audience>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    lists: Vec<IdList>,
    report: Report,
}

#[uniffi::export]
impl NativeEngine {
    /// An engine without a manifest.
    #[uniffi::constructor]
    pub fn new(settings: EngineSettings) -> Answer<Arc<Self>> {
        guard(|| {
            Ok(Arc::new(Self {
                keys: key_set(settings.keys)?,
                environment: settings.environment,
                audience: audience_of(settings.audience.as_deref())?,
                state: Mutex::default(),
            }))
        })
    }

    /// Takes the blob of an id list, for manifests handed in afterwards.
    pub fn add_list(&self, blob: Vec<u8>) -> Answer<()> {
        guard(|| {
            let list = IdList::open_any(blob.into()).map_err(|error| NativeError::refused("bad_list", error))?;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.lists.retain(|other| other.sha256() != list.sha256());
            state.lists.push(list);
            Ok(())
        })
    }

    /// The snapshot of a manifest, bare or signed. Refused, the engine keeps what it holds.
    pub fn update(&self, manifest: Vec<u8>) -> Answer<Arc<NativeSnapshot>> {
        guard(|| {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let told = |error: EnvelopeError| NativeError::refused(error.code(), error);
            let opened = open_envelope(&manifest, self.keys.as_ref(), state.held.as_ref()).map_err(told)?;
            opened
                .is_for(self.environment.as_deref(), self.audience)
                .map_err(told)?;
            let (snapshot, report) = Snapshot::compile(opened.manifest, &state.lists)
                .map_err(|error| NativeError::refused("bad_manifest", error))?;
            state.held = Some(opened.held());
            state.report = report;
            Ok(NativeSnapshot::of(Arc::new(snapshot)))
        })
    }

    /// What compiling the manifest held has found, as JSON:
    /// `{"faults":[{"flag","path","line","column","message","remedy"}…],"missing_lists":[{"list","sha256","refused"}…]}`.
    pub fn report_json(&self) -> Answer<String> {
        guard(|| {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            serde_json::to_string(&state.report).map_err(NativeError::invalid)
        })
    }
}
