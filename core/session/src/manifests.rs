//! Manifests and id lists as they come: answers judged, snapshots made, the next fetch planned.

use core::fmt;
use std::sync::Arc;

use evenhand_core::envelope::{EnvelopeError, open_envelope};
use evenhand_core::id_list::IdList;
use evenhand_core::{ManifestError, Report, Snapshot};

use crate::Session;
use crate::answer::{Answer, retry_after_ms};
use crate::clock::{Moment, ms};
use crate::diagnostics::Code;
use crate::judging::{Asked, Judged};

/// Answers without an announced manifest after which the announcement is forgotten.
const UNMET_ANNOUNCEMENTS: u32 = 5;

/// Why a manifest was refused. The one in use stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateError {
    /// Signature, environment, audience or version.
    Envelope(EnvelopeError),
    /// The manifest itself.
    Manifest(ManifestError),
}

impl UpdateError {
    /// A stable name for logs and metrics: the envelope error's, or `manifest_error`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Envelope(error) => error.code(),
            Self::Manifest(_) => "manifest_error",
        }
    }
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(error) => error.fmt(f),
            Self::Manifest(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for UpdateError {}

/// A manifest taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// Whether there is a new snapshot; not when it was the manifest in use.
    pub changed: bool,
    /// What compiling it found; empty when nothing changed.
    pub report: Report,
}

impl Session {
    /// Takes a manifest the host has from elsewhere: a bootstrap file, or its own channel. It goes through the same checks as a
    /// fetched one, and does not change when the next is fetched.
    ///
    /// # Errors
    /// The manifest is refused, and a diagnostic says so too; the one in use stays.
    pub fn update_manifest(&mut self, bytes: &[u8], now_ms: i64) -> Result<Updated, UpdateError> {
        let now = self.tick(now_ms);
        let updated = self.take_manifest(bytes, now);
        match &updated {
            Ok(_) if !self.fetching.is_enabled() => self.confirm(now),
            Ok(_) => {}
            Err(error) => self.refuse(error),
        }
        updated
    }

    /// Reports the answer to `FetchManifest`: the status, the headers `ETag` and `Retry-After` as they came, and the body,
    /// unpacked.
    pub fn manifest_response(
        &mut self,
        ticket: u64,
        status: u16,
        etag: Option<&str>,
        retry_after: Option<&str>,
        body: &[u8],
        now_ms: i64,
    ) {
        let now = self.tick(now_ms);
        if !self.fetching.end(ticket) {
            return self.unknown_report(ticket);
        }
        match Answer::of(status) {
            Answer::Good if status == 200 => match self.take_manifest(body, now) {
                Ok(_) => {
                    if let Some(etag) = etag {
                        self.fetching.etag = Some(etag.to_owned());
                    }
                    self.confirm_by_fetch(now);
                    self.plan_after_answer(now);
                }
                Err(UpdateError::Envelope(error @ EnvelopeError::Older { .. })) => {
                    self.say(Code::ManifestOlder, error.to_string());
                    self.plan_after_answer(now);
                }
                Err(error) => {
                    self.refuse(&error);
                    self.manifest_failed(now, None);
                }
            },
            Answer::NotModified if self.fetching.current.is_some() => {
                self.confirm_by_fetch(now);
                self.plan_after_answer(now);
            }
            Answer::Denied | Answer::Body => {
                self.say(
                    Code::ManifestDenied,
                    format!("the server answers {status} to the manifest's fetch: check the key and the address; tried again in {} s", self.options.denied_retry_ms.checked_div(1_000).unwrap_or(0)),
                );
                self.count_manifest_failure();
                let wait = self.jitter.shorter(ms(self.options.denied_retry_ms));
                self.fetching.set_due(now.saturating_add(wait), true);
            }
            Answer::Good | Answer::NotModified | Answer::Passing => {
                self.say(
                    Code::ManifestFetchFailed,
                    format!("the server answers {status} to the manifest's fetch; tried again"),
                );
                self.manifest_failed(now, retry_after_ms(retry_after));
            }
        }
    }

    /// Reports that `FetchManifest`, `FetchList` or `OpenStream` got no answer at all. `message` says why, for the log.
    pub fn fetch_failed(&mut self, ticket: u64, message: &str, now_ms: i64) {
        self.tick(now_ms);
        if !self.fail(ticket, None, message) {
            self.unknown_report(ticket);
        }
    }

