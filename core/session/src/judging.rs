//! Judging a manifest: whether it may follow the one in use, and what it compiles to.
//!
//! It needs little of the session, so a host whose threads share one can do it before it takes the session's lock: compiling a great
//! manifest takes tens of milliseconds, and nobody's `expose` should wait for them.

use core::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evenhand_core::envelope::{Held, open_envelope};
use evenhand_core::event::USER_ID;
use evenhand_core::id_list::IdList;
use evenhand_core::sign::KeySet;
use evenhand_core::wire::Audience;
use evenhand_core::{ListSource, Report, Snapshot};

use crate::Session;
use crate::fetching::Current;
use crate::manifests::UpdateError;

/// A manifest that may be taken.
#[derive(Debug)]
pub(crate) struct Judged {
    pub current: Current,
    pub report: Report,
    /// The addresses of the id lists it names.
    pub named: BTreeSet<String>,
}

/// None for the manifest in use.
pub(crate) type Verdict = Result<Option<Judged>, UpdateError>;

/// What judging needs of a session.
pub(crate) struct Judge<'a> {
    pub keys: Option<&'a KeySet>,
    pub environment: Option<&'a str>,
    pub audience: Option<Audience>,
    pub in_use: Option<&'a Held>,
    pub lists: &'a BTreeMap<String, IdList>,
}

impl Judge<'_> {
    pub fn judge(&self, bytes: &[u8]) -> Verdict {
        let opened = open_envelope(bytes, self.keys, self.in_use).map_err(UpdateError::Envelope)?;
        opened
            .is_for(self.environment, self.audience)
            .map_err(UpdateError::Envelope)?;
        if self.in_use == Some(&opened.held()) {
            return Ok(None);
        }
        let lists = Asked::new(self.lists);
        let (snapshot, report) = Snapshot::compile(opened.manifest, &lists).map_err(UpdateError::Manifest)?;
        Ok(Some(Judged {
            current: Current {
                envelope: bytes.into(),
                held: opened.held(),
                unit_types: unit_types(&snapshot),
                snapshot: Arc::new(snapshot),
            },
            report,
            named: lists.named.into_inner(),
        }))
    }
}

/// The lists for the compiler; notes which ones it asks for.
pub(crate) struct Asked<'a> {
    lists: &'a BTreeMap<String, IdList>,
    named: RefCell<BTreeSet<String>>,
}

impl<'a> Asked<'a> {
    pub fn new(lists: &'a BTreeMap<String, IdList>) -> Self {
        Self {
            lists,
            named: RefCell::default(),
        }
    }
}

impl ListSource for Asked<'_> {
    fn list(&self, sha256: &str) -> Option<IdList> {
        self.named.borrow_mut().insert(sha256.to_owned());
        self.lists.get(sha256).cloned()
    }
}

fn unit_types(snapshot: &Snapshot) -> Vec<String> {
    let units = snapshot.experiments().map(|experiment| experiment.unit);
    let all: BTreeSet<&str> = units.chain([USER_ID]).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// What [`Session::preparation`] gives: all that judging a manifest takes, so that it can be done without the session.
#[derive(Debug)]
pub struct Preparation {
    keys: Option<KeySet>,
    environment: Option<String>,
    audience: Option<Audience>,
    in_use: Option<Held>,
    lists: BTreeMap<String, IdList>,
}

impl Preparation {
    /// Judges and compiles a manifest, for [`Session::prepare`].
    pub fn judge(self, manifest: &[u8]) -> Prepared {
        let judge = Judge {
            keys: self.keys.as_ref(),
            environment: self.environment.as_deref(),
            audience: self.audience,
            in_use: self.in_use.as_ref(),
            lists: &self.lists,
        };
        let verdict = judge.judge(manifest);
        let manifest = match &verdict {
            Ok(Some(judged)) => Arc::clone(&judged.current.envelope),
            _ => manifest.into(),
        };
        Prepared {
            manifest,
            in_use: self.in_use,
            lists: self.lists.into_keys().collect(),
            verdict,
        }
    }
}

/// A manifest judged ahead.
#[derive(Debug)]
pub struct Prepared {
    manifest: Arc<[u8]>,
    in_use: Option<Held>,
    /// Addresses: they say what is in a list.
    lists: Vec<String>,
    verdict: Verdict,
}

impl Session {
    /// What it takes to judge a manifest without the session. A host whose threads share a session behind a lock asks for it, lets the
    /// lock go, calls [`Preparation::judge`] with the manifest, takes the lock, hands the result to [`Session::prepare`], and
    /// reports the manifest as ever.
    pub fn preparation(&self) -> Preparation {
        Preparation {
            keys: self.options.keys.clone(),
            environment: self.options.environment.clone(),
            audience: self.options.audience,
            in_use: self.fetching.current.as_ref().map(|current| current.held.clone()),
            lists: self.lists.held().clone(),
        }
    }

    /// Keeps what was judged ahead for the next manifest reported ([`Session::manifest_response`],
    /// [`Session::update_manifest`], [`Session::restore`]). It is used if that is the manifest judged, and nothing it was judged by
    /// has changed meanwhile: it saves time and changes nothing else.
    pub fn prepare(&mut self, prepared: Prepared) {
        self.prepared = Some(prepared);
    }

    /// What the manifest in use would be.
    pub(crate) fn judge_manifest(&mut self, bytes: &[u8]) -> Verdict {
        let in_use = self.fetching.current.as_ref().map(|current| &current.held);
        let lists = self.lists.held();
        let fits = |prepared: &Prepared| {
            prepared.in_use.as_ref() == in_use && prepared.lists.iter().eq(lists.keys()) && *prepared.manifest == *bytes
        };
        if let Some(prepared) = self.prepared.take().filter(fits) {
            return prepared.verdict;
        }
        Judge {
            keys: self.options.keys.as_ref(),
            environment: self.options.environment.as_deref(),
            audience: self.options.audience,
            in_use,
            lists,
        }
        .judge(bytes)
    }
}

#[cfg(test)]
mod tests {
    use evenhand_core::id_list::IdListBuilder;
    use evenhand_core::{Context, Reason};

    use crate::{Options, Session};

    #[test]
    fn a_list_that_came_after_the_preparation_is_in_the_snapshot() {
        let mut builder = IdListBuilder::new("salt");
        builder.add("user-1").unwrap();
        let list = builder.build();
        let manifest = |version: u64| {
            format!(
                r#"{{"schema":1,"environment":"e","audience":"server","generation":1,"version":{version},"issued_at_ms":0,
                "lists":{{"ids":{{"salt":"salt","sha256":"{}","count":1}}}},
                "flags":{{"f":{{"type":"bool","off":"no","default":"no","variations":[{{"key":"no","value":false}},{{"key":"yes","value":true}}],
                "rules":[{{"id":"r","kind":"targeted","serve":"yes","when":{{"op":"in_list","unit":"user_id","list":"ids"}}}}]}}}}}}"#,
                list.sha256
            )
        };
        let mut session = Session::new(Options::default(), [7; 16], 0);
        session.update_manifest(manifest(1).as_bytes(), 0).unwrap();
        let before = session.preparation();
        assert!(session.provide_list(&list.bytes, 1));
        session.prepare(before.judge(manifest(2).as_bytes()));
        session.update_manifest(manifest(2).as_bytes(), 2).unwrap();
        let decision = session
            .snapshot()
            .unwrap()
            .evaluate("f", &Context::new().with("user_id", "user-1"), 3)
            .reason;
        assert_eq!(decision, Reason::Targeted);
    }
}
