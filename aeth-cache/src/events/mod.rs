//! What happens in the caches, for who wants to watch.
//!
//! Without subscribers an event costs the load of one number, which also says which kinds are wanted: whoever
//! watches breakers does not make hits dearer.

mod event;
mod stream;

pub use event::{CacheEvent, EventKey, EventKind};
pub use stream::CacheEvents;

use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::broadcast;

/// Events that a subscriber may be behind before it misses some.
const CAPACITY: usize = 4096;

/// Where events go.
pub(crate) struct Events {
    /// The kinds that anybody wants, as bits.
    wanted: AtomicU32,
    subscribers: Mutex<[u32; EventKind::ALL.len()]>,
    /// Made for the first subscriber.
    sender: OnceLock<broadcast::Sender<CacheEvent>>,
}

impl Events {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            wanted: AtomicU32::new(0),
            subscribers: Mutex::new([0; EventKind::ALL.len()]),
            sender: OnceLock::new(),
        })
    }

    /// Whether anybody wants events of this kind.
    #[inline]
    pub(crate) fn wants(&self, kind: EventKind) -> bool {
        self.wanted.load(Ordering::Relaxed) & kind.bit() != 0
    }

    /// Tells what `event` makes, if anybody wants it.
    #[inline]
    pub(crate) fn tell(&self, kind: EventKind, event: impl FnOnce() -> Option<CacheEvent>) {
        if self.wants(kind) {
            self.send(event());
        }
    }

    #[cold]
    fn send(&self, event: Option<CacheEvent>) {
        if let (Some(sender), Some(event)) = (self.sender.get(), event) {
            // Fails only when the last subscriber has just gone.
            drop(sender.send(event));
        }
    }

    pub(crate) fn subscribe(self: &Arc<Self>, kinds: &[EventKind]) -> CacheEvents {
        let sender = self.sender.get_or_init(|| broadcast::channel(CAPACITY).0);
        let kinds = kinds.iter().fold(0, |bits, kind| bits | kind.bit());
        let receiver = sender.subscribe();
        self.change(kinds, |count| count.saturating_add(1));
        CacheEvents::new(receiver, kinds, Arc::downgrade(self))
    }

    fn unsubscribe(&self, kinds: u32) {
        self.change(kinds, |count| count.saturating_sub(1));
    }

    fn change(&self, kinds: u32, change: impl Fn(u32) -> u32) {
        let mut subscribers = self.subscribers.lock();
        let mut wanted = 0;
        for (kind, count) in EventKind::ALL.iter().zip(subscribers.iter_mut()) {
            if kinds & kind.bit() != 0 {
                *count = change(*count);
            }
            if *count > 0 {
                wanted |= kind.bit();
            }
        }
        self.wanted.store(wanted, Ordering::Relaxed);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}