    /// Reports the answer to `FetchList`.
    pub fn list_response(&mut self, ticket: u64, status: u16, retry_after: Option<&str>, body: &[u8], now_ms: i64) {
        let now = self.tick(now_ms);
        let Some(sha256) = self.lists.end(ticket) else {
            return self.unknown_report(ticket);
        };
        match Answer::of(status) {
            Answer::Good => match open_list(body, &sha256) {
                Ok(list) => {
                    self.lists.got(list);
                    self.compile_if_settled();
                }
                Err(why) => {
                    self.say(
                        Code::ListRefused,
                        format!("the id list {sha256} is refused: {why}; tried again"),
                    );
                    self.list_failed(&sha256, None, now);
                }
            },
            Answer::Denied | Answer::Body | Answer::NotModified => {
                self.say(
                    Code::ListDenied,
                    format!("the server answers {status} to the id list {sha256}: check the key, or publish again; flags that use it answer NOT_READY; tried again in {} s", self.options.denied_retry_ms.checked_div(1_000).unwrap_or(0)),
                );
                self.lists.failed(&sha256);
                let wait = self.jitter.shorter(ms(self.options.denied_retry_ms));
                self.lists.retry_at(&sha256, now.saturating_add(wait));
                self.compile_if_settled();
            }
            Answer::Passing => {
                self.say(
                    Code::ListFetchFailed,
                    format!("the server answers {status} to the id list {sha256}; tried again"),
                );
                self.list_failed(&sha256, retry_after_ms(retry_after), now);
            }
        }
    }

    /// Gives the session an id list the host has kept, before it asks. Whether the manifest names it and it is what its address
    /// says; a list that nobody wants is not kept.
    pub fn provide_list(&mut self, bytes: &[u8], now_ms: i64) -> bool {
        self.tick(now_ms);
        let Ok(list) = IdList::open_any(bytes.into()) else {
            return false;
        };
        if !self.lists.is_wanted(list.sha256()) {
            return false;
        }
        self.lists.got(list);
        self.compile_if_settled();
        true
    }

    /// The addresses of the id lists that the manifest in use names, ascending: what a host that keeps lists should keep.
    pub fn list_addresses(&self) -> Vec<&str> {
        self.lists.addresses().into_iter().collect()
    }

    /// Says that a newer manifest is published, heard on whatever channel (the session reads its own stream itself). It is
    /// fetched after a moment's jitter, if it is above the one in use.
    pub fn announced(&mut self, generation: u64, version: u64, now_ms: i64) {
        let now = self.tick(now_ms);
        let version = Some((generation, version));
        if version <= self.fetching.version() || version <= self.fetching.announced {
            return;
        }
        self.fetching.announced = version;
        self.fetching.unmet = 0;
        if self.fetching.under_way().is_some() {
            self.fetching.announced_meanwhile = true;
        } else if !self.fetching.firm {
            let wait = self.jitter.up_to(ms(self.options.announce_jitter_ms));
            self.fetching.sooner(now.saturating_add(wait));
        }
    }

    /// The action of a ticket got no answer. Whether it was under way.
    pub(crate) fn fail(&mut self, ticket: u64, retry_after: Option<i64>, message: &str) -> bool {
        let now = self.clock.now();
        if self.fetching.end(ticket) {
            self.say(
                Code::ManifestFetchFailed,
                format!("the manifest could not be fetched: {message}; tried again"),
            );
            self.manifest_failed(now, retry_after);
        } else if let Some(sha256) = self.lists.end(ticket) {
            self.say(
                Code::ListFetchFailed,
                format!("the id list {sha256} could not be fetched: {message}; tried again"),
            );
            self.list_failed(&sha256, retry_after, now);
        } else if self.stream.end(ticket) {
            self.stream_failed(retry_after, message, now);
        } else if self.delivery.end(ticket) {
            self.say(
                Code::EventsSendFailed,
                format!("events could not be sent: {message}; sent again"),
            );
            self.batch_nack(retry_after, now);
        } else {
            return false;
        }
        true
    }

    pub(crate) fn schedule_after_fork(&mut self, now: Moment) {
        self.fetching.forget_under_way();
        self.fetching.failures = 0;
        let wait = match self.fetching.current {
            Some(_) => self.poll_wait(),
            None => 0,
        };
        self.fetching.set_due(now.saturating_add(wait), false);
    }

    pub(crate) fn stale_at(&self) -> Option<Moment> {
        let since = self.fetching.unconfirmed_since();
        (!self.fetching.stale).then(|| since.saturating_add(ms(self.options.stale_after_ms)))
    }

    pub(crate) fn watch_staleness(&mut self, now: Moment) {
        if self.stale_at().is_some_and(|at| at <= now) {
            self.fetching.stale = true;
            let seconds = self.options.stale_after_ms.checked_div(1_000).unwrap_or(0);
            self.say(
                Code::ManifestStale,
                format!("the manifest has not been confirmed for {seconds} s; decisions go on with the one in use: check that the server can be reached"),
            );
        }
    }

    /// Takes a manifest if it may follow the one in use.
    pub(crate) fn take_manifest(&mut self, bytes: &[u8], now: Moment) -> Result<Updated, UpdateError> {
        let Judged { current, report, named } = match self.judge_manifest(bytes) {
            Ok(Some(judged)) => judged,
            Ok(None) => {
                return Ok(Updated {
                    changed: false,
                    report: Report::default(),
                });
            }
            Err(error) => {
                self.counts.manifest_refusals = self.counts.manifest_refusals.saturating_add(1);
                return Err(error);
            }
        };
        self.fetching.etag = Some(format!("\"{}\"", current.held.content_hash));
        self.fetching.current = Some(current);
        self.counts.snapshots = self.counts.snapshots.saturating_add(1);
        self.lists.adopt(&named, now);
        self.tell_report(&report);
        Ok(Updated { changed: true, report })
    }

