//! The steps of a rule, in their order (`docs/contract/evaluation.md`, "A rule").

use super::{Answer, Draws, Evaluator, HoldoutFinding, StickyFinding, Visitor};
use crate::bucket::basis_point;
use crate::compiled::{Draw, Flag, FlagVariations, Rule, Tables};
use crate::context::Attributes;
use crate::packed::Packed;
use crate::reason::Reason;
use crate::unit::{DecimalBuffer, unit_id};
use crate::wire::{ExperimentState, Kind};

/// What a rule says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    Decides(Packed),
    Misses,
    /// Skipped for want of its unit.
    LacksUnit,
}

impl Draw {
    #[inline(always)]
    pub(super) fn holds(&self, tables: &Tables, hash: u32) -> bool {
        self.first.holds(hash)
            || (self.more.len > 0 && self.more.of(&tables.ranges).iter().any(|range| range.holds(hash)))
    }
}

impl<A: Attributes + ?Sized, V: Visitor> Evaluator<'_, A, V> {
    #[inline]
    pub(super) fn rule(&mut self, flag: &Flag, rule: &Rule, at: u16) -> Verdict {
        self.visitor.rule(at, rule);
        if rule.scheduled {
            // An end of i64::MAX is none: no manifest can write it.
            let holds = rule.start_ms <= self.now_ms && (self.now_ms < rule.end_ms || rule.end_ms == i64::MAX);
            self.visitor.schedule(rule, holds);
            if !holds {
                return Verdict::Misses;
            }
        }
        if rule.requires.len > 0 && !self.requires(rule) {
            return Verdict::Misses;
        }
        if rule.holdouts.len > 0 {
            return self.behind_holdouts(flag, rule, at);
        }
        self.rest(flag, rule, at)
    }

    fn requires(&mut self, rule: &Rule) -> bool {
        let mut all = true;
        let tables = self.tables;
        for require in rule.requires.of(&tables.requires) {
            let (answer, decision) = self.flag_test(*require);
            self.visitor.requires(require.flag, answer, decision);
            all &= answer == Answer::True;
            if !all && !V::EXHAUSTIVE {
                break;
            }
        }
        all
    }

    /// Whether another flag gives one of the variations; unknown when it gives none at all.
    pub(super) fn flag_test(&mut self, test: FlagVariations) -> (Answer, Packed) {
        // Compiled without circles and at most 16 deep.
        let decision = Evaluator {
            tables: self.tables,
            context: self.context,
            now_ms: self.now_ms,
            forces: self.forces,
            visitor: super::Silent,
        }
        .flag(test.flag);
        let answer = match decision.variation_index() {
            Some(variation) if !matches!(decision.reason(), Reason::Unsupported | Reason::NotReady) => {
                Answer::from_bool(test.variations.of(&self.tables.variation_sets).contains(&variation))
            }
            _ => Answer::Unknown,
        };
        (answer, decision)
    }

    /// The holdouts, then the rest of the rule.
    fn behind_holdouts(&mut self, flag: &Flag, rule: &Rule, at: u16) -> Verdict {
        let tables = self.tables;
        let mut open = 0u8;
        for (place, &index) in rule.holdouts.of(&tables.rule_holdouts).iter().enumerate() {
            // A rule has at most 8 holdouts.
            let bit = 1u8.wrapping_shl(place as u32);
            match self.holdout(index) {
                HoldoutFinding::NoUnit | HoldoutFinding::NotConcerned => {}
                HoldoutFinding::Open(_) => open |= bit,
                HoldoutFinding::Held(_) => {
                    let decision = Packed::variation(flag.off, Reason::Holdout)
                        .with_rule(at)
                        .with_held(place as u8);
                    // Held back from what? Only from what would otherwise have been given.
                    return Verdict::Decides(match self.rest(flag, rule, at) {
                        Verdict::Decides(would) if gives(would.reason()) => decision.with_exposed_holdouts(bit),
                        _ => decision,
                    });
                }
            }
        }
        match self.rest(flag, rule, at) {
            Verdict::Decides(decision) if gives(decision.reason()) => {
                Verdict::Decides(decision.with_exposed_holdouts(open))
            }
            verdict => verdict,
        }
    }

    fn holdout(&mut self, index: u32) -> HoldoutFinding {
        let tables = self.tables;
        let Some(holdout) = tables.holdouts.get(index as usize) else {
            return HoldoutFinding::NotConcerned;
        };
        let mut buffer = DecimalBuffer::new();
        let finding = if holdout.when.start != holdout.when.end && self.expression(holdout.when) != Answer::True {
            HoldoutFinding::NotConcerned
        } else {
            match unit_id(self.value(holdout.unit), &mut buffer) {
                None => HoldoutFinding::NoUnit,
                Some(unit) => {
                    let hash = holdout.draw.salt.hash(unit.as_bytes());
                    if holdout.draw.holds(tables, hash) {
                        HoldoutFinding::Held(hash)
                    } else {
                        HoldoutFinding::Open(hash)
                    }
                }
            }
        };
        self.visitor.holdout(index, finding);
        finding
    }

    /// The steps behind the holdouts: unit, layer slot, sticky, targeting, traffic, split.
    #[inline(always)]
    fn rest(&mut self, flag: &Flag, rule: &Rule, at: u16) -> Verdict {
        if rule.kind == Kind::Targeted {
            return if self.targeting(rule) {
                decides(rule.serve, Reason::Targeted, at)
            } else {
                Verdict::Misses
            };
        }
        let tables = self.tables;
        let mut buffer = DecimalBuffer::new();
        let unit = unit_id(self.value(rule.unit), &mut buffer);
        self.visitor.unit(rule.unit, unit);
        let Some(unit) = unit else {
            return Verdict::LacksUnit;
        };
        let id = unit.as_bytes();
        if rule.in_layer && !self.draw(Draws::Layer, &rule.layer, id) {
            return Verdict::Misses;
        }
        if rule.sticky {
            if let Some(variation) = self.sticky(flag, rule, at, unit) {
                return stopped(flag, rule, at).unwrap_or(decides(variation, Reason::Sticky, at));
            }
        }
        if !self.targeting(rule) || !self.draw(Draws::Traffic, &rule.traffic, id) {
            return Verdict::Misses;
        }
        if rule.kind == Kind::Rollout {
            return decides(rule.serve, Reason::Rollout, at);
        }
        if let Some(verdict) = stopped(flag, rule, at) {
            return verdict;
        }
        let hash = rule.split.salt.hash(id);
        let found = rule
            .split
            .ranges
            .of(&tables.splits)
            .iter()
            .find(|split| split.range.holds(hash));
        self.visitor.draw(Draws::Split, hash, found.is_some());
        match found {
            Some(split) => Verdict::Decides(
                Packed::variation(split.variation, Reason::Split)
                    .with_rule(at)
                    .with_bucket(basis_point(hash)),
            ),
            None => Verdict::Misses,
        }
    }

    #[inline(always)]
    fn targeting(&mut self, rule: &Rule) -> bool {
        if rule.when.start == rule.when.end {
            return true;
        }
        let answer = self.expression(rule.when);
        self.visitor.targeting(answer);
        answer == Answer::True
    }

    #[inline(always)]
    fn draw(&mut self, which: Draws, draw: &Draw, unit: &[u8]) -> bool {
        let hash = draw.salt.hash(unit);
        let holds = draw.holds(self.tables, hash);
        self.visitor.draw(which, hash, holds);
        holds
    }

    /// The variation the host has stored for this unit, experiment and phase, if the split still names it.
    fn sticky(&mut self, flag: &Flag, rule: &Rule, at: u16, unit: &str) -> Option<u8> {
        let finding = self.find_sticky(flag, rule, at, unit);
        self.visitor.sticky(finding);
        match finding {
            StickyFinding::Hit(variation) => Some(variation),
            _ => None,
        }
    }

    fn find_sticky(&self, flag: &Flag, rule: &Rule, at: u16, unit: &str) -> StickyFinding {
        let names = flag.rules.of(&self.tables.rule_names).get(usize::from(at));
        let record = names.and_then(|names| Some((names, self.context.sticky(self.tables.str(names.experiment))?)));
        let Some((names, record)) = record else {
            return StickyFinding::NoRecord;
        };
        if record.phase != names.phase {
            return StickyFinding::OtherPhase(record.phase);
        }
        if record.unit != unit {
            return StickyFinding::OtherUnit;
        }
        let variation = self.variation(flag, record.variation).filter(|variation| {
            rule.split
                .ranges
                .of(&self.tables.splits)
                .iter()
                .any(|split| split.variation == *variation)
        });
        variation.map_or(StickyFinding::VariationGone, StickyFinding::Hit)
    }
}

#[inline(always)]
fn decides(variation: u8, reason: Reason, at: u16) -> Verdict {
    Verdict::Decides(Packed::variation(variation, reason).with_rule(at))
}

/// What a paused or killed experiment says to a unit it would have decided for.
#[inline(always)]
fn stopped(flag: &Flag, rule: &Rule, at: u16) -> Option<Verdict> {
    match rule.state {
        ExperimentState::Running => None,
        ExperimentState::Paused => Some(decides(flag.off, Reason::Paused, at)),
        ExperimentState::Killed => Some(decides(flag.off, Reason::Killed, at)),
    }
}

/// Whether a rule has given something that a holdout could have kept back.
fn gives(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Split | Reason::Sticky | Reason::Targeted | Reason::Rollout
    )
}
