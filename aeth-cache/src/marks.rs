//! When each tag was last invalidated.

use aeth_core::Tag;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many tags are told apart. Beyond it all of them count as invalidated, and the list begins anew.
const LIMIT: usize = 65_536;

/// The invalidated tags of one namespace, in epochs: each invalidation begins a new one. An entry remembers the
/// epoch in which its load began, and is invalid once one of its tags was invalidated in a later one.
#[derive(Debug, Default)]
pub(crate) struct TagMarks {
    epoch: AtomicU64,
    marks: RwLock<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    by_tag: HashMap<Tag, u64>,
    /// Tagged entries from before this epoch are invalid.
    floor: u64,
}

impl TagMarks {
    /// The present epoch.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Invalidates tags.
    pub(crate) fn invalidate(&self, tags: &[Tag]) {
        if tags.is_empty() {
            return;
        }
        let mut marks = self.marks.write();
        let epoch = self.epoch.load(Ordering::Acquire) + 1;
        for tag in tags {
            marks.by_tag.insert(tag.clone(), epoch);
        }
        if marks.by_tag.len() > LIMIT {
            marks.by_tag = HashMap::new();
            marks.floor = epoch;
        }
        self.epoch.store(epoch, Ordering::Release);
    }

    /// The present epoch if entries with these tags from the epoch `since` are still valid in it.
    pub(crate) fn valid_since(&self, tags: &[Tag], since: u64) -> Option<u64> {
        let marks = self.marks.read();
        let later = |tag: &Tag| marks.by_tag.get(tag).is_some_and(|epoch| *epoch > since);
        if since < marks.floor || tags.iter().any(later) {
            return None;
        }
        Some(self.epoch.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_invalidates_rather_than_forgets() {
        let marks = TagMarks::default();
        let tag = |n: usize| Tag::new(n.to_string()).unwrap();
        let kept = marks.epoch();
        assert_eq!(marks.valid_since(&[tag(0)], kept), Some(kept));
        for n in 1..=LIMIT {
            marks.invalidate(&[tag(n)]);
        }
        assert!(marks.valid_since(&[tag(0)], kept).is_some());
        assert!(marks.valid_since(&[tag(7)], kept).is_none());
        marks.invalidate(&[tag(LIMIT + 1)]);
        assert!(marks.valid_since(&[tag(0)], kept).is_none());
        assert!(marks.valid_since(&[tag(7)], marks.epoch()).is_some());
    }
}
