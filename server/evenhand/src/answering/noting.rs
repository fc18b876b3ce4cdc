//! Which units got decisions whose exposures the caller is to send: a sample of them is noted, and held against what comes.

use evenhand_core::{FlagId, Packed, Reason};
use evenhand_manage::Published;
use evenhand_pipeline::decided::NewDecision;

use super::Answers;
use crate::platform::Platform;

impl Answers<'_> {
    /// Notes a decision if it hands out exposures of a unit in the sample. A forced one is nobody's exposure.
    pub fn note(&self, flag: FlagId, packed: Packed) {
        let Some(published) = self.published.filter(|_| self.platform.is_some()) else {
            return;
        };
        let snapshot = &*published.snapshot;
        let sampled = |unit: &str| self.with_unit_id(snapshot, unit, |id| id.is_some_and(|id| id.place.is_some()));
        let own = || {
            snapshot
                .exposure(flag, packed)
                .is_some_and(|exposure| sampled(exposure.unit))
        };
        let holdouts = || {
            snapshot
                .holdout_exposures(flag, packed)
                .any(|exposure| sampled(exposure.unit))
        };
        if (packed.reason() != Reason::Override && own()) || (packed.exposed_holdouts() != 0 && holdouts()) {
            self.note_sampled(flag, packed);
        }
    }

    /// The same of a decision that is known to hand out an exposure of a unit in the sample.
    pub fn note_sampled(&self, flag: FlagId, packed: Packed) {
        self.noted.borrow_mut().push((flag, packed));
    }

    /// Passes on what was noted, all at once: a request may ask for thousands of flags.
    fn pass_on(&self, platform: &Platform, published: &Published) {
        let Some(stream) = platform.stream(&published.environment) else {
            return;
        };
        let Some(mut noting) = stream.ingestion().decided().noting() else {
            return;
        };
        let snapshot = &*published.snapshot;
        let mut pass_on = |experiment: &str, phase, unit_type: &str| {
            self.with_unit_id(snapshot, unit_type, |id| {
                if let Some((unit_id, place)) = id.and_then(|id| Some((&*id.text, id.place?))) {
                    noting.note(NewDecision {
                        experiment,
                        phase,
                        unit_type,
                        unit_id,
                        place,
                        by_name: self.flags.is_some(),
                        now_ms: self.now_ms,
                    });
                }
            });
        };
        for (flag, packed) in self.noted.take() {
            if packed.reason() != Reason::Override
                && let Some(exposure) = snapshot.exposure(flag, packed)
            {
                pass_on(exposure.experiment, exposure.phase, exposure.unit);
            }
            if packed.exposed_holdouts() != 0 {
                for exposure in snapshot.holdout_exposures(flag, packed) {
                    pass_on(exposure.holdout, 1, exposure.unit);
                }
            }
        }
    }
}

impl Drop for Answers<'_> {
    /// Behind the last decision, whoever asked for it.
    fn drop(&mut self) {
        if let (false, Some(platform), Some(published)) =
            (self.noted.get_mut().is_empty(), self.platform, self.published)
        {
            self.pass_on(platform, published);
        }
    }
}
