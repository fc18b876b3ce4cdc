//! What a flag can ask a context for: so that a host copies those attributes and no others.

use crate::compiled::{Flag, Node, Nodes};
use crate::snapshot::{FlagId, Snapshot};
use crate::wire::Kind;

/// The walk over everything a flag's answer can depend on. A manifest has no cycles, but much that is shared: each part is
/// looked at once.
struct Walk<'a> {
    snapshot: &'a Snapshot,
    asked: Vec<bool>,
    flags: Vec<bool>,
    segments: Vec<bool>,
    /// Still to look at: the compiler bounds the depth of references, but a list needs no such promise.
    flags_left: Vec<u32>,
    segments_left: Vec<u32>,
}

impl Snapshot {
    /// The attributes that the flag's overrides and rules, and the segments, holdouts and flags these refer to, may ask for: indices into
    /// [`Snapshot::attributes`], ascending. Others can't change its decisions. Those its exposures carry are among them.
    pub fn attributes_of(&self, flag: FlagId) -> Vec<u32> {
        let tables = self.tables();
        let mut walk = Walk {
            snapshot: self,
            asked: vec![false; tables.attributes.len()],
            flags: vec![false; tables.flags.len()],
            segments: vec![false; tables.segments.len()],
            flags_left: vec![flag.0],
            segments_left: Vec::new(),
        };
        loop {
            if let Some(segment) = walk.segments_left.pop() {
                if first_time(&mut walk.segments, segment) {
                    if let Some(segment) = tables.segments.get(segment as usize) {
                        walk.nodes(segment.nodes);
                    }
                }
            } else if let Some(flag) = walk.flags_left.pop() {
                if first_time(&mut walk.flags, flag) {
                    if let Some(flag) = tables.flags.get(flag as usize) {
                        walk.flag(flag);
                    }
                }
            } else {
                break;
            }
        }
        let rules = tables
            .flags
            .get(flag.index())
            .map(|flag| flag.rules)
            .unwrap_or_default();
        for carried in tables.exposure_attributes_of(rules.at, rules.len) {
            walk.attribute(carried.attribute);
        }
        // `geo` stands in for a missing `country`.
        if walk.asked.get(tables.country as usize) == Some(&true) {
            walk.attribute(tables.geo);
        }
        // At most as many as the manifest has bytes.
        walk.asked
            .iter()
            .zip(0u32..)
            .filter_map(|(asked, index)| asked.then_some(index))
            .collect()
    }
}

fn first_time(seen: &mut [bool], index: u32) -> bool {
    seen.get_mut(index as usize)
        .is_some_and(|seen| !core::mem::replace(seen, true))
}

impl Walk<'_> {
    fn flag(&mut self, flag: &Flag) {
        let tables = self.snapshot.tables();
        for overrides in flag.overrides.of(&tables.override_units) {
            self.attribute(overrides.unit);
        }
        for rule in flag.rules.of(&tables.rules) {
            if rule.kind != Kind::Targeted {
                self.attribute(rule.unit);
            }
            self.nodes(rule.when);
            for required in rule.requires.of(&tables.requires) {
                self.flags_left.push(required.flag);
            }
            for holdout in rule.holdouts.of(&tables.rule_holdouts) {
                if let Some(holdout) = tables.holdouts.get(*holdout as usize) {
                    self.attribute(holdout.unit);
                    self.nodes(holdout.when);
                }
            }
        }
    }

    fn nodes(&mut self, nodes: Nodes) {
        let tables = self.snapshot.tables();
        let nodes = tables.nodes.get(nodes.start as usize..nodes.end as usize);
        for node in nodes.unwrap_or_default() {
            match *node {
                Node::All { .. } | Node::Any { .. } | Node::Not { .. } => {}
                Node::Attribute { attribute, .. } => self.attribute(attribute),
                Node::InBucket(draw) => {
                    if let Some(draw) = tables.unit_draws.get(draw as usize) {
                        self.attribute(draw.unit);
                    }
                }
                Node::InList { unit, .. } => self.attribute(unit),
                Node::InSegment(segment) => self.segments_left.push(segment),
                Node::FlagIs(test) => {
                    if let Some(test) = tables.flag_tests.get(test as usize) {
                        self.flags_left.push(test.flag);
                    }
                }
            }
        }
    }

    fn attribute(&mut self, attribute: u32) {
        if let Some(asked) = self.asked.get_mut(attribute as usize) {
            *asked = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Snapshot;

    #[test]
    fn a_flag_asks_for_what_its_rules_segments_holdouts_and_prerequisites_name_and_what_its_exposures_carry() {
        let manifest = br#"{"schema":1,"environment":"e","audience":"server","generation":1,"version":1,"issued_at_ms":0,
          "segments":{"s":{"op":"is_present","attr":"inside"}},
          "flags":{
            "a":{"type":"bool","off":"off","default":"off","variations":[{"key":"off","value":false},{"key":"on","value":true}],
              "rules":[{"id":"r","kind":"targeted","serve":"on","requires":[{"flag":"b","variations":["on"]}],
                "when":{"all":[{"op":"in_segment","segment":"s"},{"op":"str_eq","attr":"country","value":"NZ"}]}}]},
            "b":{"type":"bool","off":"off","default":"off","variations":[{"key":"off","value":false},{"key":"on","value":true}],
              "rules":[{"id":"r","kind":"targeted","serve":"on","when":{"not":{"op":"is_present","attr":"of_b"}},
                "meta":{"exposure_attributes":["carried","geo"]}}]},
            "c":{"type":"bool","off":"off","default":"off","variations":[{"key":"off","value":false}],
              "rules":[{"id":"r","kind":"targeted","serve":"off","when":{"op":"is_present","attr":"last"}}]}}}"#;
        let (snapshot, report) = Snapshot::compile(manifest, &()).unwrap();
        assert!(report.is_clean(), "{:?}", report.faults);
        let names: Vec<&str> = snapshot.attributes().collect();
        let asked = |flag: &str| {
            let mut asked: Vec<&str> = snapshot
                .attributes_of(snapshot.flag(flag).unwrap())
                .into_iter()
                .map(|index| names[index as usize])
                .collect();
            asked.sort_unstable();
            asked
        };
        assert_eq!(asked("a"), ["country", "geo", "inside", "of_b"]);
        assert_eq!(asked("b"), ["carried", "country", "geo", "of_b"]);
        assert_eq!(asked("c"), ["last"]);
        // Behind all that decides, so that they push none of it out of the slots that lie together.
        assert_eq!(names, ["inside", "country", "geo", "of_b", "last", "carried"]);
    }
}
