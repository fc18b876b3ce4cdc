//! Which manifest is held: envelopes opened, verified and compiled.

use std::collections::HashMap;
use std::sync::Arc;

use evenhand_core::envelope::{EnvelopeError, Held, open_envelope};
use evenhand_core::id_list::IdList;
use evenhand_core::sign::{KeySet, PublicKey};
use evenhand_core::{Audience, Report, Snapshot};
use napi::bindgen_prelude::{Result, Uint8Array};
use napi_derive::napi;

use crate::snapshot::NativeSnapshot;

/// Public keys by id. The error names the key that can't be read.
pub fn key_set(keys: impl IntoIterator<Item = (String, String)>) -> Result<KeySet> {
    let mut set = KeySet::new();
    for (id, key) in keys {
        let key = PublicKey::from_text(&key)
            .map_err(|error| napi::Error::from_reason(format!("public key `{id}`: {error}")))?;
        set.insert(&id, key);
    }
    Ok(set)
}

/// The audience of that name.
pub fn audience_of(name: Option<&str>) -> Result<Option<Audience>> {
    match name {
        None => Ok(None),
        Some("server") => Ok(Some(Audience::Server)),
        Some("client") => Ok(Some(Audience::Client)),
        Some(other) => Err(napi::Error::from_reason(format!(
            "audience is `{other}`: say `server` or `client`"
        ))),
    }
}

#[napi(object)]
pub struct EngineSettings {
    /// Public keys by id, base64url; none: bare manifests are accepted.
    pub keys: HashMap<String, String>,
    pub environment: Option<String>,
    /// `server` or `client`.
    pub audience: Option<String>,
}

/// What became of a manifest that was handed in.
#[napi(object)]
pub struct Refusal {
    pub code: String,
    pub message: String,
}

/// Opens manifests one after the other and remembers which it holds.
#[napi]
pub struct NativeEngine {
    keys: Option<KeySet>,
    environment: Option<String>,
    audience: Option<Audience>,
    lists: Vec<IdList>,
    held: Option<Held>,
    report: Report,
    refusal: Option<(String, String)>,
}

#[napi]
impl NativeEngine {
    #[napi(constructor, catch_unwind)]
    pub fn new(settings: EngineSettings) -> Result<Self> {
        // None given: bare manifests are accepted. An empty set would accept nothing at all.
        let keys = (!settings.keys.is_empty())
            .then(|| key_set(settings.keys))
            .transpose()?;
        let audience = audience_of(settings.audience.as_deref())?;
        Ok(Self {
            keys,
            environment: settings.environment,
            audience,
            lists: Vec::new(),
            held: None,
            report: Report::default(),
            refusal: None,
        })
    }

    /// Takes a blob of ids for the manifests to come. The answer is why it was refused.
    #[napi(catch_unwind)]
    pub fn add_list(&mut self, blob: Uint8Array) -> Option<Refusal> {
        match IdList::open_any(Arc::from(&*blob)) {
            Ok(list) => {
                self.lists.retain(|other| other.sha256() != list.sha256());
                self.lists.push(list);
                None
            }
            Err(error) => Some(Refusal {
                code: "bad_list".to_owned(),
                message: error.to_string(),
            }),
        }
    }

    /// The snapshot of a manifest; none when it is refused (see `refusal`), and then the engine keeps what it holds.
    #[napi(catch_unwind)]
    pub fn update(&mut self, bytes: Uint8Array) -> Option<NativeSnapshot> {
        match self.compile(&bytes) {
            Ok((snapshot, report, held)) => {
                self.report = report;
                self.held = Some(held);
                self.refusal = None;
                Some(NativeSnapshot::of(Arc::new(snapshot)))
            }
            Err(refusal) => {
                self.refusal = Some(refusal);
                None
            }
        }
    }

    fn compile(&self, bytes: &[u8]) -> core::result::Result<(Snapshot, Report, Held), (String, String)> {
        let told = |error: EnvelopeError| (error.code().to_owned(), error.to_string());
        let opened = open_envelope(bytes, self.keys.as_ref(), self.held.as_ref()).map_err(told)?;
        opened
            .is_for(self.environment.as_deref(), self.audience)
            .map_err(told)?;
        let (snapshot, report) = Snapshot::compile(opened.manifest, &self.lists)
            .map_err(|error| ("bad_manifest".to_owned(), error.to_string()))?;
        Ok((snapshot, report, opened.held()))
    }

    /// Why the last manifest was refused; none when it was taken.
    #[napi(catch_unwind)]
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal.clone().map(|(code, message)| Refusal { code, message })
    }

    /// What compiling the manifest held has found, as JSON.
    #[napi(catch_unwind)]
    pub fn report(&self) -> Result<String> {
        serde_json::to_string(&self.report).map_err(|error| napi::Error::from_reason(error.to_string()))
    }
}
