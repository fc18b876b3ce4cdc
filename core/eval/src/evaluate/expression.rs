//! Expressions: groups in preorder, leaves by what they ask.

use super::{Answer, Evaluator, Group, Visitor, WhyUnknown, limited};
use crate::compiled::{Node, Nodes, Test};
use crate::context::{Attributes, ListHandle, Value};
use crate::unit::{DecimalBuffer, unit_id};
use crate::wire::Over;

impl<A: Attributes + ?Sized, V: Visitor> Evaluator<'_, A, V> {
    /// The answer of an expression that is there. Callers need to know only whether it is true: what is not true may come
    /// back as either of the others.
    #[inline]
    pub(super) fn expression(&mut self, nodes: Nodes) -> Answer {
        self.node(nodes.start, !V::EXHAUSTIVE).0
    }

    /// The answer of the node at `at`, and where the next one stands. With `truth_only` a group may stop at the first
    /// member that keeps it from being true.
    ///
    /// Recursion is bounded: the compiler admits 32 levels, the segments an expression uses included.
    fn node(&mut self, at: u32, truth_only: bool) -> (Answer, u32) {
        let next = at.wrapping_add(1);
        let tables = self.tables;
        let Some(node) = tables.nodes.get(at as usize) else {
            return (Answer::Unknown, next);
        };
        match *node {
            Node::Attribute {
                attribute,
                over,
                ref test,
            } => (self.attribute(node, attribute, over, test), next),
            Node::All { end } => {
                self.visitor.enter(Group::All);
                let (mut answer, mut child) = (Answer::True, next);
                while child < end {
                    let (member, after) = self.member(child, truth_only);
                    answer = answer.min(member);
                    child = after;
                    let settled = answer == Answer::False || truth_only && answer == Answer::Unknown;
                    if settled && !V::EXHAUSTIVE {
                        break;
                    }
                }
                self.visitor.leave(answer);
                (answer, end)
            }
            Node::Any { end } => {
                self.visitor.enter(Group::Any);
                let (mut answer, mut child) = (Answer::False, next);
                while child < end {
                    let (member, after) = self.member(child, truth_only);
                    answer = answer.max(member);
                    child = after;
                    if answer == Answer::True && !V::EXHAUSTIVE {
                        break;
                    }
                }
                self.visitor.leave(answer);
                (answer, end)
            }
            Node::Not { end } => {
                self.visitor.enter(Group::Not);
                let answer = self.node(next, false).0.negated();
                self.visitor.leave(answer);
                (answer, end)
            }
            Node::InSegment(segment) => {
                self.visitor.enter(Group::Segment(segment));
                let answer = match tables.segments.get(segment as usize) {
                    Some(segment) => self.node(segment.nodes.start, truth_only).0,
                    None => Answer::Unknown,
                };
                self.visitor.leave(answer);
                (answer, next)
            }
            Node::InBucket(draw) => {
                let Some(draw) = tables.unit_draws.get(draw as usize) else {
                    return (Answer::Unknown, next);
                };
                let (mut buffer, value) = (DecimalBuffer::new(), self.value(draw.unit));
                let hash = unit_id(value, &mut buffer).map(|unit| draw.draw.salt.hash(unit.as_bytes()));
                let answer = hash.map_or(Answer::Unknown, |hash| Answer::from_bool(draw.draw.holds(tables, hash)));
                self.visitor.leaf(
                    node,
                    value,
                    hash,
                    None,
                    answer,
                    hash.is_none().then_some(WhyUnknown::NoUnit),
                );
                (answer, next)
            }
            Node::InList { unit, list } => {
                let (mut buffer, value) = (DecimalBuffer::new(), self.value(unit));
                let list = tables
                    .lists
                    .get(list as usize)
                    .and_then(|list| Some((&list.hasher, list.ids.as_ref()?)));
                let found = unit_id(value, &mut buffer)
                    .zip(list)
                    .map(|(unit, (hasher, ids))| ids.contains(hasher.hash(unit)));
                let answer = found.map_or(Answer::Unknown, Answer::from_bool);
                self.visitor.leaf(
                    node,
                    value,
                    None,
                    None,
                    answer,
                    found.is_none().then_some(WhyUnknown::NoUnit),
                );
                (answer, next)
            }
            Node::FlagIs(test) => {
                let Some(test) = tables.flag_tests.get(test as usize) else {
                    return (Answer::Unknown, next);
                };
                let (answer, decision) = self.flag_test(*test);
                let why = (answer == Answer::Unknown).then_some(WhyUnknown::FlagUndecided);
                self.visitor
                    .leaf(node, Value::Missing, None, Some(decision), answer, why);
                (answer, next)
            }
        }
    }

    /// As [`Evaluator::node`], for a member of a group: most are leaves on an attribute, and those need no call.
    #[inline(always)]
    fn member(&mut self, at: u32, truth_only: bool) -> (Answer, u32) {
        match self.tables.nodes.get(at as usize) {
            Some(node @ Node::Attribute { attribute, over, test }) => {
                (self.attribute(node, *attribute, *over, test), at.wrapping_add(1))
            }
            _ => self.node(at, truth_only),
        }
    }

    #[inline(always)]
    fn attribute(&mut self, node: &Node, attribute: u32, over: Option<Over>, test: &Test) -> Answer {
        let value = self.value(attribute);
        let (answer, why) = match over {
            None => self.test(test, value),
            Some(over) => self.over(over, test, value),
        };
        self.visitor.leaf(node, value, None, None, answer, why);
        answer
    }

    /// A test over the elements of a list.
    fn over(&self, over: Over, test: &Test, value: Value<'_>) -> (Answer, Option<WhyUnknown>) {
        let list = match value {
            Value::List(list) => list,
            Value::Missing => return (Answer::Unknown, Some(WhyUnknown::Missing)),
            _ => return (Answer::Unknown, Some(WhyUnknown::WrongType)),
        };
        match self.join(over, test, list) {
            Some(Answer::Unknown) | None => (Answer::Unknown, Some(WhyUnknown::WrongType)),
            Some(answer) => (answer, None),
        }
    }

    /// The joined answer; none when an element makes the whole list unusable.
    fn join(&self, over: Over, test: &Test, list: ListHandle) -> Option<Answer> {
        let all = over == Over::All;
        let mut joined = if all { Answer::True } else { Answer::False };
        let settled = joined.negated();
        for index in 0..list.len {
            let element = limited(self.context.element(list, index));
            if matches!(element, Value::Missing | Value::List(_) | Value::Unusable) {
                return None;
            }
            // Settled, but an element further on may still make the list unusable.
            if joined != settled {
                let (answer, _) = self.test(test, element);
                joined = if all { joined.min(answer) } else { joined.max(answer) };
            }
        }
        Some(if over == Over::None { joined.negated() } else { joined })
    }
}
