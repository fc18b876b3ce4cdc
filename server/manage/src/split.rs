//! Basis points of a split, dealt to variations. New weights under the same salts move as few units as can be: who loses share gives back its
//! highest basis points, and who gains takes from those.

use std::collections::BTreeMap;

use crate::definition::Arm;
use crate::slots;
use crate::state::SplitRange;

/// The most ranges a split may have (docs/contract/manifest.md).
pub const MAX_RANGES: usize = 1_000;

/// The split of a new phase: one range after the other, in the order given. A zero weight has none.
pub fn deal(weights: &[Arm]) -> Vec<SplitRange> {
    let mut from = 0;
    let mut split = Vec::with_capacity(weights.len());
    for arm in weights.iter().filter(|arm| arm.weight > 0) {
        split.push(SplitRange {
            from,
            to: from + arm.weight,
            variation: arm.variation.clone(),
        });
        from += arm.weight;
    }
    split
}

/// The split of a new epoch. `None` when it would have more ranges than a manifest may: then only a new phase helps.
pub fn redeal(current: &[SplitRange], weights: &[Arm]) -> Option<Vec<SplitRange>> {
    let mut held: BTreeMap<&str, Vec<(u32, u32)>> = BTreeMap::new();
    for range in current {
        held.entry(&range.variation).or_default().push((range.from, range.to));
    }
    let mut freed = Vec::new();
    for (variation, ranges) in &mut held {
        let wanted = weights
            .iter()
            .find(|arm| arm.variation == *variation)
            .map_or(0, |arm| arm.weight);
        let surplus = slots::count(ranges).saturating_sub(wanted);
        let (kept, given) = slots::give_back(ranges, surplus);
        *ranges = kept;
        freed.extend(given);
    }
    let mut freed = slots::merge(freed);
    for arm in weights {
        let ranges = held.entry(&arm.variation).or_default();
        let missing = arm.weight.saturating_sub(slots::count(ranges));
        let taken = slots::take(&freed, missing).ok()?;
        freed = without(&freed, &taken);
        ranges.extend(taken);
    }
    let mut split: Vec<SplitRange> = Vec::new();
    for (variation, ranges) in held {
        let ranges = slots::merge(ranges).into_iter();
        split.extend(ranges.map(|(from, to)| SplitRange {
            from,
            to,
            variation: variation.to_owned(),
        }));
    }
    split.sort_by_key(|range| range.from);
    (split.len() <= MAX_RANGES).then_some(split)
}

/// `ranges` without `taken`, which lie in them.
fn without(ranges: &[(u32, u32)], taken: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut left = Vec::new();
    for &(from, to) in ranges {
        let mut next = from;
        for &(taken_from, taken_to) in taken.iter().filter(|(start, end)| *start < to && *end > from) {
            if taken_from > next {
                left.push((next, taken_from));
            }
            next = next.max(taken_to);
        }
        if next < to {
            left.push((next, to));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All of a split, in basis points.
    const WHOLE: u32 = 10_000;

    fn arms(weights: &[u32]) -> Vec<Arm> {
        weights
            .iter()
            .enumerate()
            .map(|(n, &weight)| Arm {
                variation: format!("v{n}"),
                weight,
            })
            .collect()
    }

    /// Weights that sum to 10000, from cut points.
    fn weights(count: usize) -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(0..=WHOLE, count - 1).prop_map(|mut cuts| {
            cuts.sort_unstable();
            cuts.insert(0, 0);
            cuts.push(WHOLE);
            cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
        })
    }

    fn owner(split: &[SplitRange], point: u32) -> Option<&str> {
        split
            .iter()
            .find(|range| range.from <= point && point < range.to)
            .map(|range| range.variation.as_str())
    }

    proptest! {
        #[test]
        fn new_weights_are_met_exactly_and_move_as_few_as_can_be(chain in prop::collection::vec(weights(5), 2..6)) {
            let mut split = deal(&arms(&chain[0]));
            for pair in chain.windows(2) {
                let next = redeal(&split, &arms(&pair[1])).unwrap();
                for (n, &weight) in pair[1].iter().enumerate() {
                    let share = (0..WHOLE).filter(|&point| owner(&next, point) == Some(&format!("v{n}"))).count();
                    prop_assert_eq!(share, weight as usize);
                }
                let moved = (0..WHOLE).filter(|&point| owner(&split, point) != owner(&next, point)).count();
                // The least possible: what the losers lose.
                let least: u32 = pair[0].iter().zip(&pair[1]).map(|(old, new)| old.saturating_sub(*new)).sum();
                prop_assert_eq!(moved, least as usize);
                prop_assert!(next.windows(2).all(|ranges| ranges[0].to <= ranges[1].from));
                split = next;
            }
        }
    }
}
