//! What a flag uses, itself and through its segments and holdouts: what must be there for a client to decide it.

use std::collections::BTreeSet;

use crate::wire::{Expression, Flag, Manifest};

/// Everything one flag uses, but not what the flags it refers to use.
#[derive(Debug, Default)]
pub(super) struct Uses<'m> {
    pub segments: BTreeSet<&'m str>,
    pub holdouts: BTreeSet<&'m str>,
    pub layers: BTreeSet<&'m str>,
    pub flags: BTreeSet<&'m str>,
    /// Whether an id list is among it.
    pub lists: bool,
}

impl<'m> Uses<'m> {
    pub fn of_flag(manifest: &'m Manifest, flag: &'m Flag) -> Self {
        let mut uses = Self::default();
        let mut open: Vec<&Expression> = Vec::new();
        for rule in &flag.rules {
            uses.flags
                .extend(rule.requires.iter().map(|require| require.flag.as_str()));
            uses.layers.extend(rule.layer.as_deref());
            open.extend(&rule.when);
            for name in &rule.holdouts {
                if uses.holdouts.insert(name) {
                    open.extend(manifest.holdouts.get(name).and_then(|holdout| holdout.when.as_ref()));
                }
            }
        }
        while let Some(expression) = open.pop() {
            match expression {
                Expression::All(list) | Expression::Any(list) => open.extend(list),
                Expression::Not(inner) => open.push(inner),
                Expression::InList(_) => uses.lists = true,
                Expression::FlagIs(test) => {
                    uses.flags.insert(&test.flag);
                }
                // Each once, so a circle of segments ends too.
                Expression::InSegment(name) => {
                    if uses.segments.insert(name) {
                        open.extend(manifest.segments.get(name));
                    }
                }
                Expression::Attribute(_) | Expression::InBucket(_) => {}
            }
        }
        uses
    }
}
