//! What refers to what: variations of other flags, broken parts, circles, depth and cost, missing id lists.
//! Done when everything has been read, so that no order in the manifest matters.

use super::builder::{Builder, append, index};
use super::fault::Problem;
use super::graph;
use super::parts::{Parts, PendingPlace, PendingVariations, Uses};
use super::reporter::{Part, Reporter};
use crate::compiled::{Span, Status, Tables};
use crate::wire::RawMap;

/// The greatest depth of a flag, counted in flags that refer to flags.
const MAX_FLAG_DEPTH: u32 = 16;
/// The greatest cost of a flag.
const MAX_COST: u64 = 100_000;

/// A flag that compiled by itself has its [`Uses`]; `None` is one that did not.
pub(super) struct References<'a, 't> {
    pub builder: &'a mut Builder,
    pub parts: &'a mut Parts,
    pub flag_uses: Vec<Option<Uses>>,
    pub reporter: &'a mut Reporter<'t>,
    pub segments: &'a RawMap<'t>,
    pub holdouts: &'a RawMap<'t>,
    pub flags: &'a RawMap<'t>,
}

/// What evaluating something can cost, and whether it must wait for a list. Of a flag: what those who refer to it count.
#[derive(Clone, Copy, Default)]
struct Weight {
    depth: u32,
    cost: u64,
    lists_missing: bool,
}

impl References<'_, '_> {
    pub fn settle(mut self) {
        self.settle_segments();
        self.settle_holdouts();
        self.settle_flags();
        let edges = self.edges();
        let components = graph::components(&edges);
        let flags = self.flag_uses.len();
        for component in &components {
            let on_a_circle = match component.as_slice() {
                [only] => edges.get(*only as usize).is_some_and(|edges| edges.contains(only)),
                _ => true,
            };
            for &node in component.iter().filter(|&&node| on_a_circle && (node as usize) < flags) {
                self.refuse(
                    node,
                    Problem::new(
                        "the flag refers to itself, directly or through others",
                        "break the circle of `flag_is` and `requires`",
                    ),
                );
            }
        }
        self.weigh(&components);
    }

    fn settle_segments(&mut self) {
        for &at in &self.parts.segment_order.clone() {
            let place = at as usize;
            let Some(segment) = self.parts.segments.get_mut(place) else {
                continue;
            };
            if segment.broken {
                continue;
            }
            let uses = std::mem::take(&mut segment.uses);
            let (name, text) = entry(self.segments, place);
            if let Err(problem) = self.check(&uses, text) {
                self.reporter.part(Part::Segment, place, name, text, problem);
                self.break_part(place, true);
            }
            if let Some(segment) = self.parts.segments.get_mut(place) {
                segment.uses = uses;
            }
        }
    }

    fn settle_holdouts(&mut self) {
        for place in 0..self.parts.holdouts.len() {
            let Some(holdout) = self.parts.holdouts.get_mut(place) else {
                continue;
            };
            if holdout.broken {
                continue;
            }
            let uses = std::mem::take(&mut holdout.uses);
            let (name, text) = entry(self.holdouts, place);
            if let Err(problem) = self.check(&uses, text) {
                self.reporter.part(Part::Holdout, place, name, text, problem);
                self.break_part(place, false);
            }
            if let Some(holdout) = self.parts.holdouts.get_mut(place) {
                holdout.uses = uses;
            }
        }
    }

    fn break_part(&mut self, place: usize, segment: bool) {
        let parts = if segment {
            &mut self.parts.segments
        } else {
            &mut self.parts.holdouts
        };
        if let Some(part) = parts.get_mut(place) {
            part.broken = true;
        }
    }

    fn settle_flags(&mut self) {
        for place in 0..self.flag_uses.len() {
            let Some(uses) = self.flag_uses.get_mut(place).and_then(Option::take) else {
                continue;
            };
            let (_, text) = entry(self.flags, place);
            match self.check(&uses, text) {
                Ok(()) => {
                    if let Some(slot) = self.flag_uses.get_mut(place) {
                        *slot = Some(uses);
                    }
                }
                Err(problem) => self.refuse(index(place), problem),
            }
        }
    }

