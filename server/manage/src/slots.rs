//! Slots of a layer: 1,000 places, free ones only, several ranges for one experiment, so that fragmentation refuses nobody.

use crate::state::CoolingSlots;

/// Slots of a layer.
pub const SLOTS: u32 = 1_000;

/// The slots that are neither held nor cooling at `now_ms`, as sorted, disjoint, non-adjacent ranges `[from, to)`.
pub fn free(held: impl IntoIterator<Item = (u32, u32)>, cooling: &[CoolingSlots], now_ms: i64) -> Vec<(u32, u32)> {
    let resting = cooling
        .iter()
        .filter(|slots| slots.until_ms > now_ms)
        .map(|slots| (slots.from, slots.to));
    let taken = merge(held.into_iter().chain(resting).collect());
    let mut free = Vec::new();
    let mut next = 0;
    for (from, to) in taken {
        if from > next {
            free.push((next, from));
        }
        next = next.max(to);
    }
    if next < SLOTS {
        free.push((next, SLOTS));
    }
    free
}

/// The lowest `wanted` of the free slots, or how many there are.
pub fn take(free: &[(u32, u32)], wanted: u32) -> Result<Vec<(u32, u32)>, u32> {
    let mut taken = Vec::new();
    let mut missing = wanted;
    for &(from, to) in free {
        if missing == 0 {
            break;
        }
        let size = (to - from).min(missing);
        taken.push((from, from + size));
        missing -= size;
    }
    if missing == 0 { Ok(taken) } else { Err(count(free)) }
}

/// Ranges of slots `[from, to)`.
pub type Ranges = Vec<(u32, u32)>;

/// The ranges without their highest `surplus` slots, and those slots.
pub fn give_back(held: &[(u32, u32)], surplus: u32) -> (Ranges, Ranges) {
    let mut kept = Vec::new();
    let mut freed = Vec::new();
    let mut surplus = surplus;
    for &(from, to) in held.iter().rev() {
        let size = (to - from).min(surplus);
        surplus -= size;
        if size > 0 {
            freed.push((to - size, to));
        }
        if to - size > from {
            kept.push((from, to - size));
        }
    }
    kept.reverse();
    freed.reverse();
    (kept, freed)
}

/// How many slots the ranges hold.
pub fn count(ranges: &[(u32, u32)]) -> u32 {
    ranges.iter().map(|(from, to)| to - from).sum()
}

/// Sorted, with touching and overlapping ranges made one.
pub fn merge(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (from, to) in ranges {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_slots_are_what_is_neither_held_nor_resting() {
        let cooling = vec![
            CoolingSlots {
                from: 100,
                to: 200,
                until_ms: 50,
                experiment: "a".into(),
            },
            CoolingSlots {
                from: 300,
                to: 400,
                until_ms: 10,
                experiment: "b".into(),
            },
        ];
        assert_eq!(
            free([(0, 50), (600, 1000)], &cooling, 49),
            vec![(50, 100), (200, 600)].into_iter().collect::<Vec<_>>()
        );
        assert_eq!(free([(0, 50), (600, 1000)], &cooling, 50), vec![(50, 600)]);
        assert_eq!(free([], &cooling, 5), vec![(0, 100), (200, 300), (400, 1000)]);
        assert!(free([(0, 1000)], &[], 0).is_empty());
    }

    #[test]
    fn taking_uses_the_lowest_and_says_how_many_there_are() {
        assert_eq!(take(&[(10, 20), (30, 50)], 15), Ok(vec![(10, 20), (30, 35)]));
        assert_eq!(take(&[(10, 20), (30, 50)], 31), Err(30));
        assert_eq!(take(&[], 0), Ok(vec![]));
    }

    #[test]
    fn giving_back_takes_the_highest() {
        assert_eq!(
            give_back(&[(0, 10), (20, 30)], 15),
            (vec![(0, 5)], vec![(5, 10), (20, 30)])
        );
        assert_eq!(
            give_back(&[(0, 10), (20, 30)], 5),
            (vec![(0, 10), (20, 25)], vec![(25, 30)])
        );
    }
}
