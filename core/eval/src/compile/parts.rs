//! What flags share: id lists, layers, segments, holdouts. Each compiles on its own; a broken one costs the flags that use it.

use std::collections::BTreeMap;

use super::builder::{Builder, index};
use super::expression::{at_least_one, check_operands};
use super::fault::{MissingList, Problem, Under};
use super::reporter::{Part, Reporter};
use super::{ListSource, expression, graph};
use crate::bucket::PreparedSalt;
use crate::compiled::{Holdout, List, Nodes, Segment, Tables};
use crate::wire::{self, Expression, RawMap};

/// What a part or a flag refers to, and what evaluating it can cost.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Leaves, and one for each reference.
    pub cost: u64,
    /// How deep its expressions go.
    pub depth: u32,
    /// Segments, each as often as it is used.
    pub segments: Vec<u32>,
    /// Holdouts, each as often as it is used.
    pub holdouts: Vec<u32>,
    /// Flags, each as often as it is used.
    pub flags: Vec<u32>,
    /// It names an id list that the host has not supplied.
    pub lists_missing: bool,
    /// Variations of other flags, looked up when all flags have been read.
    pub pending: Vec<PendingVariations>,
}

/// Where the variations of another flag are to be put.
#[derive(Clone, Copy, Debug)]
pub(super) enum PendingPlace {
    FlagTest(usize),
    Require(usize),
}

#[derive(Debug)]
pub(super) struct PendingVariations {
    pub place: PendingPlace,
    pub flag: u32,
    pub names: Vec<String>,
}

impl Uses {
    pub fn flag_test(&mut self, at: usize, flag: u32, names: &[String]) {
        self.flags.push(flag);
        self.pending.push(PendingVariations {
            place: PendingPlace::FlagTest(at),
            flag,
            names: names.to_vec(),
        });
    }

    pub fn require(&mut self, at: usize, flag: u32, names: &[String]) {
        self.cost = self.cost.saturating_add(1);
        self.flags.push(flag);
        self.pending.push(PendingVariations {
            place: PendingPlace::Require(at),
            flag,
            names: names.to_vec(),
        });
    }
}

/// A layer, ready to be copied into rules.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub unit: u32,
    pub salt: PreparedSalt,
    pub salt_text: String,
}

/// A segment or holdout that can be referred to.
#[derive(Debug, Default)]
pub(super) struct Referable {
    pub uses: Uses,
    pub broken: bool,
}

/// The parts by name. `None` marks one that is there and broken.
#[derive(Debug, Default)]
pub(super) struct Parts {
    lists: BTreeMap<String, Option<u32>>,
    layers: BTreeMap<String, Option<Layer>>,
    segment_names: BTreeMap<String, u32>,
    /// In the order of their indices.
    pub segments: Vec<Referable>,
    /// Segment indices, each after those it uses.
    pub segment_order: Vec<u32>,
    holdout_names: BTreeMap<String, u32>,
    /// In the order of their indices.
    pub holdouts: Vec<Referable>,
    /// The holdouts' salts: one rule must not draw twice from one.
    holdout_salts: Vec<String>,
}

fn broken(what: &str, name: &str) -> Problem {
    Problem::new(
        format!("the {what} `{name}` does not compile"),
        format!("mend the {what}: it is reported by itself"),
    )
}

impl Parts {
    pub fn list(&self, name: &str) -> Result<u32, Problem> {
        let list = self.lists.get(name).ok_or_else(|| Problem::unknown("list", name))?;
        list.ok_or_else(|| broken("list", name))
    }

    pub fn is_supplied(&self, tables: &Tables, list: u32) -> bool {
        tables.lists.get(list as usize).is_some_and(|list| list.ids.is_some())
    }

    pub fn layer(&self, name: &str) -> Result<&Layer, Problem> {
        let layer = self.layers.get(name).ok_or_else(|| Problem::unknown("layer", name))?;
        layer.as_ref().ok_or_else(|| broken("layer", name))
    }

    /// The index of a segment. Whether it compiles is known only at the end: see `references`.
    pub fn segment(&self, name: &str) -> Result<u32, Problem> {
        self.segment_names
            .get(name)
            .copied()
            .ok_or_else(|| Problem::unknown("segment", name))
    }