    /// Whether what is used compiles, and the variations named are there.
    fn check(&mut self, uses: &Uses, text: &str) -> Result<(), Problem> {
        for (used, parts, names, member) in [
            (&uses.segments, &self.parts.segments, self.segments, "segment"),
            (&uses.holdouts, &self.parts.holdouts, self.holdouts, "holdout"),
        ] {
            for &at in used {
                if parts.get(at as usize).is_none_or(|part| part.broken) {
                    let (name, _) = entry(names, at as usize);
                    let problem = Problem::new(
                        format!("the {member} `{name}` does not compile"),
                        format!("mend the {member}: it is reported by itself"),
                    );
                    return Err(problem.at_text(text, name, member));
                }
            }
        }
        for pending in &uses.pending {
            self.look_up(pending, text)?;
        }
        Ok(())
    }

    /// Turns the variation keys of another flag into indices. Where that flag's variations can't be read nothing is
    /// looked up: the leaf is unknown.
    fn look_up(&mut self, pending: &PendingVariations, text: &str) -> Result<(), Problem> {
        let tables = &mut self.builder.tables;
        let Some(flag) = tables
            .flags
            .get(pending.flag as usize)
            .filter(|flag| flag.status != Status::Unreadable)
        else {
            return Ok(());
        };
        let mut found = Vec::with_capacity(pending.names.len());
        for name in &pending.names {
            let mut variations = flag.variations.of(&tables.variations).iter();
            let Some(at) = variations.position(|variation| tables.str(variation.key) == name) else {
                let key = tables.str(flag.key);
                let problem = Problem::new(
                    format!("the flag `{key}` has no variation `{name}`"),
                    "name one of its variations, or remove the reference",
                );
                return Err(problem.at_text(text, name, "variations"));
            };
            // A flag has at most 250 variations.
            found.push(at as u8);
        }
        found.sort_unstable();
        found.dedup();
        let variations = append(&mut tables.variation_sets, found);
        let target = match pending.place {
            PendingPlace::FlagTest(at) => tables.flag_tests.get_mut(at),
            PendingPlace::Require(at) => tables.requires.get_mut(at),
        };
        if let Some(target) = target {
            target.variations = variations;
        }
        Ok(())
    }

    /// Makes a flag unsupported; its `off` stays served.
    fn refuse(&mut self, flag: u32, problem: Problem) {
        let place = flag as usize;
        let (name, text) = entry(self.flags, place);
        self.reporter.part(Part::Flag, place, name, text, problem);
        if let Some(slot) = self.flag_uses.get_mut(place) {
            *slot = None;
        }
        if let Some(flag) = self.builder.tables.flags.get_mut(place) {
            flag.status = Status::Unsupported;
            flag.rules = Span::default();
        }
    }

    /// The graph of flags, then segments, then holdouts. What is broken refers to nothing.
    fn edges(&self) -> Vec<Vec<u32>> {
        let flags = index(self.flag_uses.len());
        let segments = index(self.parts.segments.len());
        let of = |uses: &Uses| -> Vec<u32> {
            let to_flags = uses.flags.iter().copied();
            let to_segments = uses.segments.iter().map(|segment| segment.saturating_add(flags));
            let to_holdouts = uses
                .holdouts
                .iter()
                .map(|holdout| holdout.saturating_add(flags).saturating_add(segments));
            to_flags.chain(to_segments).chain(to_holdouts).collect()
        };
        let of_part = |part: &super::parts::Referable| if part.broken { Vec::new() } else { of(&part.uses) };
        let flag_edges = self
            .flag_uses
            .iter()
            .map(|uses| uses.as_ref().map_or_else(Vec::new, &of));
        flag_edges
            .chain(self.parts.segments.iter().map(of_part))
            .chain(self.parts.holdouts.iter().map(of_part))
            .collect()
    }

