//! Why a unit got what it got: every rule, every step, every leaf, written down by the evaluator itself.

mod leaf;

use serde::Serialize;

use crate::bucket::{basis_point, slot};
use crate::compiled::{Node, Rule, Tables};
use crate::context::{Attributes, Value};
use crate::decision::Decision;
use crate::evaluate::{Draws, Evaluator, Group, HoldoutFinding, StickyFinding, Visitor, WhyUnknown};
use crate::packed::Packed;
use crate::reason::Reason;
use crate::snapshot::{FlagId, Snapshot};
use crate::wire::Kind;

pub use crate::evaluate::Answer;

/// A decision, and how it came about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation<'a> {
    /// The decision: the same that `evaluate` gives.
    pub decision: Decision<'a>,
    /// The manifest's version.
    pub manifest_version: u64,
    /// The attributes that the flag's rules asked for by their names: what a host has to supply.
    pub attributes: Vec<AttributeSeen>,
    /// The flag's rules in order; empty when the flag answers without asking them.
    pub rules: Vec<RuleExplanation>,
}

/// What an attribute was when a rule asked for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttributeSeen {
    /// Its name.
    pub name: String,
    /// `missing`, `string`, `number`, `boolean`, `list` or `unusable`.
    pub kind: &'static str,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It decided.
    Decides,
    /// A step did not hold.
    Misses,
    /// It was skipped for want of its unit.
    LacksUnit,
    /// A rule before it had decided.
    NotReached,
}

/// A rule and its steps, as far as they were taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleExplanation {
    /// The rule's id.
    pub rule: String,
    /// Its kind.
    pub kind: Kind,
    /// What became of it.
    pub outcome: Outcome,
    /// The steps taken. Steps behind a holdout that holds the unit say whether an exposure of the holdout goes along.
    pub steps: Vec<Step>,
}

/// A step of a rule. `holds` is whether the evaluation of the rule went on behind it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// `[start, end)` around `now`.
    Schedule {
        /// Inside it.
        holds: bool,
        /// The first instant.
        start_ms: Option<i64>,
        /// The first instant behind.
        end_ms: Option<i64>,
    },
    /// A prerequisite.
    Requires {
        /// True only lets the rule go on.
        answer: Answer,
        /// The other flag's key.
        flag: String,
        /// The variation it gave.
        variation: Option<String>,
        /// Why it gave it.
        reason: Reason,
    },
    /// A holdout.
    Holdout {
        /// The unit is not held.
        holds: bool,
        /// Its id.
        holdout: String,
        /// `no_unit`, `not_concerned`, `open` or `held`.
        finding: &'static str,
        /// The unit's hash under the holdout's salt.
        hash: Option<u32>,
        /// Its targeting.
        when: Option<Expression>,
    },
    /// The unit.
    Unit {
        /// There is a unit id.
        holds: bool,
        /// The attribute that gives it.
        attribute: String,
        /// The id, as text.
        unit: Option<String>,
    },
    /// The layer's slot.
    Layer {
        /// The slot is the experiment's.
        holds: bool,
        /// The layer's id.
        layer: String,
        /// The unit's hash under the layer's salt.
        hash: u32,
        /// Its slot, 0 to 999.
        slot: u16,
    },
    /// The host's sticky assignment; it skips the steps behind it.
    Sticky {
        /// It counts.
        hit: bool,
        /// `hit`, `no_record`, `other_phase`, `other_unit` or `variation_gone`.
        finding: &'static str,
        /// The record's phase, when that is the reason.
        phase: Option<u32>,
    },
    /// The rule's targeting.
    Targeting {
        /// True only lets the rule go on.
        answer: Answer,
        /// Leaf by leaf.
        expression: Option<Expression>,
    },
    /// The share of units that is in.
    Traffic {
        /// The unit is in.
        holds: bool,
        /// Its hash under the traffic salt.
        hash: u32,
        /// Its basis point, 0 to 9999.
        bucket: u16,
    },
    /// The split.
    Split {
        /// The hash lies in a range.
        holds: bool,
        /// The unit's hash under the split salt.
        hash: u32,
        /// Its basis point, 0 to 9999.
        bucket: u16,
    },
}

/// An expression with the answer of each part.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Expression {
    /// A group.
    Group {
        /// `all`, `any`, `not` or `segment`.
        group: &'static str,
        /// Its answer.
        answer: Answer,
        /// Its members; of a segment, the one expression it is.
        members: Vec<Expression>,
    },
    /// A leaf.
    Leaf(Leaf),
}

