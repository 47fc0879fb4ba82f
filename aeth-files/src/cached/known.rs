//! What is known about blobs without asking, and when that knowledge ends.

use super::pages::ObjectId;
use aeth_core::BlobPath;
use aeth_core::blob::{Blob, BlobMeta};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How many generations there are; paths share them.
const STRIPES: usize = 256;
/// How long a write whose outcome is unknown may still take effect.
const DOUBT: Duration = Duration::from_secs(60);

/// One state of a blob, as a head gave it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) meta: BlobMeta,
    /// `None` for a blob without a mark, which cannot be cached.
    pub(super) object: Option<ObjectId>,
    /// Whether `meta` has everything that a head gives.
    pub(super) full: bool,
    /// The monotonic time before it was asked.
    pub(super) checked: Duration,
    /// The bytes that came with the answer, for the first who sends for them.
    pub(super) opened: Mutex<Option<Blob>>,
}

/// The reader to whom bytes came with the answer. When it is done, or goes, nobody waits for them any more.
pub(super) struct Opener(pub(super) Arc<Known>);

impl Drop for Opener {
    fn drop(&mut self) {
        drop(self.0.opened.lock().take());
    }
}

/// The generation of a path when something about it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// What is known, by path.
///
/// Every write raises the generation of its path when it begins and when it ends, and drops what is known. What
/// was asked under an older generation is used by its asker, but not remembered: it may be older than the write.
#[derive(Debug)]
pub(super) struct Index {
    known: Cache<BlobPath, Arc<Known>>,
    generations: Vec<Mutex<u64>>,
    hasher: RandomState,
    doubts: Mutex<HashMap<BlobPath, Duration>>,
    /// Whether there are doubts, so that a read need not look.
    doubtful: AtomicBool,
    /// Whether messages of peers may be missed at the moment.
    distrusted: AtomicBool,
    /// How often everything was forgotten.
    forgotten: AtomicU64,
}

impl Index {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            known: Cache::new(capacity.max(1)),
            generations: (0..STRIPES).map(|_| Mutex::new(0)).collect(),
            hasher: RandomState::new(),
            doubts: Mutex::default(),
            doubtful: AtomicBool::new(false),
            distrusted: AtomicBool::new(false),
            forgotten: AtomicU64::new(0),
        }
    }

    fn stripe(&self, path: &BlobPath) -> Option<&Mutex<u64>> {
        let hash = self.hasher.hash_one(path);
        self.generations.get(usize::try_from(hash % STRIPES as u64).unwrap_or(0))
    }

    /// What is known about a path, if it was asked less than `most` ago.
    pub(super) fn get(&self, path: &BlobPath, now: Duration, most: Duration) -> Option<Arc<Known>> {
        if most.is_zero() || self.distrusted.load(Ordering::Acquire) {
            return None;
        }
        let known = self.known.get(path)?;
        (most == Duration::MAX || now.saturating_sub(known.checked) < most).then_some(known)
    }

    /// True when something is known about a path, however old.
    pub(super) fn has(&self, path: &BlobPath) -> bool {
        self.known.contains_key(path)
    }

    /// The generation of a path, to be taken before it is asked about.
    pub(super) fn generation(&self, path: &BlobPath) -> Generation {
        Generation(self.stripe(path).map_or(0, |stripe| *stripe.lock()))
    }

    /// Remembers what was asked under a generation, unless something was written since, or may be about to.
    pub(super) fn remember(
        &self,
        path: &BlobPath,
        generation: Generation,
        now: Duration,
        known: &Arc<Known>,
    ) {
        if self.is_doubtful(path, now) || self.distrusted.load(Ordering::Acquire) {
            return;
        }
        let Some(stripe) = self.stripe(path) else { return };
        let current = stripe.lock();
        if *current == generation.0 {
            self.known.insert(path.clone(), Arc::clone(known));
        }
    }

    /// Something was written, or is about to be.
    pub(super) fn changed(&self, path: &BlobPath) {
        let Some(stripe) = self.stripe(path) else { return };
        let mut current = stripe.lock();
        *current = current.wrapping_add(1);
        self.known.remove(path);
    }

    /// A write ended without a verdict: it may still take effect.
    pub(super) fn doubt(&self, path: &BlobPath, now: Duration) {
        let mut doubts = self.doubts.lock();
        doubts.retain(|_, until| *until > now);
        doubts.insert(path.clone(), now.saturating_add(DOUBT));
        self.doubtful.store(true, Ordering::Release);
    }

    fn is_doubtful(&self, path: &BlobPath, now: Duration) -> bool {
        if !self.doubtful.load(Ordering::Acquire) {
            return false;
        }
        let mut doubts = self.doubts.lock();
        doubts.retain(|_, until| *until > now);
        self.doubtful.store(!doubts.is_empty(), Ordering::Release);
        doubts.contains_key(path)
    }

    /// Anything may have been written.
    pub(super) fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
        for stripe in &self.generations {
            let mut current = stripe.lock();
            *current = current.wrapping_add(1);
        }
        self.known.clear();
    }

    /// How often everything was forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// From now on nothing is believed without asking, until [`trust`](Self::trust).
    pub(super) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Release);
        self.forget_all();
    }

    /// Messages arrive again.
    pub(super) fn trust(&self) {
        // In this order: what was remembered meanwhile goes first.
        self.forget_all();
        self.distrusted.store(false, Ordering::Release);
    }
}
