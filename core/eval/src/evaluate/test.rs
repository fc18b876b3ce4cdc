//! What a leaf asks of one value (`docs/contract/operators.md`, "Leaves on one attribute").

use core::cmp::Ordering;

use super::text::{contains, equals};
use super::{Answer, Evaluator, Visitor, WhyUnknown};
use crate::compiled::{Span, Test, folded_table_hash, plain_version, table_hash};
use crate::context::{Attributes, Value};
use crate::formats::dotted::Dotted;
use crate::formats::instant::{from_number, parse_rfc3339_ms};
use crate::formats::ip::parse_addr;
use crate::formats::semver::Version;

impl<A: Attributes + ?Sized, V: Visitor> Evaluator<'_, A, V> {
    /// The answer of a test, and why it is unknown.
    #[inline(always)]
    pub(super) fn test(&self, test: &Test, value: Value<'_>) -> (Answer, Option<WhyUnknown>) {
        let holds = match value {
            Value::Missing => {
                return match test {
                    Test::Present => (Answer::False, None),
                    _ => (Answer::Unknown, Some(WhyUnknown::Missing)),
                };
            }
            _ if matches!(test, Test::Present) => Some(true),
            Value::Str(text) => self.test_text(test, text),
            Value::Num(number) => self.test_number(test, number),
            Value::Bool(bool) => match test {
                Test::Bool(operand) => Some(bool == *operand),
                _ => None,
            },
            Value::List(_) | Value::Unusable => None,
        };
        match holds {
            Some(holds) => (Answer::from_bool(holds), None),
            None => (Answer::Unknown, Some(WhyUnknown::WrongType)),
        }
    }

    #[inline(always)]
    fn test_text(&self, test: &Test, text: &str) -> Option<bool> {
        let tables = self.tables;
        let bytes = text.as_bytes();
        Some(match *test {
            Test::Equals { ci, words } => equals(tables, words, ci, bytes),
            Test::EqualsAny { set } => {
                let set = tables.word_sets.get(set as usize)?;
                if bytes.len() > set.longest {
                    false
                } else if set.ci {
                    let same = |span: &Span| tables.bytes(*span).eq_ignore_ascii_case(bytes);
                    set.words.find(folded_table_hash(bytes), same).is_some()
                } else {
                    set.words
                        .find(table_hash(bytes), |span| tables.bytes(*span) == bytes)
                        .is_some()
                }
            }
            Test::Contains { within, ci, words } => contains(tables, words, within, ci, text),
            Test::Hashed { ci, hashes } => {
                let salted = tables.obfuscation.as_ref()?;
                let hash = if ci {
                    salted.first8_folded(text)
                } else {
                    salted.first8(text)
                };
                hashes.of(&tables.hashes).binary_search(&hash).is_ok()
            }
            Test::Semver { comparison, version } => {
                let operand = tables.versions.get(version as usize)?;
                let plain = operand.plain.and_then(|plain| Some(plain_version(bytes)?.cmp(&plain)));
                comparison.holds(match plain {
                    Some(order) => order,
                    None => Version::parse(text)?.cmp_precedence(&operand.version.as_version()),
                })
            }
            Test::Dotted { comparison, version } => {
                let (_, operand) = tables.dotted.get(version as usize)?;
                comparison.holds(Dotted::parse(text)?.compare(&operand.as_dotted()))
            }
            Test::Date { .. } | Test::Age { .. } => self.test_instant(test, parse_rfc3339_ms(text)?)?,
            Test::Regex { pattern } => tables.patterns.get(pattern as usize)?.1.is_match(text),
            Test::Cidr { cidrs } => {
                let address = parse_addr(text)?;
                cidrs.of(&tables.cidrs).iter().any(|(_, cidr)| cidr.contains(address))
            }
            _ => return None,
        })
    }

    #[inline]
    fn test_number(&self, test: &Test, number: f64) -> Option<bool> {
        Some(match *test {
            Test::Number { comparison, value } => comparison.holds(number.partial_cmp(&value)?),
            Test::NumberIn { numbers } => {
                let numbers = numbers.of(&self.tables.numbers);
                // -0 and 0 are equal and stand side by side.
                numbers
                    .get(numbers.partition_point(|operand| *operand < number))
                    .is_some_and(|operand| *operand == number)
            }
            Test::Date { .. } | Test::Age { .. } => self.test_instant(test, from_number(number)?)?,
            _ => return None,
        })
    }

    fn test_instant(&self, test: &Test, instant: i64) -> Option<bool> {
        Some(match *test {
            Test::Date { comparison, ms } => comparison.holds(instant.cmp(&ms)),
            Test::Age { comparison, ms } => {
                // `now` may be any i64: the difference needs more.
                let age = i128::from(self.now_ms).wrapping_sub(i128::from(instant));
                let order: Ordering = age.cmp(&i128::from(ms));
                comparison.holds(order)
            }
            _ => return None,
        })
    }
}
