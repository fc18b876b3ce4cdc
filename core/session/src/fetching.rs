//! Which manifest is held, and when the next one is fetched.

use std::sync::Arc;

use evenhand_core::Snapshot;
use evenhand_core::envelope::Held;
use evenhand_core::event::USER_ID;

use crate::action::Action;
use crate::clock::Moment;

/// The manifest in use.
#[derive(Debug)]
pub(crate) struct Current {
    /// As it was delivered: for the spool, and to compile again when a list comes.
    pub envelope: Arc<[u8]>,
    pub held: Held,
    pub snapshot: Arc<Snapshot>,
    pub unit_types: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Fetching {
    pub current: Option<Current>,
    /// The unit types that count without a manifest.
    before_any: Vec<String>,
    /// Of the manifest in use.
    pub etag: Option<String>,
    /// Whether the session fetches at all.
    enabled: bool,
    due: Moment,
    under_way: Option<(u64, Moment)>,
    pub failures: u32,
    /// The wait until `due` was asked for by the server, or follows a denial: an announcement does not shorten it.
    pub firm: bool,
    /// Generation and version announced, above the one held.
    pub announced: Option<(u64, u64)>,
    /// Answers since then that did not bring it.
    pub unmet: u32,
    /// Announced while a fetch was under way: its answer may just have been too early.
    pub announced_meanwhile: bool,
    /// When the server last confirmed the manifest in use.
    pub confirmed: Option<Moment>,
    began: Moment,
    pub stale: bool,
}

impl Fetching {
    pub fn new(enabled: bool, now: Moment) -> Self {
        Self {
            current: None,
            before_any: vec![USER_ID.to_owned()],
            etag: None,
            enabled,
            due: now,
            under_way: None,
            failures: 0,
            firm: false,
            announced: None,
            unmet: 0,
            announced_meanwhile: false,
            confirmed: None,
            began: now,
            stale: false,
        }
    }

    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// When the next fetch is due; none while one is under way.
    pub fn due(&self) -> Option<Moment> {
        (self.enabled && self.under_way.is_none()).then_some(self.due)
    }

    pub fn is_due(&self, now: Moment) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    pub fn set_due(&mut self, due: Moment, firm: bool) {
        self.due = due;
        self.firm = firm;
    }

    pub fn sooner(&mut self, due: Moment) {
        self.due = self.due.min(due);
    }

    pub fn begin(&mut self, ticket: u64, now: Moment) -> Action {
        self.under_way = Some((ticket, now));
        self.announced_meanwhile = false;
        let etag = self.etag.clone();
        Action::FetchManifest { ticket, etag }
    }

    pub fn under_way(&self) -> Option<(u64, Moment)> {
        self.under_way
    }

    /// Ends the fetch of that ticket, if it is the one under way.
    pub fn end(&mut self, ticket: u64) -> bool {
        self.under_way.take_if(|(own, _)| *own == ticket).is_some()
    }

    pub fn forget_under_way(&mut self) {
        self.under_way = None;
    }

    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.as_ref().map(|current| Arc::clone(&current.snapshot))
    }

    /// Generation and version of the manifest in use.
    pub fn version(&self) -> Option<(u64, u64)> {
        self.current
            .as_ref()
            .map(|current| (current.held.generation, current.held.version))
    }

    pub fn issued_at_ms(&self) -> Option<i64> {
        self.current.as_ref().map(|current| current.snapshot.issued_at_ms())
    }

    pub fn unit_types(&self) -> &[String] {
        self.current
            .as_ref()
            .map_or(&self.before_any, |current| &current.unit_types)
    }

    pub fn age(&self, now: Moment) -> Option<i64> {
        self.confirmed.map(|confirmed| now.saturating_sub(confirmed))
    }

    /// Since when nothing was confirmed.
    pub fn unconfirmed_since(&self) -> Moment {
        self.confirmed.unwrap_or(self.began)
    }

    /// Whether an announced manifest is still above the one held.
    pub fn is_behind(&self) -> bool {
        self.announced > self.version()
    }
}
