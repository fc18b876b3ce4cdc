//! What an evaluation can be told to write down.

use super::Answer;
use crate::compiled::{Node, Rule};
use crate::context::Value;
use crate::packed::Packed;

/// The draws of a rule, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draws {
    Layer,
    Traffic,
    Split,
}

/// A group of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    All,
    Any,
    Not,
    /// By index.
    Segment(u32),
}

/// Why a leaf is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhyUnknown {
    Missing,
    WrongType,
    NoUnit,
    FlagUndecided,
}

/// What was found of a holdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldoutFinding {
    /// The context has no such unit.
    NoUnit,
    /// Its `when` is not true.
    NotConcerned,
    /// Not held.
    Open(u32),
    /// Held.
    Held(u32),
}

/// What was found of the host's sticky assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StickyFinding {
    NoRecord,
    OtherPhase(u32),
    OtherUnit,
    VariationGone,
    Hit(u8),
}

/// Is told what the evaluator finds, in the order it finds it.
pub(crate) trait Visitor {
    /// Whether every leaf is to be asked, also where the answer of its group is settled.
    const EXHAUSTIVE: bool;

    #[inline(always)]
    fn overridden(&mut self, _variation: u8) {}
    #[inline(always)]
    fn rule(&mut self, _at: u16, _rule: &Rule) {}
    #[inline(always)]
    fn schedule(&mut self, _rule: &Rule, _holds: bool) {}
    #[inline(always)]
    fn requires(&mut self, _flag: u32, _answer: Answer, _decision: Packed) {}
    /// Comes behind the holdout's `when`, if it has one.
    #[inline(always)]
    fn holdout(&mut self, _holdout: u32, _finding: HoldoutFinding) {}
    #[inline(always)]
    fn unit(&mut self, _attribute: u32, _unit: Option<&str>) {}
    #[inline(always)]
    fn draw(&mut self, _draw: Draws, _hash: u32, _holds: bool) {}
    #[inline(always)]
    fn sticky(&mut self, _finding: StickyFinding) {}
    /// Comes behind the expression itself.
    #[inline(always)]
    fn targeting(&mut self, _answer: Answer) {}
    #[inline(always)]
    fn enter(&mut self, _group: Group) {}
    #[inline(always)]
    fn leave(&mut self, _answer: Answer) {}
    /// `hash` is that of an `in_bucket`; `decision` that of a `flag_is`.
    #[inline(always)]
    fn leaf(
        &mut self,
        _node: &Node,
        _value: Value<'_>,
        _hash: Option<u32>,
        _decision: Option<Packed>,
        _answer: Answer,
        _why: Option<WhyUnknown>,
    ) {
    }
}

/// Hears nothing: the visitor of a plain evaluation.
pub(crate) struct Silent;

impl Visitor for Silent {
    const EXHAUSTIVE: bool = false;
}
