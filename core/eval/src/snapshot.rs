//! A compiled manifest: immutable, shared freely between threads, swapped as a whole.

use crate::compile::{self, ListSource, ManifestError, Report};
use crate::compiled::{Rule, RuleNames, Span, Tables, VariationValue};
use crate::context::{AttributeKey, Attributes, StickyRecord};
use crate::decision::{Arm, Decision, Exposure, FlagValue, HoldoutExposure};
use crate::evaluate::{Evaluator, Silent};
use crate::explain::{self, Explanation};
use crate::packed::Packed;
use crate::reason::Reason;
use crate::unit::{DecimalBuffer, unit_id};
use crate::wire::{Audience, FlagType, Kind};

/// A flag of one snapshot. It means nothing to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlagId(pub(crate) u32);

impl FlagId {
    /// The flag's place in [`Snapshot::flags`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A flag, as a snapshot lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagInfo<'a> {
    /// The flag.
    pub id: FlagId,
    /// Its key in the manifest (hashed in an obfuscated one).
    pub key: &'a str,
    /// The type of its values; none when it did not compile and that could not be read.
    pub value_type: Option<FlagType>,
}

/// An experiment, as a snapshot lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExperimentInfo<'a> {
    /// The experiment's id.
    pub id: &'a str,
    /// The flag it belongs to.
    pub flag: FlagId,
    /// The flag's key in the manifest.
    pub flag_key: &'a str,
    /// The rule's index in the flag.
    pub rule: u16,
    /// The phase.
    pub phase: u32,
    /// The epoch.
    pub epoch: u32,
    /// The attribute that gives the unit id.
    pub unit: &'a str,
    /// The layer's id, if it is in one.
    pub layer: Option<&'a str>,
}

/// A compiled manifest and its tables.
#[derive(Debug)]
pub struct Snapshot {
    tables: Tables,
}

impl Snapshot {
    /// Compiles a bare manifest (its signature, where there is one, has been verified before: see `envelope`).
    ///
    /// The report says which flags are unsupported and why; the error, why the manifest is refused as a whole.
    pub fn compile(manifest_json: &[u8], lists: &dyn ListSource) -> Result<(Self, Report), ManifestError> {
        compile::compile(manifest_json, lists).map(|(tables, report)| (Self { tables }, report))
    }

    /// The environment's id.
    pub fn environment(&self) -> &str {
        &self.tables.environment
    }

    /// Who the manifest is made for.
    pub fn audience(&self) -> Audience {
        self.tables.audience
    }

    /// The manifest's generation.
    pub fn generation(&self) -> u64 {
        self.tables.generation
    }

    /// The manifest's version.
    pub fn version(&self) -> u64 {
        self.tables.version
    }

    /// When the manifest was published, in milliseconds since 1970.
    pub fn issued_at_ms(&self) -> i64 {
        self.tables.issued_at_ms
    }

    /// Finds a flag by the key a caller asks for (hashed here where the manifest is obfuscated).
    #[inline]
    pub fn flag(&self, key: &str) -> Option<FlagId> {
        match &self.tables.obfuscation {
            None => self.tables.find_flag(key).map(FlagId),
            Some(salted) => {
                // Sixteen hex digits, without a String: this is on the path of every decision.
                let hash = salted.first8(key);
                let digits: [u8; 16] = core::array::from_fn(|at| {
                    let digit = hash.wrapping_shr(60u32.wrapping_sub((at as u32) << 2)) as u8 & 15;
                    if digit < 10 {
                        b'0'.wrapping_add(digit)
                    } else {
                        b'a'.wrapping_add(digit.wrapping_sub(10))
                    }
                });
                self.tables.find_flag(core::str::from_utf8(&digits).ok()?).map(FlagId)
            }
        }
    }

    /// The flag at a place in [`Snapshot::flags`]: for hosts that keep indices.
    #[inline]
    pub fn flag_at(&self, index: usize) -> Option<FlagId> {
        // At most 100,000 flags.
        (index < self.tables.flags.len()).then_some(FlagId(index as u32))
    }