    /// Reckons depth and cost, each after what it refers to; refuses flags beyond their limits.
    fn weigh(&mut self, components: &[Vec<u32>]) {
        let flags = self.flag_uses.len();
        let segments = self.parts.segments.len();
        let mut weights =
            vec![Weight::default(); flags.saturating_add(segments).saturating_add(self.parts.holdouts.len())];
        let segment_places = places(&self.parts.segment_order, segments);
        for component in components {
            // Flags first (those on a circle weigh nothing), then segments after the segments they use, then holdouts.
            let mut nodes = component.clone();
            nodes.sort_by_key(|&node| {
                let node = node as usize;
                match node.checked_sub(flags) {
                    None => (0, node),
                    Some(segment) if segment < segments => (1, segment_places.get(segment).copied().unwrap_or(segment)),
                    Some(holdout) => (2, holdout),
                }
            });
            for node in nodes.into_iter().map(|node| node as usize) {
                let Some(uses) = self.uses(node) else { continue };
                let mut weight = weigh_uses(uses, &weights, flags, segments);
                if node < flags {
                    weight.depth = weight.depth.saturating_add(1);
                    if weight.depth > MAX_FLAG_DEPTH {
                        self.refuse(
                            index(node),
                            Problem::new(
                                format!("the flag refers to flags that refer to flags, {} deep", weight.depth),
                                format!("keep chains of `flag_is` and `requires` within {MAX_FLAG_DEPTH} flags"),
                            ),
                        );
                        weight = Weight::default();
                    } else if weight.cost > MAX_COST {
                        self.refuse(index(node), Problem::new(
                            format!("evaluating the flag can cost {} leaves", weight.cost),
                            format!("keep it within {MAX_COST}: use fewer leaves, an id list, or fewer references to costly flags"),
                        ));
                        weight = Weight::default();
                    } else if weight.lists_missing {
                        if let Some(flag) = self.builder.tables.flags.get_mut(node) {
                            flag.status = Status::NotReady;
                        }
                    }
                }
                if let Some(slot) = weights.get_mut(node) {
                    *slot = weight;
                }
            }
        }
    }

    fn uses(&self, node: usize) -> Option<&Uses> {
        let Some(part) = node.checked_sub(self.flag_uses.len()) else {
            return self.flag_uses.get(node)?.as_ref();
        };
        let referable = match part.checked_sub(self.parts.segments.len()) {
            None => self.parts.segments.get(part)?,
            Some(holdout) => self.parts.holdouts.get(holdout)?,
        };
        (!referable.broken).then_some(&referable.uses)
    }
}

fn weigh_uses(uses: &Uses, weights: &[Weight], flags: usize, segments: usize) -> Weight {
    let mut weight = Weight {
        depth: 0,
        cost: uses.cost,
        lists_missing: uses.lists_missing,
    };
    let weight_of = |node: usize| weights.get(node).copied().unwrap_or_default();
    for &flag in &uses.flags {
        let flag = weight_of(flag as usize);
        weight.depth = weight.depth.max(flag.depth);
        weight.cost = weight.cost.saturating_add(flag.cost);
    }
    let parts = uses
        .segments
        .iter()
        .map(|&segment| flags.saturating_add(segment as usize));
    let holdouts = uses
        .holdouts
        .iter()
        .map(|&holdout| flags.saturating_add(segments).saturating_add(holdout as usize));
    for part in parts.chain(holdouts).map(weight_of) {
        weight.depth = weight.depth.max(part.depth);
        weight.cost = weight.cost.saturating_add(part.cost);
        weight.lists_missing |= part.lists_missing;
    }
    weight
}

/// Where each of `count` things stands in `order`.
fn places(order: &[u32], count: usize) -> Vec<usize> {
    let mut places = vec![0; count];
    for (place, &at) in order.iter().enumerate() {
        if let Some(slot) = places.get_mut(at as usize) {
            *slot = place;
        }
    }
    places
}

fn entry<'r>(map: &'r RawMap<'_>, at: usize) -> (&'r str, &'r str) {
    map.0
        .get(at)
        .map_or(("", ""), |(name, text)| (name.as_ref(), text.get()))
}

impl Tables {
    /// The index of a flag, by its key in the manifest.
    #[inline(always)]
    pub(crate) fn find_flag(&self, key: &str) -> Option<u32> {
        let key = key.as_bytes();
        let text = self.text.as_bytes();
        self.flag_index
            .find(crate::compiled::table_hash(key), |(span, _)| span.of(text) == key)
            .map(|(_, flag)| *flag)
    }
}
