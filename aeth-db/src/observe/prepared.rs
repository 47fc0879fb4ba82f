//! Which statements a connection has prepared.

use std::collections::HashMap;

/// What sqlx's statement cache of one connection holds, seen from outside: it does not tell. It keeps as many, and
/// forgets the one that was used the longest ago, as that one does.
#[derive(Debug)]
pub(crate) struct Prepared {
    capacity: usize,
    /// (text, when it was last used), counted in uses.
    used: HashMap<u64, u64>,
    uses: u64,
}

/// What a run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// The statement was prepared already.
    Hit,
    /// It was prepared for this run.
    Miss,
    /// It was prepared for this run, and another one went for it.
    Evicted,
}

impl Prepared {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, used: HashMap::new(), uses: 0 }
    }

    /// A statement ran. One that failed unprepared may have failed in being prepared: nothing is known of it.
    pub(super) fn touch(&mut self, text: u64, failed: bool) -> Option<Preparation> {
        if self.capacity == 0 {
            return None;
        }
        self.uses += 1;
        if let Some(used) = self.used.get_mut(&text) {
            *used = self.uses;
            return Some(Preparation::Hit);
        }
        if failed {
            return None;
        }
        let mut preparation = Preparation::Miss;
        if self.used.len() == self.capacity {
            let oldest = self.used.iter().min_by_key(|(_, used)| **used).map(|(text, _)| *text);
            oldest.and_then(|oldest| self.used.remove(&oldest));
            preparation = Preparation::Evicted;
        }
        self.used.insert(text, self.uses);
        Some(preparation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_used_the_longest_ago_goes() {
        let mut prepared = Prepared::new(2);
        for (text, failed, found) in [
            (1, false, Some(Preparation::Miss)),
            (2, true, None),
            (2, false, Some(Preparation::Miss)),
            (1, true, Some(Preparation::Hit)),
            (3, false, Some(Preparation::Evicted)),
            (1, false, Some(Preparation::Hit)),
            (2, false, Some(Preparation::Evicted)),
            (3, false, Some(Preparation::Evicted)),
        ] {
            assert_eq!(prepared.touch(text, failed), found, "{text}");
        }
        assert_eq!(Prepared::new(0).touch(1, false), None);
    }
}
