//! Who has a connection, and since when.

use parking_lot::Mutex;
use std::fmt::Write;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Notify;

/// The callers that hold a connection of one pool: the reason why another gets none.
#[derive(Debug, Clone)]
pub(crate) struct Holders {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<Places>,
    count: AtomicUsize,
    /// Told when the last one is gone.
    none: Notify,
}

/// A place for each holder. Places are used again, so that in the long run nothing is allocated.
#[derive(Debug, Default)]
struct Places {
    holders: Vec<Option<Holder>>,
    free: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    place: &'static Location<'static>,
    since: Duration,
    settling: bool,
}

/// A caller's entry; ends when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    holders: Holders,
    at: usize,
}

impl Holders {
    pub(crate) fn new() -> Self {
        Self { inner: Arc::default() }
    }

    pub(crate) fn enter(&self, place: &'static Location<'static>, since: Duration) -> Hold {
        let holder = Some(Holder { place, since, settling: false });
        let at = {
            let mut held = self.inner.held.lock();
            match held.free.pop() {
                Some(at) => {
                    if let Some(free) = held.holders.get_mut(at) {
                        *free = holder;
                    }
                    at
                }
                None => {
                    held.holders.push(holder);
                    held.holders.len() - 1
                }
            }
        };
        self.inner.count.fetch_add(1, SeqCst);
        Hold { holders: self.clone(), at }
    }

    /// How many hold a connection.
    pub(crate) fn count(&self) -> usize {
        self.inner.count.load(SeqCst)
    }

    /// Waits until nobody does.
    pub(crate) async fn none(&self) {
        loop {
            let gone = self.inner.none.notified();
            tokio::pin!(gone);
            // Before the count is looked at, so that nothing is missed in between.
            gone.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// Who has had one for how long, the longest first, at most three.
    pub(crate) fn describe(&self, now: Duration) -> String {
        let mut holders: Vec<Holder> = self.inner.held.lock().holders.iter().flatten().copied().collect();
        holders.sort_by_key(|holder| holder.since);
        let mut text = String::new();
        for holder in holders.iter().take(3) {
            let (separator, settling) = (
                if text.is_empty() { "" } else { ", " },
                if holder.settling { " (being rolled back)" } else { "" },
            );
            let held = now.saturating_sub(holder.since);
            // Writing into a string cannot fail.
            let _: std::fmt::Result = write!(text, "{separator}{} for {held:.1?}{settling}", holder.place);
        }
        text
    }
}

impl Hold {
    /// The caller is gone, its connection is being cleaned.
    pub(crate) fn settling(&self) {
        if let Some(Some(holder)) = self.holders.inner.held.lock().holders.get_mut(self.at) {
            holder.settling = true;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let inner = &*self.holders.inner;
        {
            let mut held = inner.held.lock();
            if let Some(place) = held.holders.get_mut(self.at) {
                *place = None;
            }
            held.free.push(self.at);
        }
        if inner.count.fetch_sub(1, SeqCst) == 1 {
            inner.none.notify_waiters();
        }
    }
}
