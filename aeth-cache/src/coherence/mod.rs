//! What the processes of a fleet tell each other: which keys, tags and namespaces changed.
//!
//! A change is told after it was made. A message that could not be sent is kept (bounded; beyond that one message
//! says that the namespaces changed) and sent when the backplane works again. A process that may have missed
//! messages treats all of its own copies as stale, and drops nothing.

mod leases;
mod listen;
mod message;
mod tell;

pub(crate) use leases::Leases;
pub(crate) use message::News;

use crate::caches::Shared;
use aeth_core::coord::Backplane;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The channel of all caches; the backplane keeps fleets apart.
const CHANNEL: &str = "aeth-cache";

/// The connection to the fleet.
#[derive(Debug)]
pub(crate) struct Coherence {
    backplane: Arc<dyn Backplane>,
    listening: AtomicBool,
    connected: AtomicBool,
    unsent: Mutex<VecDeque<News>>,
    sending: AtomicBool,
}

impl Coherence {
    pub(crate) fn new(backplane: Arc<dyn Backplane>) -> Self {
        Self {
            backplane,
            listening: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            unsent: Mutex::default(),
            sending: AtomicBool::new(false),
        }
    }

    /// True while changes by others are heard.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }
}

impl Shared {
    /// Begins to listen, at the first call that has a runtime.
    pub(crate) fn listen(self: &Arc<Self>) {
        let Some(coherence) = &self.coherence else { return };
        if coherence.listening.load(Ordering::Acquire)
            || tokio::runtime::Handle::try_current().is_err()
            || coherence.listening.swap(true, Ordering::AcqRel)
        {
            return;
        }
        // A weak reference: caches that nobody holds any more need not listen.
        let weak = Arc::downgrade(self);
        let backplane = Arc::clone(&coherence.backplane);
        drop(self.tasks.spawn_until_closed(listen::run(weak, backplane, self.gone.clone())));
    }
}
