//! Files chosen by chance.

use crate::Id;
use std::collections::BinaryHeap;

/// More are not looked up one by one in a restore.
const MOST: usize = 1_000;

/// Chooses files of about `budget` bytes together, each with the same chance, in one pass: those whose names hash
/// lowest under the seed.
#[derive(Debug)]
pub(super) struct Sample {
    seed: u64,
    budget: u64,
    bytes: u64,
    chosen: BinaryHeap<(Id, String, u64)>,
}

impl Sample {
    pub(super) fn new(seed: u64, budget: u64) -> Self {
        Self { seed, budget, bytes: 0, chosen: BinaryHeap::new() }
    }

    pub(super) fn offer(&mut self, path: &str, size: u64) {
        let mut salted = self.seed.to_le_bytes().to_vec();
        salted.extend_from_slice(path.as_bytes());
        self.bytes = self.bytes.saturating_add(size);
        self.chosen.push((Id::of(&salted), path.to_owned(), size));
        while self.chosen.len() > 1 && (self.bytes > self.budget || self.chosen.len() > MOST) {
            let Some((_, _, size)) = self.chosen.pop() else { break };
            self.bytes -= size;
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn into_paths(self) -> Vec<String> {
        self.chosen.into_iter().map(|(_, path, _)| path).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_holds_and_seeds_choose_differently() {
        let choose = |seed, budget| {
            let mut sample = Sample::new(seed, budget);
            (0..5_000).for_each(|number| sample.offer(&format!("/file {number}"), 10));
            assert!(sample.bytes() <= budget.max(10), "{}", sample.bytes());
            let mut paths = sample.into_paths();
            paths.sort();
            paths
        };
        assert_eq!(choose(1, 200).len(), 20);
        assert_eq!(choose(1, 200), choose(1, 200));
        assert_ne!(choose(1, 200), choose(2, 200));
        assert_eq!(choose(1, 0).len(), 1);
        assert_eq!(choose(1, u64::MAX).len(), MOST);
    }
}