/// A leaf and its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leaf {
    /// The operator. One that takes a list shows as its twin for one operand when it has just one (`str_in` as `str_eq`).
    pub op: &'static str,
    /// Its answer.
    pub answer: Answer,
    /// Why it is unknown: `missing`, `wrong_type`, `no_unit` or `flag_undecided`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// The attribute it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// The attribute's value; a long string is cut, a list shows its length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// What it is compared with; of many operands the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operand: Option<serde_json::Value>,
    /// How many operands there are beside those shown.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_operands: usize,
    /// For a list: how the answers of its elements are joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<crate::wire::Over>,
    /// Of `in_bucket`: the unit's hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<u32>,
    /// Of `flag_is`: the reason of the other flag's decision; `value` is the variation it gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Evaluates with a visitor that writes everything down.
pub(crate) fn explain<'a, A: Attributes + ?Sized>(
    snapshot: &'a Snapshot,
    key: &'a str,
    context: &A,
    now_ms: i64,
) -> Explanation<'a> {
    let mut explanation = Explanation {
        decision: Decision::callers_default(key, Reason::FlagUnknown, Some(snapshot.version())),
        manifest_version: snapshot.version(),
        attributes: Vec::new(),
        rules: Vec::new(),
    };
    let Some(flag) = snapshot.flag(key) else {
        return explanation;
    };
    let tables = snapshot.tables();
    let mut evaluator = Evaluator {
        tables,
        context,
        now_ms,
        forces: context.forced(0).is_some(),
        visitor: Writer::new(snapshot),
    };
    let packed = evaluator.flag(flag.0);
    let writer = evaluator.visitor;
    explanation.decision = snapshot.decision_for(key, flag, packed);
    explanation.attributes = writer.attributes;
    explanation.rules = writer.rules;
    if let Some(compiled) = tables.flags.get(flag.index()) {
        // An override decides before any rule is asked, though it carries the ids of one.
        let decider = packed
            .rule_index()
            .filter(|_| packed.reason() != Reason::Override)
            .map(usize::from);
        for (at, rule) in explanation.rules.iter_mut().enumerate() {
            if decider == Some(at) {
                rule.outcome = Outcome::Decides;
            } else if matches!(rule.steps.last(), Some(Step::Unit { holds: false, .. })) {
                rule.outcome = Outcome::LacksUnit;
            }
        }
        let reached = explanation.rules.len();
        let behind = compiled
            .rules
            .of(&tables.rules)
            .iter()
            .zip(compiled.rules.of(&tables.rule_names))
            .skip(reached);
        explanation.rules.extend(behind.map(|(rule, names)| RuleExplanation {
            rule: tables.str(names.id).into(),
            kind: rule.kind,
            outcome: Outcome::NotReached,
            steps: Vec::new(),
        }));
        for (rule, names) in explanation.rules.iter_mut().zip(compiled.rules.of(&tables.rule_names)) {
            rule.rule = tables.str(names.id).into();
            for step in &mut rule.steps {
                if let Step::Layer { layer, .. } = step {
                    *layer = tables.str(names.layer).into();
                }
            }
        }
    }
    explanation
}

/// The visitor that writes everything down.
struct Writer<'s> {
    snapshot: &'s Snapshot,
    attributes: Vec<AttributeSeen>,
    rules: Vec<RuleExplanation>,
    /// Open groups.
    groups: Vec<(Group, Vec<Expression>)>,
    /// The expression just finished.
    finished: Option<Expression>,
}

impl<'s> Writer<'s> {
    fn new(snapshot: &'s Snapshot) -> Self {
        Self {
            snapshot,
            attributes: Vec::new(),
            rules: Vec::new(),
            groups: Vec::new(),
            finished: None,
        }
    }

    fn step(&mut self, step: Step) {
        if let Some(rule) = self.rules.last_mut() {
            rule.steps.push(step);
        }
    }

    fn put(&mut self, expression: Expression) {
        match self.groups.last_mut() {
            Some((_, members)) => members.push(expression),
            None => self.finished = Some(expression),
        }
    }

    fn tables(&self) -> &'s Tables {
        self.snapshot.tables()
    }

    fn variation_of(&self, flag: u32, decision: Packed) -> Option<String> {
        self.snapshot
            .decision(FlagId(flag), decision)
            .variation
            .map(str::to_owned)
    }

    fn saw(&mut self, attribute: u32, value: Value<'_>) {
        let name = self.snapshot.attribute_name(attribute);
        if self.attributes.iter().all(|seen| seen.name != name) {
            self.attributes.push(AttributeSeen {
                name: name.into(),
                kind: leaf::kind_name(value),
            });
        }
    }
}

