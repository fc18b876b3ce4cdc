//! From a flag, a context and `now` to a packed decision (`docs/contract/evaluation.md`).
//!
//! There is one evaluator. It tells a [`Visitor`] what it finds; the visitor of a plain evaluation hears nothing and costs
//! nothing, the one of `explain` writes everything down: the two can't disagree.

mod answer;
mod expression;
mod rule;
mod test;
mod text;
mod visitor;

pub use answer::Answer;
pub(crate) use visitor::{Draws, Group, HoldoutFinding, Silent, StickyFinding, Visitor, WhyUnknown};

use crate::compiled::{Flag, NONE, Status, Tables, table_hash};
use crate::context::{AttributeKey, Attributes, MAX_LIST_ELEMENTS, MAX_STRING_BYTES, Value};
use crate::packed::Packed;
use crate::reason::Reason;
use crate::unit::{DecimalBuffer, unit_id};
use crate::wire::Kind;
use rule::Verdict;

/// Evaluates flags of one snapshot for one context at one instant.
pub(crate) struct Evaluator<'a, A: ?Sized, V> {
    pub tables: &'a Tables,
    pub context: &'a A,
    pub now_ms: i64,
    /// Whether the host forces any variation.
    pub forces: bool,
    pub visitor: V,
}

/// What a flag answers before its rules are asked, unless it is live.
fn settled(flag: &Flag) -> Packed {
    let reason = match flag.status {
        Status::NotReady => Reason::NotReady,
        Status::Archived => Reason::Archived,
        Status::Killed => Reason::Killed,
        Status::Unsupported => Reason::Unsupported,
        Status::Unreadable => return Packed::bare(Reason::Unsupported),
        Status::Live => Reason::Default,
    };
    Packed::variation(flag.off, reason)
}

impl<'a, A: Attributes + ?Sized, V: Visitor> Evaluator<'a, A, V> {
    /// Evaluates the flag at an index.
    #[inline]
    pub fn flag(&mut self, index: u32) -> Packed {
        let Some(flag) = self.tables.flags.get(index as usize) else {
            return Packed::bare(Reason::Error);
        };
        if flag.status != Status::Live {
            return settled(flag);
        }
        if flag.overrides.len > 0 || self.forces {
            if let Some(decision) = self.overridden(flag) {
                return decision;
            }
        }
        let mut lacks_unit = false;
        for (at, rule) in flag.rules.of(&self.tables.rules).iter().enumerate() {
            // A flag has at most 1,000 rules.
            match self.rule(flag, rule, at as u16) {
                Verdict::Decides(decision) => return decision,
                Verdict::Misses => {}
                Verdict::LacksUnit => lacks_unit = true,
            }
        }
        Packed::variation(flag.default, if lacks_unit { Reason::NoUnit } else { Reason::Default })
    }

    /// A forced variation, or the flag's own override of one of the context's units.
    #[cold]
    fn overridden(&mut self, flag: &Flag) -> Option<Packed> {
        let variation = self.forced(flag).or_else(|| self.overridden_unit(flag))?;
        let decision = Packed::variation(variation, Reason::Override);
        // The ids of the first experiment that could have given this variation go with it.
        let rules = flag.rules.of(&self.tables.rules);
        let experiment = rules.iter().position(|rule| {
            rule.kind == Kind::Experiment
                && rule
                    .split
                    .ranges
                    .of(&self.tables.splits)
                    .iter()
                    .any(|range| range.variation == variation)
        });
        self.visitor.overridden(variation);
        Some(experiment.map_or(decision, |rule| decision.with_rule(rule as u16)))
    }

    fn forced(&self, flag: &Flag) -> Option<u8> {
        let key = self.tables.str(flag.key);
        let mut at = 0usize;
        while let Some(forced) = self.context.forced(at) {
            let is_this = match &self.tables.obfuscation {
                None => forced.flag == key,
                Some(hash) => u64::from_str_radix(key, 16) == Ok(hash.first8(forced.flag)),
            };
            if is_this {
                return self.variation(flag, forced.variation);
            }
            at = at.checked_add(1)?;
        }
        None
    }

    fn overridden_unit(&self, flag: &Flag) -> Option<u8> {
        flag.overrides.of(&self.tables.override_units).iter().find_map(|table| {
            let mut buffer = DecimalBuffer::new();
            let unit = unit_id(self.value(table.unit), &mut buffer)?.as_bytes();
            let found = table
                .units
                .find(table_hash(unit), |(span, _)| self.tables.bytes(*span) == unit);
            found.map(|(_, variation)| *variation)
        })
    }

    /// The index of a variation, by its key.
    fn variation(&self, flag: &Flag, key: &str) -> Option<u8> {
        let mut variations = flag.variations.of(&self.tables.variations).iter();
        // A flag has at most 250 variations.
        variations
            .position(|variation| self.tables.str(variation.key) == key)
            .map(|at| at as u8)
    }

    /// The value of an attribute, with what is beyond a limit made unusable. `geo` stands in for a missing `country`.
    #[inline(always)]
    fn value(&self, attribute: u32) -> Value<'a> {
        let mut value = self.ask(attribute);
        if matches!(value, Value::Missing) && attribute == self.tables.country && attribute != NONE {
            value = self.ask(self.tables.geo);
        }
        limited(value)
    }

    #[inline(always)]
    fn ask(&self, attribute: u32) -> Value<'a> {
        let index = attribute as usize;
        let Some(name) = self.tables.attributes.get(index) else {
            return Value::Missing;
        };
        let context: &'a A = self.context;
        context.get(AttributeKey { index, name })
    }
}

#[inline(always)]
fn limited(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Str(text) if text.len() > MAX_STRING_BYTES => Value::Unusable,
        Value::Num(number) if !number.is_finite() => Value::Unusable,
        Value::List(list) if list.len > MAX_LIST_ELEMENTS => Value::Unusable,
        value => value,
    }
}
