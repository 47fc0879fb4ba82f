//! Who has a connection, and since when.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The callers that hold a connection of one pool: the reason why another gets none.
#[derive(Debug, Clone)]
pub(crate) struct Holders {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    held: Mutex<(u64, BTreeMap<u64, Holder>)>,
    count: watch::Sender<usize>,
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
    id: u64,
}

impl Holders {
    pub(crate) fn new() -> Self {
        let inner = Inner { held: Mutex::default(), count: watch::Sender::new(0) };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn enter(&self, place: &'static Location<'static>, since: Duration) -> Hold {
        let id = {
            let mut held = self.inner.held.lock();
            held.0 += 1;
            let id = held.0;
            held.1.insert(id, Holder { place, since, settling: false });
            id
        };
        self.inner.count.send_modify(|count| *count += 1);
        Hold { holders: self.clone(), id }
    }

    /// How many hold a connection.
    pub(crate) fn count(&self) -> usize {
        *self.inner.count.borrow()
    }

    /// Waits until nobody does.
    pub(crate) async fn none(&self) {
        // The sender lives as long as `self`.
        drop(self.inner.count.subscribe().wait_for(|count| *count == 0).await);
    }

    /// Who has had one for how long, the longest first, at most three.
    pub(crate) fn describe(&self, now: Duration) -> String {
        let mut holders: Vec<Holder> = self.inner.held.lock().1.values().copied().collect();
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
        if let Some(holder) = self.holders.inner.held.lock().1.get_mut(&self.id) {
            holder.settling = true;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holders.inner.held.lock().1.remove(&self.id);
        self.holders.inner.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}