impl Visitor for Writer<'_> {
    const EXHAUSTIVE: bool = true;

    fn rule(&mut self, _at: u16, rule: &Rule) {
        self.rules.push(RuleExplanation {
            rule: String::new(),
            kind: rule.kind,
            outcome: Outcome::Misses,
            steps: Vec::new(),
        });
    }

    fn schedule(&mut self, rule: &Rule, holds: bool) {
        let start_ms = Some(rule.start_ms).filter(|start| *start != i64::MIN);
        let end_ms = Some(rule.end_ms).filter(|end| *end != i64::MAX);
        self.step(Step::Schedule {
            holds,
            start_ms,
            end_ms,
        });
    }

    fn requires(&mut self, flag: u32, answer: Answer, decision: Packed) {
        let step = Step::Requires {
            answer,
            flag: self.snapshot.flag_key(FlagId(flag)).into(),
            variation: self.variation_of(flag, decision),
            reason: decision.reason(),
        };
        self.step(step);
    }

    fn holdout(&mut self, holdout: u32, finding: HoldoutFinding) {
        let (finding, hash) = match finding {
            HoldoutFinding::NoUnit => ("no_unit", None),
            HoldoutFinding::NotConcerned => ("not_concerned", None),
            HoldoutFinding::Open(hash) => ("open", Some(hash)),
            HoldoutFinding::Held(hash) => ("held", Some(hash)),
        };
        let tables = self.tables();
        let id = tables
            .holdouts
            .get(holdout as usize)
            .map_or("", |holdout| tables.str(holdout.id));
        let when = self.finished.take();
        self.step(Step::Holdout {
            holds: finding != "held",
            holdout: id.into(),
            finding,
            hash,
            when,
        });
    }

    fn unit(&mut self, attribute: u32, unit: Option<&str>) {
        let attribute = self.snapshot.attribute_name(attribute).to_owned();
        self.step(Step::Unit {
            holds: unit.is_some(),
            attribute,
            unit: unit.map(str::to_owned),
        });
    }

    fn draw(&mut self, draw: Draws, hash: u32, holds: bool) {
        self.step(match draw {
            Draws::Layer => Step::Layer {
                holds,
                layer: String::new(),
                hash,
                slot: slot(hash),
            },
            Draws::Traffic => Step::Traffic {
                holds,
                hash,
                bucket: basis_point(hash),
            },
            Draws::Split => Step::Split {
                holds,
                hash,
                bucket: basis_point(hash),
            },
        });
    }

    fn sticky(&mut self, finding: StickyFinding) {
        let (hit, finding, phase) = match finding {
            StickyFinding::Hit(_) => (true, "hit", None),
            StickyFinding::NoRecord => (false, "no_record", None),
            StickyFinding::OtherPhase(phase) => (false, "other_phase", Some(phase)),
            StickyFinding::OtherUnit => (false, "other_unit", None),
            StickyFinding::VariationGone => (false, "variation_gone", None),
        };
        self.step(Step::Sticky { hit, finding, phase });
    }

    fn targeting(&mut self, answer: Answer) {
        let expression = self.finished.take();
        self.step(Step::Targeting { answer, expression });
    }

    fn enter(&mut self, group: Group) {
        self.groups.push((group, Vec::new()));
    }

    fn leave(&mut self, answer: Answer) {
        if let Some((group, members)) = self.groups.pop() {
            let group = match group {
                Group::All => "all",
                Group::Any => "any",
                Group::Not => "not",
                Group::Segment(_) => "segment",
            };
            self.put(Expression::Group { group, answer, members });
        }
    }

    fn leaf(
        &mut self,
        node: &Node,
        value: Value<'_>,
        hash: Option<u32>,
        decision: Option<Packed>,
        answer: Answer,
        why: Option<WhyUnknown>,
    ) {
        let mut leaf = leaf::describe(self.snapshot, node, value);
        leaf.answer = answer;
        leaf.hash = hash;
        leaf.why = why.map(|why| match why {
            WhyUnknown::Missing => "missing",
            WhyUnknown::WrongType => "wrong_type",
            WhyUnknown::NoUnit => "no_unit",
            WhyUnknown::FlagUndecided => "flag_undecided",
        });
        if let (Some(decision), Node::FlagIs(test)) = (decision, node) {
            leaf.reason = Some(decision.reason());
            let flag = self.tables().flag_tests.get(*test as usize).map(|test| test.flag);
            leaf.value = flag.and_then(|flag| self.variation_of(flag, decision)).map(Into::into);
        }
        if let Some(attribute) = leaf::attribute_of(self.tables(), node) {
            self.saw(attribute, value);
        }
        self.put(Expression::Leaf(leaf));
    }
}