    /// All flags, in ascending byte order of their keys.
    pub fn flags(&self) -> impl ExactSizeIterator<Item = FlagInfo<'_>> {
        // At most 100,000 flags.
        self.tables.flags.iter().enumerate().map(|(at, flag)| FlagInfo {
            id: FlagId(at as u32),
            key: self.tables.str(flag.key),
            value_type: flag.value_type(),
        })
    }

    /// The flag's key in the manifest.
    pub fn flag_key(&self, flag: FlagId) -> &str {
        self.tables
            .flags
            .get(flag.index())
            .map_or("", |flag| self.tables.str(flag.key))
    }

    /// The names of the attributes the evaluator asks for, in the order of their indices.
    pub fn attributes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tables.attributes.iter().map(|name| &**name)
    }

    /// The key of an attribute the evaluator asks for; none when no rule names it.
    pub fn attribute(&self, name: &str) -> Option<AttributeKey<'_>> {
        let index = self.tables.attributes.iter().position(|other| **other == *name)?;
        Some(AttributeKey {
            index,
            name: self.tables.attributes.get(index)?,
        })
    }

    /// All experiments, in the order of flags and rules.
    pub fn experiments(&self) -> impl Iterator<Item = ExperimentInfo<'_>> {
        self.flags().zip(&self.tables.flags).flat_map(move |(info, flag)| {
            let rules = flag
                .rules
                .of(&self.tables.rules)
                .iter()
                .zip(flag.rules.of(&self.tables.rule_names))
                .enumerate();
            rules
                .filter(|(_, (rule, _))| rule.kind == Kind::Experiment)
                .map(move |(at, (rule, names))| ExperimentInfo {
                    id: self.tables.str(names.experiment),
                    flag: info.id,
                    flag_key: info.key,
                    rule: at as u16,
                    phase: names.phase,
                    epoch: names.epoch,
                    unit: self.attribute_name(rule.unit),
                    layer: Some(self.tables.str(names.layer)).filter(|layer| rule.in_layer && !layer.is_empty()),
                })
        })
    }

    /// Evaluates a flag: no allocation, no lock, nothing logged.
    #[inline]
    pub fn evaluate_packed<A: Attributes + ?Sized>(&self, flag: FlagId, context: &A, now_ms: i64) -> Packed {
        self.evaluator(context, now_ms).flag(flag.0)
    }

    #[inline(always)]
    fn evaluator<'a, A: Attributes + ?Sized>(&'a self, context: &'a A, now_ms: i64) -> Evaluator<'a, A, Silent> {
        Evaluator {
            tables: &self.tables,
            context,
            now_ms,
            forces: context.forced(0).is_some(),
            visitor: Silent,
        }
    }

    /// Reads a packed decision that this snapshot made for this flag.
    pub fn decision(&self, flag: FlagId, packed: Packed) -> Decision<'_> {
        self.decision_for(self.flag_key(flag), flag, packed)
    }

    /// Evaluates the flag of a key.
    pub fn evaluate<'a, A: Attributes + ?Sized>(&'a self, key: &'a str, context: &A, now_ms: i64) -> Decision<'a> {
        self.evaluate_key(key, None, context, now_ms).1
    }

    /// Evaluates the flag of a key for a caller that expects a type: TYPE_MISMATCH, and the caller's default, if the flag has
    /// another. An `int` flag may be asked for as `float`.
    pub fn evaluate_typed<'a, A: Attributes + ?Sized>(
        &'a self,
        key: &'a str,
        expected: FlagType,
        context: &A,
        now_ms: i64,
    ) -> Decision<'a> {
        self.evaluate_key(key, Some(expected), context, now_ms).1
    }

    /// The same for a host that needs the flag as well, to ask for exposures: it is looked up once.
    #[inline]
    pub fn evaluate_key<'a, A: Attributes + ?Sized>(
        &'a self,
        key: &'a str,
        expected: Option<FlagType>,
        context: &A,
        now_ms: i64,
    ) -> (Option<FlagId>, Decision<'a>) {
        // Looks at the context first: its trip to memory overlaps with finding the flag.
        let mut evaluator = self.evaluator(context, now_ms);
        let callers = |reason| Decision::callers_default(key, reason, Some(self.tables.version));
        let Some(flag) = self.flag(key) else {
            return (None, callers(Reason::FlagUnknown));
        };
        let decision = match expected {
            Some(expected) if !self.gives(flag, expected) => callers(Reason::TypeMismatch),
            _ => self.decision_for(key, flag, evaluator.flag(flag.0)),
        };
        (Some(flag), decision)
    }

    /// Whether a caller may ask for a flag as a type; for one whose type is not known, as any.
    fn gives(&self, flag: FlagId, expected: FlagType) -> bool {
        let found = self.tables.flags.get(flag.index()).and_then(|flag| flag.value_type());
        found.is_none_or(|found| found == expected || (found, expected) == (FlagType::Int, FlagType::Float))
    }

    /// Evaluates all flags, in ascending byte order of their keys in the manifest.
    pub fn evaluate_all<A: Attributes + ?Sized>(
        &self,
        context: &A,
        now_ms: i64,
        mut visit: impl FnMut(FlagId, Packed),
    ) {
        let mut evaluator = self.evaluator(context, now_ms);
        for at in 0..self.tables.flags.len() as u32 {
            visit(FlagId(at), evaluator.flag(at));
        }
    }

    /// Evaluates the flag of a key and says how: every rule, every step, every leaf.
    pub fn explain<'a, A: Attributes + ?Sized>(&'a self, key: &'a str, context: &A, now_ms: i64) -> Explanation<'a> {
        explain::explain(self, key, context, now_ms)
    }

    /// The exposure that goes with a decision; none when its reason logs none.
    pub fn exposure(&self, flag: FlagId, packed: Packed) -> Option<Exposure<'_>> {
        let (rule, names) = self.rule_of(flag, packed)?;
        let logs = matches!(packed.reason(), Reason::Split | Reason::Sticky | Reason::Override)
            && rule.kind == Kind::Experiment;
        let variation = self.variation(flag, packed)?;
        logs.then(|| Exposure {
            experiment: self.tables.str(names.experiment),
            variation: self.tables.str(variation.0),
            phase: names.phase,
            epoch: names.epoch,
            unit: self.attribute_name(rule.unit),
        })
    }

    /// The holdout exposures that go with a decision, in the order of the rule's holdouts.
    pub fn holdout_exposures(&self, flag: FlagId, packed: Packed) -> impl Iterator<Item = HoldoutExposure<'_>> {
        let holdouts = self
            .rule_of(flag, packed)
            .map(|(rule, _)| rule.holdouts.of(&self.tables.rule_holdouts))
            .unwrap_or_default();
        let holdouts = holdouts
            .iter()
            .zip(0u8..8)
            .filter(move |(_, at)| packed.exposed_holdouts().wrapping_shr(u32::from(*at)) & 1 == 1);
        holdouts.filter_map(move |(holdout, at)| {
            let holdout = self.tables.holdouts.get(*holdout as usize)?;
            Some(HoldoutExposure {
                holdout: self.tables.str(holdout.id),
                arm: if packed.held_index() == Some(at) {
                    Arm::Held
                } else {
                    Arm::Open
                },
                unit: self.attribute_name(holdout.unit),
            })
        })
    }

    /// What a host with a sticky store is to keep after a decision: the split of a sticky experiment. None when there is nothing
    /// to keep, or the record it had given decided.
    pub fn sticky_record<A: Attributes + ?Sized>(
        &self,
        flag: FlagId,
        packed: Packed,
        context: &A,
    ) -> Option<StickyRecord> {
        if packed.reason() != Reason::Split {
            return None;
        }
        let (rule, names) = self.rule_of(flag, packed).filter(|(rule, _)| rule.sticky)?;
        let (variation, _) = self.variation(flag, packed)?;
        Some(StickyRecord {
            experiment: self.tables.str(names.experiment).to_owned(),
            phase: names.phase,
            unit: self.unit_id(self.attribute_name(rule.unit), context)?,
            variation: self.tables.str(variation).to_owned(),
        })
    }

    /// The unit id a context has for a unit type, as it is hashed and logged.
    pub fn unit_id<A: Attributes + ?Sized>(&self, unit_type: &str, context: &A) -> Option<String> {
        let attribute = self.attribute(unit_type)?;
        let mut buffer = DecimalBuffer::new();
        unit_id(context.get(attribute), &mut buffer).map(str::to_owned)
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn attribute_name(&self, attribute: u32) -> &str {
        self.tables
            .attributes
            .get(attribute as usize)
            .map_or("", |name| &**name)
    }

    pub(crate) fn attribute_key(&self, attribute: u32) -> Option<AttributeKey<'_>> {
        let index = attribute as usize;
        let name = self.tables.attributes.get(index)?;
        Some(AttributeKey { index, name })
    }

    /// The rule a decision names, among those of all flags.
    pub(crate) fn rule_at(&self, flag: FlagId, packed: Packed) -> Option<u32> {
        let rules = self.tables.flags.get(flag.index())?.rules;
        let at = u32::from(packed.rule_index()?);
        (at < rules.len).then(|| rules.at.wrapping_add(at))
    }

    fn rule_of(&self, flag: FlagId, packed: Packed) -> Option<(&Rule, &RuleNames)> {
        let flag = self.tables.flags.get(flag.index())?;
        let at = usize::from(packed.rule_index()?);
        Some((
            flag.rules.of(&self.tables.rules).get(at)?,
            flag.rules.of(&self.tables.rule_names).get(at)?,
        ))
    }

    fn variation(&self, flag: FlagId, packed: Packed) -> Option<(Span, VariationValue)> {
        let flag = self.tables.flags.get(flag.index())?;
        let variation = flag
            .variations
            .of(&self.tables.variations)
            .get(usize::from(packed.variation_index()?))?;
        Some((variation.key, variation.value))
    }

    /// The decision behind a packed one, under the key the caller used.
    pub(crate) fn decision_for<'a>(&'a self, key: &'a str, flag: FlagId, packed: Packed) -> Decision<'a> {
        let reason = packed.reason();
        let mut decision = Decision::callers_default(key, reason, Some(self.tables.version));
        decision.packed = packed;
        decision.bucket = packed.bucket();
        if let Some((variation, value)) = self.variation(flag, packed) {
            decision.variation = Some(self.tables.str(variation));
            decision.value = Some(self.value(value));
        }
        if let Some((rule, names)) = self.rule_of(flag, packed) {
            if reason != Reason::Override {
                decision.rule = Some(self.tables.str(names.id));
            }
            if rule.kind == Kind::Experiment {
                decision.experiment = Some(self.tables.str(names.experiment));
                decision.phase = Some(names.phase);
                decision.epoch = Some(names.epoch);
            }
        }
        decision
    }

    fn value(&self, value: VariationValue) -> FlagValue<'_> {
        match value {
            VariationValue::Bool(bool) => FlagValue::Bool(bool),
            VariationValue::Text(text, json) => FlagValue::Text(self.tables.str(text), self.tables.str(json)),
            VariationValue::Int(integer, json) => FlagValue::Int(integer, self.tables.str(json)),
            VariationValue::Float(number, json) => FlagValue::Float(number, self.tables.str(json)),
            VariationValue::Json(json) => FlagValue::Json(self.tables.str(json)),
        }
    }
}

impl crate::compiled::Flag {
    fn value_type(&self) -> Option<FlagType> {
        (self.status != crate::compiled::Status::Unreadable).then_some(self.value_type)
    }
}
