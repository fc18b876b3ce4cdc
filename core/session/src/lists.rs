//! Id lists that the manifest names: which are held, which are to be fetched.

use std::collections::{BTreeMap, BTreeSet};

use evenhand_core::id_list::IdList;

use crate::clock::Moment;

#[derive(Clone, Copy, Debug)]
struct Wanted {
    due: Moment,
    failures: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Lists {
    held: BTreeMap<String, IdList>,
    wanted: BTreeMap<String, Wanted>,
    under_way: Option<(u64, String, Moment)>,
    /// A list has come that the snapshot does not have yet.
    fresh: bool,
}

impl Lists {
    /// Keeps what the new manifest names, and wants the rest.
    pub fn adopt(&mut self, named: &BTreeSet<String>, now: Moment) {
        self.held.retain(|sha256, _| named.contains(sha256));
        self.wanted.retain(|sha256, _| named.contains(sha256));
        for sha256 in named {
            if !self.held.contains_key(sha256) && !self.wanted.contains_key(sha256) {
                self.wanted.insert(sha256.clone(), Wanted { due: now, failures: 0 });
            }
        }
        if self
            .under_way
            .as_ref()
            .is_some_and(|(_, sha256, _)| !named.contains(sha256))
        {
            self.under_way = None;
        }
        self.fresh = false;
    }

    /// The list to fetch now: the one due first, by address where two are.
    pub fn due(&self, now: Moment) -> Option<String> {
        if self.under_way.is_some() {
            return None;
        }
        let due = self.wanted.iter().filter(|(_, wanted)| wanted.due <= now);
        due.min_by_key(|(_, wanted)| wanted.due)
            .map(|(sha256, _)| sha256.clone())
    }

    pub fn next_due(&self) -> Option<Moment> {
        if self.under_way.is_some() {
            return None;
        }
        self.wanted.values().map(|wanted| wanted.due).min()
    }

    pub fn begin(&mut self, ticket: u64, sha256: &str, now: Moment) {
        self.under_way = Some((ticket, sha256.to_owned(), now));
    }

    pub fn under_way(&self) -> Option<(u64, Moment)> {
        self.under_way.as_ref().map(|(ticket, _, since)| (*ticket, *since))
    }

    /// Ends the fetch of that ticket and says which list it was.
    pub fn end(&mut self, ticket: u64) -> Option<String> {
        let (_, sha256, _) = self.under_way.take_if(|(own, _, _)| *own == ticket)?;
        Some(sha256)
    }

    pub fn is_wanted(&self, sha256: &str) -> bool {
        self.wanted.contains_key(sha256)
    }

    pub fn got(&mut self, list: IdList) {
        self.wanted.remove(list.sha256());
        self.held.insert(list.sha256().to_owned(), list);
        self.fresh = true;
    }

    /// How often in a row the list could not be had, this time included.
    pub fn failed(&mut self, sha256: &str) -> u32 {
        self.wanted.get_mut(sha256).map_or(1, |wanted| {
            wanted.failures = wanted.failures.saturating_add(1);
            wanted.failures
        })
    }

    pub fn retry_at(&mut self, sha256: &str, due: Moment) {
        if let Some(wanted) = self.wanted.get_mut(sha256) {
            wanted.due = due;
        }
    }

    /// Whether to compile again: something new has come, and every other list has been tried once. So ten lists cost one
    /// compilation, and one that fails delays nobody.
    pub fn is_settled(&self) -> bool {
        self.fresh && self.wanted.values().all(|wanted| wanted.failures > 0)
    }

    pub fn compiled(&mut self) {
        self.fresh = false;
    }

    pub fn held(&self) -> &BTreeMap<String, IdList> {
        &self.held
    }

    /// Held and missing.
    pub fn counts(&self) -> (u64, u64) {
        (self.held.len() as u64, self.wanted.len() as u64)
    }

    /// All addresses, held or not.
    pub fn addresses(&self) -> BTreeSet<&str> {
        self.held.keys().chain(self.wanted.keys()).map(String::as_str).collect()
    }

    /// In a child process nothing is under way.
    pub fn restart(&mut self, now: Moment) {
        self.under_way = None;
        for wanted in self.wanted.values_mut() {
            *wanted = Wanted { due: now, failures: 0 };
        }
    }
}