    pub fn segment_depth(&self, segment: u32) -> u32 {
        self.segments
            .get(segment as usize)
            .map_or(0, |segment| segment.uses.depth)
    }

    /// The index of a holdout. Whether it compiles is known only at the end: see `references`.
    pub fn holdout(&self, name: &str) -> Result<u32, Problem> {
        self.holdout_names
            .get(name)
            .copied()
            .ok_or_else(|| Problem::unknown("holdout", name))
    }

    pub fn holdout_salt(&self, holdout: u32) -> &str {
        self.holdout_salts.get(holdout as usize).map_or("", String::as_str)
    }

    /// The index of a flag that a `flag_is` or `requires` names, with the form of its `variations` checked.
    pub fn flag_reference(&self, builder: &Builder, key: &str, variations: &[String]) -> Result<u32, Problem> {
        check_operands(variations.len())
            .and_then(|()| at_least_one(variations.len()))
            .under("variations")?;
        builder
            .flag(key)
            .ok_or_else(|| Problem::unknown("flag", key))
            .under("flag")
    }

    pub fn read_lists(
        &mut self,
        builder: &mut Builder,
        raw: &RawMap<'_>,
        source: &dyn ListSource,
        reporter: &mut Reporter<'_>,
    ) {
        for (at, (id, text)) in raw.0.iter().enumerate() {
            let list = reporter.read::<wire::IdListRef>(text.get()).and_then(|list| {
                Builder::salt(&list.salt)?;
                let is_address = list.sha256.len() == 64
                    && list
                        .sha256
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if !is_address {
                    return Err(Problem::new(
                        format!("{:?} is no SHA-256", list.sha256),
                        "write 64 lower-case hex digits",
                    )
                    .under("sha256"));
                }
                check_integer(list.count).under("count")?;
                Ok(list)
            });
            match list {
                Err(problem) => {
                    reporter.part(Part::List, at, id, text.get(), problem);
                    self.lists.insert(id.to_string(), None);
                }
                Ok(list) => {
                    let supplied = source.list(&list.sha256);
                    let refused = supplied.as_ref().and_then(|ids| {
                        if ids.sha256() != list.sha256 {
                            return Some(format!("the blob's SHA-256 is {}", ids.sha256()));
                        }
                        (ids.len() != list.count)
                            .then(|| format!("the blob holds {} ids, the manifest says {}", ids.len(), list.count))
                    });
                    if supplied.is_none() || refused.is_some() {
                        reporter.report.missing_lists.push(MissingList {
                            list: id.to_string(),
                            sha256: list.sha256,
                            refused: refused.clone(),
                        });
                    }
                    let entry = List {
                        id: builder.text(id),
                        hasher: crate::id_list::IdHasher::new(&list.salt),
                        ids: supplied.filter(|_| refused.is_none()),
                    };
                    self.lists
                        .insert(id.to_string(), Some(index(builder.tables.lists.len())));
                    builder.tables.lists.push(entry);
                }
            }
        }
    }

    pub fn read_layers(&mut self, builder: &mut Builder, raw: &RawMap<'_>, reporter: &mut Reporter<'_>) {
        for (at, (id, text)) in raw.0.iter().enumerate() {
            let layer = reporter.read::<wire::Layer>(text.get()).and_then(|layer| {
                let unit = builder.attribute(&layer.unit).under("unit")?;
                Ok(Layer {
                    unit,
                    salt: Builder::salt(&layer.salt)?,
                    salt_text: layer.salt,
                })
            });
            let layer = layer
                .map_err(|problem| reporter.part(Part::Layer, at, id, text.get(), problem))
                .ok();
            self.layers.insert(id.to_string(), layer);
        }
    }

