//! Writes that are acknowledged before the lower tiers have them: a bounded queue with one place for each key.
//!
//! The queue is also a place to read from: what memory has pushed out while it waited here is served from here.
//! A write that is on its way cannot be called back; whoever changes its key waits until it has landed, and changes
//! the tiers after it.

mod flush;
mod options;
mod queue;

pub use options::{WhenFull, WriteBehind, WriteMode};
pub(crate) use queue::{Admission, Withdrawn};

use crate::l1::{KeyRef, L1Key, Slot};
use crate::space::Space;
use aeth_core::cache::Entry;
use aeth_core::observe::Counter;
use parking_lot::Mutex;
use queue::Queue;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// The queue, and who works on it.
pub(crate) struct Behind {
    pub(crate) options: WriteBehind,
    queue: Mutex<Queue>,
    /// How many keys wait or fly, to be read without the lock.
    count: AtomicUsize,
    /// Something has landed or was dropped.
    changed: Notify,
    /// One batch flies at a time.
    flying: tokio::sync::Mutex<()>,
    running: AtomicBool,
    pub(crate) stats: BehindStats,
}

/// What became of the writes.
#[derive(Debug, Default)]
pub(crate) struct BehindStats {
    /// Written into the tiers.
    pub(crate) written: Counter,
    /// Replaced by a later write of the same key while they waited.
    pub(crate) coalesced: Counter,
    /// Attempts that failed and were made again.
    pub(crate) retried: Counter,
    /// Given up: expired while they waited, or refused by the tiers for good.
    pub(crate) dropped: Counter,
}

impl Behind {
    pub(crate) fn new(options: WriteBehind) -> Self {
        Self {
            options,
            queue: Mutex::default(),
            count: AtomicUsize::new(0),
            changed: Notify::new(),
            flying: tokio::sync::Mutex::default(),
            running: AtomicBool::new(false),
            stats: BehindStats::default(),
        }
    }

    /// How many keys wait or are on their way.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Queues a write. `publish` stores it in L1 under the queue's lock, so that a removal sees both or neither.
    pub(crate) fn enqueue(
        &self,
        space: &Arc<Space>,
        key: &L1Key,
        slot: &Slot,
        entry: &Entry,
        publish: impl FnOnce(),
    ) -> Admission {
        let mut queue = self.queue.lock();
        let admission = queue.admit(&self.options, space, key, slot, entry);
        match admission {
            Admission::Queued => publish(),
            Admission::Coalesced => {
                self.stats.coalesced.increment();
                publish();
            }
            Admission::Superseded | Admission::Full | Admission::TooLarge => {}
        }
        self.count.store(queue.len(), Ordering::Release);
        admission
    }

    /// The value that waits under a key, whatever its state.
    pub(crate) fn find(&self, key: &KeyRef<'_>) -> Option<Slot> {
        if self.len() == 0 { None } else { self.queue.lock().find(key) }
    }

    /// Takes these keys out, because something newer replaces what waits.
    pub(crate) fn withdraw(&self, keys: &[L1Key]) -> Withdrawn {
        self.change(|queue| queue.withdraw(keys))
    }

    /// Takes out what `affected` says yes to.
    pub(crate) fn withdraw_where(&self, affected: impl Fn(&L1Key, &Entry) -> bool) -> Withdrawn {
        self.change(|queue| queue.withdraw_where(affected))
    }

    /// Takes a key out, unless it is on its way: a load that began after the write has filled the tiers.
    pub(crate) fn outdated(&self, key: &L1Key) {
        drop(self.change(|queue| {
            queue.outdated(key);
            Withdrawn::default()
        }));
    }

    fn change(&self, change: impl FnOnce(&mut Queue) -> Withdrawn) -> Withdrawn {
        if self.len() == 0 {
            return Withdrawn::default();
        }
        let withdrawn = {
            let mut queue = self.queue.lock();
            let withdrawn = change(&mut queue);
            self.count.store(queue.len(), Ordering::Release);
            withdrawn
        };
        self.changed.notify_waiters();
        withdrawn
    }

    /// Waits until those that were on their way have landed, one way or the other. Each flight is bounded in time.
    pub(crate) async fn landed(&self, withdrawn: &Withdrawn) {
        if !withdrawn.flown.is_empty() {
            self.until(|queue| !withdrawn.flown.iter().any(|flown| queue.flies(flown))).await;
        }
    }

    /// Waits until there may be room.
    pub(crate) async fn room(&self) {
        self.until(|queue| queue.has_room(&self.options)).await;
    }

    async fn until(&self, done: impl Fn(&Queue) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before looking, so that no change is missed in between.
            changed.as_mut().enable();
            if done(&self.queue.lock()) {
                return;
            }
            changed.await;
        }
    }
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind").field("options", &self.options).field("waiting", &self.len()).finish()
    }
}
