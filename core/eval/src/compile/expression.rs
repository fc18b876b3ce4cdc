//! Expressions become nodes: names to indices, operands parsed once.

use hashbrown::HashTable;

use super::builder::{Builder, append, index};
use super::fault::{Problem, Under};
use super::parts::{Parts, Uses};
use crate::compiled::{
    Comparison, FlagVariations, Node, Nodes, SemverOperand, Span, Test, UnitDraw, Within, WordSet, folded_table_hash,
    plain_version, table_hash,
};
use crate::formats::dotted::OwnedDotted;
use crate::formats::instant::parse_rfc3339_ms;
use crate::formats::ip::Cidr;
use crate::formats::pattern::Pattern;
use crate::formats::semver::OwnedVersion;
use crate::wire::{AttributeTest, Expression, Op, Operand};

/// The deepest expression, the segments it uses included.
pub(super) const MAX_DEPTH: u32 = 32;
/// The most operands in a list.
const MAX_OPERANDS: usize = 10_000;
/// Operands up to this many are compared one by one; more become a set.
const MAX_LINEAR: usize = 12;
/// The greatest integer of the contract: 2^53 − 1.
pub(super) const MAX_INTEGER: i64 = 9_007_199_254_740_991;

/// Compiles one expression and says which nodes it became.
pub(super) fn compile(
    builder: &mut Builder,
    parts: &Parts,
    uses: &mut Uses,
    expression: &Expression,
) -> Result<Nodes, Problem> {
    let start = builder.tables.nodes.len();
    let depth = Compiler { builder, parts, uses }.expression(expression, 1)?;
    uses.depth = uses.depth.max(depth);
    Ok(Nodes {
        start: index(start),
        end: index(builder.tables.nodes.len()),
    })
}

struct Compiler<'a> {
    builder: &'a mut Builder,
    parts: &'a Parts,
    uses: &'a mut Uses,
}