    /// Compiles the manifest in use with the lists that have come.
    fn compile_if_settled(&mut self) {
        if !self.lists.is_settled() {
            return;
        }
        self.lists.compiled();
        let Some(current) = &self.fetching.current else { return };
        // Accepted before: neither signature nor version is looked at again.
        let Ok(opened) = open_envelope(&current.envelope, None, None) else {
            return;
        };
        let Ok((snapshot, report)) = Snapshot::compile(opened.manifest, &Asked::new(self.lists.held())) else {
            return;
        };
        if let Some(current) = &mut self.fetching.current {
            current.snapshot = Arc::new(snapshot);
            self.counts.snapshots = self.counts.snapshots.saturating_add(1);
        }
        for list in report.missing_lists.iter().filter(|list| list.refused.is_some()) {
            let why = list.refused.as_deref().unwrap_or_default();
            self.say(
                Code::ListRefused,
                format!("the id list `{}` is refused: {why}", list.list),
            );
        }
    }

    fn tell_report(&mut self, report: &Report) {
        if let Some(first) = report.faults.first() {
            let (count, unsupported) = (report.faults.len(), report.unsupported().count());
            self.say(
                Code::ManifestFaults,
                format!("{count} faults in the manifest, {unsupported} flags answer UNSUPPORTED; the first: {first}"),
            );
        }
    }

    fn refuse(&mut self, error: &UpdateError) {
        self.say(Code::ManifestRefused, error.to_string());
    }

    fn confirm_by_fetch(&mut self, now: Moment) {
        self.counts.manifest_confirmations = self.counts.manifest_confirmations.saturating_add(1);
        self.confirm(now);
    }

    fn confirm(&mut self, now: Moment) {
        self.fetching.confirmed = Some(now);
        if core::mem::take(&mut self.fetching.stale) {
            self.say(Code::ManifestFresh, "the server confirms the manifest again".into());
        }
    }

    fn poll_wait(&mut self) -> i64 {
        let interval = if self.stream.is_open() {
            self.options.stream_poll_interval_ms
        } else {
            self.options.poll_interval_ms
        };
        self.jitter.shorter(ms(interval))
    }

    /// The server answered: the next fetch is a poll away, or sooner while an announced manifest is missing.
    fn plan_after_answer(&mut self, now: Moment) {
        self.fetching.failures = 0;
        let wait = if !self.fetching.is_behind() {
            self.forget_announcement();
            self.poll_wait()
        } else if self.fetching.announced_meanwhile {
            self.jitter.up_to(ms(self.options.announce_jitter_ms))
        } else {
            self.fetching.unmet = self.fetching.unmet.saturating_add(1);
            if self.fetching.unmet >= UNMET_ANNOUNCEMENTS {
                let (generation, version) = self.fetching.announced.unwrap_or_default();
                self.say(
                    Code::AnnouncementUnmet,
                    format!("generation {generation}, version {version} was announced, and {UNMET_ANNOUNCEMENTS} fetches did not bring it: a cache in between keeps manifests too long; the next poll will see"),
                );
                self.forget_announcement();
                self.poll_wait()
            } else {
                self.jitter.backoff(self.fetching.unmet, &self.options)
            }
        };
        self.fetching.set_due(now.saturating_add(wait), false);
    }

    fn forget_announcement(&mut self) {
        self.fetching.announced = None;
        self.fetching.unmet = 0;
    }

    fn count_manifest_failure(&mut self) {
        self.fetching.failures = self.fetching.failures.saturating_add(1);
        self.counts.manifest_failures = self.counts.manifest_failures.saturating_add(1);
    }

    fn manifest_failed(&mut self, now: Moment, retry_after: Option<i64>) {
        self.count_manifest_failure();
        let wait = self.jitter.retry(self.fetching.failures, retry_after, &self.options);
        self.fetching.set_due(now.saturating_add(wait), retry_after.is_some());
    }

    fn list_failed(&mut self, sha256: &str, retry_after: Option<i64>, now: Moment) {
        let failures = self.lists.failed(sha256);
        let wait = self.jitter.retry(failures, retry_after, &self.options);
        self.lists.retry_at(sha256, now.saturating_add(wait));
        self.compile_if_settled();
    }
}

fn open_list(body: &[u8], sha256: &str) -> Result<IdList, String> {
    let list = IdList::open_any(body.into()).map_err(|error| error.to_string())?;
    if list.sha256() == sha256 {
        Ok(list)
    } else {
        Err(format!("its SHA-256 is {}", list.sha256()))
    }
}