    pub fn read_segments(&mut self, builder: &mut Builder, raw: &RawMap<'_>, reporter: &mut Reporter<'_>) {
        let mut parsed: Vec<Option<Expression>> = Vec::new();
        for (at, (name, text)) in raw.0.iter().enumerate() {
            let expression = reporter.read::<Expression>(text.get());
            let expression = expression
                .map_err(|problem| reporter.part(Part::Segment, at, name, text.get(), problem))
                .ok();
            self.segments.push(Referable {
                broken: expression.is_none(),
                ..Referable::default()
            });
            self.segment_names.insert(name.to_string(), index(at));
            builder.tables.segments.push(Segment {
                nodes: Nodes::default(),
            });
            parsed.push(expression);
        }
        let edges: Vec<Vec<u32>> = parsed
            .iter()
            .map(|expression| {
                expression
                    .as_ref()
                    .map_or_else(Vec::new, |expression| self.segments_in(expression))
            })
            .collect();
        for component in graph::components(&edges) {
            let on_a_circle = match component.as_slice() {
                [only] => edges.get(*only as usize).is_some_and(|edges| edges.contains(only)),
                _ => true,
            };
            for at in component {
                self.segment_order.push(at);
                let place = at as usize;
                let (Some(Some(expression)), Some((name, text))) = (parsed.get(place), raw.0.get(place)) else {
                    continue;
                };
                let mut uses = Uses::default();
                let compiled = if on_a_circle {
                    Err(Problem::new(
                        "the segment refers to itself, directly or through others",
                        "break the circle of `in_segment`",
                    ))
                } else {
                    expression::compile(builder, self, &mut uses, expression)
                };
                let compiled = compiled
                    .map_err(|problem| reporter.part(Part::Segment, place, name, text.get(), problem))
                    .ok();
                if let Some(segment) = self.segments.get_mut(place) {
                    *segment = Referable {
                        broken: compiled.is_none(),
                        uses,
                    };
                }
                if let (Some(segment), Some(nodes)) = (builder.tables.segments.get_mut(place), compiled) {
                    segment.nodes = nodes;
                }
            }
        }
    }

    /// The segments an expression names, as far as they are there. The expression came through serde, which bounds its depth.
    fn segments_in(&self, expression: &Expression) -> Vec<u32> {
        let mut found = Vec::new();
        let mut open = vec![expression];
        while let Some(expression) = open.pop() {
            match expression {
                Expression::All(children) | Expression::Any(children) => open.extend(children),
                Expression::Not(child) => open.push(child),
                Expression::InSegment(name) => found.extend(self.segment_names.get(name)),
                _ => {}
            }
        }
        found
    }

    pub fn read_holdouts(&mut self, builder: &mut Builder, raw: &RawMap<'_>, reporter: &mut Reporter<'_>) {
        for (at, (id, text)) in raw.0.iter().enumerate() {
            let mut uses = Uses::default();
            let mut salt_text = String::new();
            let holdout = reporter.read::<wire::Holdout>(text.get()).and_then(|holdout| {
                let unit = builder.attribute(&holdout.unit).under("unit")?;
                let salt = Builder::salt(&holdout.salt)?;
                let draw = builder.draw(salt, &holdout.ranges).under("ranges")?;
                let when = match &holdout.when {
                    Some(when) => expression::compile(builder, self, &mut uses, when).under("when")?,
                    None => Nodes::default(),
                };
                salt_text = holdout.salt;
                Ok(Holdout {
                    unit,
                    draw,
                    when,
                    id: builder.text(id),
                })
            });
            let holdout = holdout.map_err(|problem| reporter.part(Part::Holdout, at, id, text.get(), problem));
            self.holdout_names.insert(id.to_string(), index(at));
            self.holdouts.push(Referable {
                broken: holdout.is_err(),
                uses,
            });
            self.holdout_salts.push(salt_text);
            builder
                .tables
                .holdouts
                .push(holdout.unwrap_or_else(|()| Holdout::nobody()));
        }
    }
}

/// Whether an unsigned integer is one of the contract's: at most 2^53 − 1.
pub(super) fn check_integer(value: u64) -> Result<(), Problem> {
    if value <= expression::MAX_INTEGER.unsigned_abs() {
        return Ok(());
    }
    Err(Problem::new(
        format!("the integer {value}"),
        format!("write one of at most {}", expression::MAX_INTEGER),
    ))
}
