//! S3-FIFO (Yang et al., *FIFO queues are all you need for cache eviction*, SOSP 2023) over keys alone, with foyer's
//! settings: a tenth for the small queue, a ghost for as many keys as there is room for, into the main queue after one
//! hit. (foyer itself would turn on every feature of tokio for the whole workspace.)

use std::collections::{HashMap, HashSet, VecDeque};

const MOST: u8 = 3;

#[derive(Clone, Copy)]
struct Kept {
    hits: u8,
    main: bool,
}

/// The policy.
pub(super) struct S3Fifo {
    room: usize,
    kept: HashMap<u64, Kept>,
    small: VecDeque<u64>,
    main: VecDeque<u64>,
    ghost: VecDeque<u64>,
    ghosts: HashSet<u64>,
}

impl S3Fifo {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            kept: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghost: VecDeque::new(),
            ghosts: HashSet::new(),
        }
    }

    /// Looks a key up, and keeps it if it is missing. Gives whether it was there.
    pub(super) fn wants(&mut self, key: u64) -> bool {
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.hits = (kept.hits + 1).min(MOST);
            return true;
        }
        while self.kept.len() >= self.room {
            self.evict();
        }
        let main = self.ghosts.contains(&key);
        if main {
            self.main.push_back(key)
        } else {
            self.small.push_back(key)
        }
        self.kept.insert(key, Kept { hits: 0, main });
        false
    }

    fn evict(&mut self) {
        if self.small.len() > self.room / 10 && self.evict_small() {
            return;
        }
        if !self.evict_main() {
            self.evict_small();
        }
    }

    /// The first of the small queue that was not hit; those that were move to the main queue.
    fn evict_small(&mut self) -> bool {
        while let Some(key) = self.small.pop_front() {
            let Some(kept) = self.kept.get_mut(&key) else { continue };
            if kept.hits > 0 {
                *kept = Kept { hits: 0, main: true };
                self.main.push_back(key);
                continue;
            }
            self.kept.remove(&key);
            self.remember(key);
            return true;
        }
        false
    }

    fn evict_main(&mut self) -> bool {
        while let Some(key) = self.main.pop_front() {
            let Some(kept) = self.kept.get_mut(&key).filter(|kept| kept.main) else { continue };
            if kept.hits == 0 {
                self.kept.remove(&key);
                return true;
            }
            kept.hits -= 1;
            self.main.push_back(key);
        }
        false
    }

    fn remember(&mut self, key: u64) {
        if self.ghosts.insert(key) {
            self.ghost.push_back(key);
        }
        if self.ghost.len() > self.room
            && let Some(oldest) = self.ghost.pop_front()
        {
            self.ghosts.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::S3Fifo;

    #[test]
    fn scans_do_not_push_out_what_is_wanted() {
        let mut cache = S3Fifo::new(100);
        for key in (0..80).cycle().take(240).chain(1000..2000) {
            cache.wants(key);
        }
        assert!((0..80).filter(|key| cache.wants(*key)).count() > 70);
        // A loop that is too long is what it is no good for.
        let mut cache = S3Fifo::new(100);
        let hits = (0..10_000).filter(|n| cache.wants(n % 110)).count();
        assert!(hits < 1000, "{hits}");
    }
}
