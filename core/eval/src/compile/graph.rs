//! Circles in a graph, and an order in which everything comes after what it refers to. Tarjan's algorithm without
//! recursion: a manifest may chain 100,000 flags.

/// The strongly connected components of the graph whose node `n` refers to `edges[n]`, each after those it refers to.
/// Edges to nodes that are not there are ignored.
pub(super) fn components(edges: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let count = edges.len();
    let mut state = State {
        order: vec![UNSEEN; count],
        low: vec![0; count],
        stacked: vec![false; count],
        stack: Vec::new(),
        next: 0,
    };
    let mut found = Vec::new();
    // Each frame is a node and how many of its edges have been followed.
    let mut frames: Vec<(usize, usize)> = Vec::new();
    for root in 0..count {
        if state.is_seen(root) {
            continue;
        }
        state.enter(root);
        frames.push((root, 0));
        while let Some((node, followed)) = frames.last_mut() {
            let node = *node;
            let edge = edges
                .get(node)
                .and_then(|edges| edges.get(*followed))
                .map(|&to| to as usize);
            *followed = followed.saturating_add(1);
            match edge {
                Some(to) if to >= count => {}
                Some(to) if !state.is_seen(to) => {
                    state.enter(to);
                    frames.push((to, 0));
                }
                Some(to) => state.sees_again(node, to),
                None => {
                    frames.pop();
                    found.extend(state.leave(node));
                    if let Some((parent, _)) = frames.last() {
                        state.inherits(*parent, node);
                    }
                }
            }
        }
    }
    found
}

const UNSEEN: usize = usize::MAX;

struct State {
    order: Vec<usize>,
    low: Vec<usize>,
    stacked: Vec<bool>,
    stack: Vec<usize>,
    next: usize,
}

impl State {
    fn is_seen(&self, node: usize) -> bool {
        self.order.get(node).is_some_and(|&order| order != UNSEEN)
    }

    fn enter(&mut self, node: usize) {
        if let (Some(order), Some(low), Some(stacked)) = (
            self.order.get_mut(node),
            self.low.get_mut(node),
            self.stacked.get_mut(node),
        ) {
            (*order, *low, *stacked) = (self.next, self.next, true);
        }
        self.next = self.next.saturating_add(1);
        self.stack.push(node);
    }

    fn sees_again(&mut self, node: usize, to: usize) {
        if self.stacked.get(to) == Some(&true) {
            let order = self.order.get(to).copied().unwrap_or(UNSEEN);
            self.lower(node, order);
        }
    }

    fn inherits(&mut self, parent: usize, node: usize) {
        let low = self.low.get(node).copied().unwrap_or(UNSEEN);
        self.lower(parent, low);
    }

    fn lower(&mut self, node: usize, to: usize) {
        if let Some(low) = self.low.get_mut(node) {
            *low = (*low).min(to);
        }
    }

    /// All edges of `node` have been followed: if it heads a component, that is complete.
    fn leave(&mut self, node: usize) -> Option<Vec<u32>> {
        if self.low.get(node) != self.order.get(node) {
            return None;
        }
        let mut component = Vec::new();
        while let Some(member) = self.stack.pop() {
            if let Some(stacked) = self.stacked.get_mut(member) {
                *stacked = false;
            }
            component.push(super::builder::index(member));
            if member == node {
                break;
            }
        }
        Some(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Who reaches whom, by repeated squaring of nothing cleverer than a table.
    fn reachable(edges: &[Vec<u32>]) -> Vec<Vec<bool>> {
        let n = edges.len();
        let mut reach = vec![vec![false; n]; n];
        for (from, to) in edges
            .iter()
            .enumerate()
            .flat_map(|(from, list)| list.iter().map(move |&to| (from, to as usize)))
        {
            reach[from][to] = true;
        }
        for via in 0..n {
            for from in 0..n {
                for to in 0..n {
                    reach[from][to] |= reach[from][via] && reach[via][to];
                }
            }
        }
        reach
    }

    proptest! {
        #[test]
        fn components_are_the_mutually_reachable_in_order(edges in prop::collection::vec(prop::collection::vec(0u32..12, 0..4), 12)) {
            let reach = reachable(&edges);
            let found = components(&edges);
            let place = |node: u32| found.iter().position(|component| component.contains(&node)).unwrap();
            for a in 0..12u32 {
                for b in 0..12u32 {
                    let mutual = a == b || reach[a as usize][b as usize] && reach[b as usize][a as usize];
                    prop_assert_eq!(place(a) == place(b), mutual);
                    if reach[a as usize][b as usize] && !mutual {
                        prop_assert!(place(b) < place(a));
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let edges: Vec<Vec<u32>> = (1..=100_000).map(|next| vec![next]).collect();
        assert_eq!(components(&edges).first().unwrap(), &[99_999]);
    }
}