impl Compiler<'_> {
    /// Writes the nodes of an expression `level` deep and says how deep it goes itself.
    fn expression(&mut self, expression: &Expression, level: u32) -> Result<u32, Problem> {
        check_depth(level)?;
        match expression {
            Expression::All(children) => self.group(children, level, "all", |end| Node::All { end }),
            Expression::Any(children) => self.group(children, level, "any", |end| Node::Any { end }),
            Expression::Not(child) => {
                let at = self.reserve();
                let depth = self.expression(child, level.saturating_add(1)).under("not")?;
                self.settle(at, |end| Node::Not { end });
                Ok(depth.saturating_add(1))
            }
            leaf => {
                self.uses.cost = self.uses.cost.saturating_add(1);
                let (node, depth) = self.leaf(leaf, level)?;
                self.builder.tables.nodes.push(node);
                Ok(depth)
            }
        }
    }

    fn group(
        &mut self,
        children: &[Expression],
        level: u32,
        name: &str,
        node: impl Fn(u32) -> Node,
    ) -> Result<u32, Problem> {
        check_operands(children.len()).under(name)?;
        let at = self.reserve();
        let mut deepest = 0;
        for (place, child) in children.iter().enumerate() {
            let depth = self
                .expression(child, level.saturating_add(1))
                .under(place)
                .under(name)?;
            deepest = deepest.max(depth);
        }
        self.settle(at, node);
        Ok(deepest.saturating_add(1))
    }

    fn reserve(&mut self) -> usize {
        let at = self.builder.tables.nodes.len();
        self.builder.tables.nodes.push(Node::All { end: 0 });
        at
    }

    fn settle(&mut self, at: usize, node: impl Fn(u32) -> Node) {
        let end = index(self.builder.tables.nodes.len());
        if let Some(place) = self.builder.tables.nodes.get_mut(at) {
            *place = node(end);
        }
    }

    fn leaf(&mut self, leaf: &Expression, level: u32) -> Result<(Node, u32), Problem> {
        let node = match leaf {
            Expression::All(_) | Expression::Any(_) | Expression::Not(_) => {
                return Err(Problem::new(
                    "a group where a leaf belongs",
                    "report this: it is a fault of the compiler",
                ));
            }
            Expression::Attribute(test) => {
                let attribute = self.builder.attribute(&test.attr).under("attr")?;
                Node::Attribute {
                    attribute,
                    over: test.over,
                    test: self.test(test)?,
                }
            }
            Expression::InBucket(test) => {
                let unit = self.builder.attribute(&test.unit).under("unit")?;
                let salt = Builder::salt(&test.salt)?;
                let draw = self.builder.draw(salt, &test.ranges).under("ranges")?;
                let at = index(self.builder.tables.unit_draws.len());
                self.builder.tables.unit_draws.push(UnitDraw { unit, draw });
                Node::InBucket(at)
            }
            Expression::InList(test) => {
                let unit = self.builder.attribute(&test.unit).under("unit")?;
                let list = self.parts.list(&test.list).under("list")?;
                if !self.parts.is_supplied(&self.builder.tables, list) {
                    self.uses.lists_missing = true;
                }
                Node::InList { unit, list }
            }
            Expression::InSegment(name) => {
                let segment = self.parts.segment(name).under("segment")?;
                self.uses.segments.push(segment);
                let depth = self.parts.segment_depth(segment).saturating_add(1);
                check_depth(level.saturating_add(depth).saturating_sub(1))?;
                return Ok((Node::InSegment(segment), depth));
            }
            Expression::FlagIs(test) => {
                let flag = self.parts.flag_reference(self.builder, &test.flag, &test.variations)?;
                let at = self.builder.tables.flag_tests.len();
                self.builder.tables.flag_tests.push(FlagVariations {
                    flag,
                    variations: Span::default(),
                });
                self.uses.flag_test(at, flag, &test.variations);
                Node::FlagIs(index(at))
            }
        };
        Ok((node, 1))
    }

    fn test(&mut self, test: &AttributeTest) -> Result<Test, Problem> {
        use Op::*;
        let field = match test.operand {
            Operand::Texts(_) | Operand::Numbers(_) => "values",
            _ => "value",
        };
        match (&test.operand, test.op) {
            (Operand::None, IsPresent) => Ok(Test::Present),
            (Operand::Text(text), op) => self.on_text(op, text).under(field),
            (Operand::Texts(texts), op) => {
                check_operands(texts.len())
                    .and_then(|()| at_least_one(texts.len()))
                    .under(field)?;
                self.on_texts(op, texts).under(field)
            }
            (Operand::Number(value), op) if value.is_finite() => {
                let comparison = match op {
                    NumEq => Comparison::Eq,
                    NumLt => Comparison::Lt,
                    NumLte => Comparison::Lte,
                    NumGt => Comparison::Gt,
                    NumGte => Comparison::Gte,
                    _ => return Err(mismatch(op)),
                };
                Ok(Test::Number {
                    comparison,
                    value: *value,
                })
            }
            (Operand::Numbers(values), NumIn) if values.iter().all(|value| value.is_finite()) => {
                check_operands(values.len())
                    .and_then(|()| at_least_one(values.len()))
                    .under(field)?;
                let mut sorted = values.clone();
                sorted.sort_by(f64::total_cmp);
                Ok(Test::NumberIn {
                    numbers: append(&mut self.builder.tables.numbers, sorted),
                })
            }
            (Operand::Bool(value), BoolIs) => Ok(Test::Bool(*value)),
            (Operand::Millis(ms), op) => {
                if ms.abs() > MAX_INTEGER {
                    return Err(Problem::new(
                        format!("{ms} milliseconds"),
                        format!("write an integer within ±{MAX_INTEGER}"),
                    )
                    .under(field));
                }
                let comparison = match op {
                    AgeLt => Comparison::Lt,
                    AgeLte => Comparison::Lte,
                    AgeGt => Comparison::Gt,
                    AgeGte => Comparison::Gte,
                    _ => return Err(mismatch(op)),
                };
                Ok(Test::Age { comparison, ms: *ms })
            }
            (_, op) => Err(mismatch(op).under(field)),
        }
    }

    fn on_text(&mut self, op: Op, text: &str) -> Result<Test, Problem> {
        use Op::*;
        Ok(match op {
            StrEq => self.equals(false, std::slice::from_ref(&text)),
            StrEqCi => self.equals(true, std::slice::from_ref(&text)),
            StrEqSha256 => self.hashed(false, std::iter::once(text))?,
            StrEqCiSha256 => self.hashed(true, std::iter::once(text))?,
            RegexMatch => {
                let pattern = Pattern::compile(text).map_err(|error| {
                    Problem::new(
                        format!("the pattern {text:?}: {error}"),
                        "write it within the syntax of docs/contract/operators.md, Pattern",
                    )
                })?;
                let source = self.builder.text(text);
                Test::Regex {
                    pattern: push(&mut self.builder.tables.patterns, (source, pattern)),
                }
            }
            SemverEq | SemverLt | SemverLte | SemverGt | SemverGte => {
                let version = OwnedVersion::parse(text).ok_or_else(|| {
                    Problem::new(
                        format!("{text:?} is no semantic version"),
                        "write MAJOR.MINOR.PATCH, as 2.10.0 or 3.0.0-rc.1",
                    )
                })?;
                let comparison = match op {
                    SemverEq => Comparison::Eq,
                    SemverLt => Comparison::Lt,
                    SemverLte => Comparison::Lte,
                    SemverGt => Comparison::Gt,
                    _ => Comparison::Gte,
                };
                let operand = SemverOperand {
                    text: self.builder.text(text),
                    version,
                    plain: plain_version(text.as_bytes()),
                };
                Test::Semver {
                    comparison,
                    version: push(&mut self.builder.tables.versions, operand),
                }
            }
            DottedEq | DottedLt | DottedLte | DottedGt | DottedGte => {
                let version = OwnedDotted::parse(text).ok_or_else(|| {
                    Problem::new(
                        format!("{text:?} is no dotted version"),
                        "write numbers with dots between them, as 17.2 or 10.0.19045.1",
                    )
                })?;
                let comparison = match op {
                    DottedEq => Comparison::Eq,
                    DottedLt => Comparison::Lt,
                    DottedLte => Comparison::Lte,
                    DottedGt => Comparison::Gt,
                    _ => Comparison::Gte,
                };
                let source = self.builder.text(text);
                Test::Dotted {
                    comparison,
                    version: push(&mut self.builder.tables.dotted, (source, version)),
                }
            }
            DateLt | DateLte | DateGt | DateGte => {
                let ms = parse_rfc3339_ms(text).ok_or_else(|| {
                    Problem::new(
                        format!("{text:?} is no instant"),
                        "write RFC 3339 with upper-case T and Z, as 2026-11-23T08:00:00Z",
                    )
                })?;
                let comparison = match op {
                    DateLt => Comparison::Lt,
                    DateLte => Comparison::Lte,
                    DateGt => Comparison::Gt,
                    _ => Comparison::Gte,
                };
                Test::Date { comparison, ms }
            }
            _ => return Err(mismatch(op)),
        })
    }

    fn on_texts(&mut self, op: Op, texts: &[String]) -> Result<Test, Problem> {
        use Op::*;
        let words = |compiler: &mut Self, within, ci| {
            let words: Vec<_> = texts
                .iter()
                .map(|text| compiler.builder.word(&fold(ci, text)))
                .collect();
            Ok(Test::Contains {
                within,
                ci,
                words: append(&mut compiler.builder.tables.words, words),
            })
        };
        match op {
            StrIn => Ok(self.equals(false, texts)),
            StrInCi => Ok(self.equals(true, texts)),
            StrPrefix => words(self, Within::Prefix, false),
            StrPrefixCi => words(self, Within::Prefix, true),
            StrSuffix => words(self, Within::Suffix, false),
            StrSuffixCi => words(self, Within::Suffix, true),
            StrContains => words(self, Within::Anywhere, false),
            StrContainsCi => words(self, Within::Anywhere, true),
            StrInSha256 => self.hashed(false, texts.iter().map(String::as_str)),
            StrInCiSha256 => self.hashed(true, texts.iter().map(String::as_str)),
            IpInCidr => {
                let mut cidrs = Vec::new();
                for (place, text) in texts.iter().enumerate() {
                    let cidr = Cidr::parse(text).map_err(|error| {
                        Problem::new(format!("{text:?} is no CIDR block"), error.to_string()).under(place)
                    })?;
                    cidrs.push((self.builder.text(text), cidr));
                }
                Ok(Test::Cidr {
                    cidrs: append(&mut self.builder.tables.cidrs, cidrs),
                })
            }
            _ => Err(mismatch(op)),
        }
    }

    fn equals<T: AsRef<str>>(&mut self, ci: bool, texts: &[T]) -> Test {
        if texts.len() <= MAX_LINEAR {
            let words: Vec<_> = texts
                .iter()
                .map(|text| self.builder.word(&fold(ci, text.as_ref())))
                .collect();
            return Test::Equals {
                ci,
                words: append(&mut self.builder.tables.words, words),
            };
        }
        let mut words = HashTable::with_capacity(texts.len());
        let mut longest = 0;
        for text in texts {
            let text = fold(ci, text.as_ref());
            longest = longest.max(text.len());
            let span = self.builder.text(&text);
            let all = self.builder.tables.text.as_bytes();
            let of = |bytes: &[u8]| {
                if ci {
                    folded_table_hash(bytes)
                } else {
                    table_hash(bytes)
                }
            };
            words
                .entry(
                    of(text.as_bytes()),
                    |other| *other == span,
                    |other: &Span| of(other.of(all)),
                )
                .or_insert(span);
        }
        Test::EqualsAny {
            set: push(&mut self.builder.tables.word_sets, WordSet { ci, longest, words }),
        }
    }

    fn hashed<'t>(&mut self, ci: bool, texts: impl Iterator<Item = &'t str>) -> Result<Test, Problem> {
        if self.builder.tables.obfuscation.is_none() {
            return Err(Problem::new(
                "a hashed operand in a manifest without `obfuscation`",
                "give the manifest its `obfuscation`, or the operand in the clear",
            ));
        }
        let mut hashes = Vec::new();
        for text in texts {
            let lower_hex = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let hash = u64::from_str_radix(text, 16).ok().filter(|_| lower_hex);
            hashes.push(hash.ok_or_else(|| {
                Problem::new(
                    format!("{text:?} is no hashed operand"),
                    "write 16 lower-case hex digits",
                )
            })?);
        }
        hashes.sort_unstable();
        Ok(Test::Hashed {
            ci,
            hashes: append(&mut self.builder.tables.hashes, hashes),
        })
    }
}

fn push<T>(table: &mut Vec<T>, entry: T) -> u32 {
    let at = index(table.len());
    table.push(entry);
    at
}

fn fold(ci: bool, text: &str) -> std::borrow::Cow<'_, str> {
    if ci {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

fn mismatch(op: Op) -> Problem {
    Problem::new(
        format!("an operand that `{}` does not take", op.name()),
        "write the operand as docs/contract/operators.md lists it",
    )
}

fn check_depth(depth: u32) -> Result<(), Problem> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    Err(Problem::new(
        format!("the expression is more than {MAX_DEPTH} deep, its segments included"),
        "flatten it: `all` and `any` take many members",
    ))
}

pub(super) fn check_operands(count: usize) -> Result<(), Problem> {
    if count <= MAX_OPERANDS {
        return Ok(());
    }
    Err(Problem::new(
        format!("{count} operands"),
        format!("give at most {MAX_OPERANDS}; for more ids use an id list"),
    ))
}

pub(super) fn at_least_one(count: usize) -> Result<(), Problem> {
    if count > 0 {
        return Ok(());
    }
    Err(Problem::new("an empty list", "give at least one"))
}
