//! The namespaces of the memory tier.

use super::Inner;
use crate::marks::TagMarks;
use aeth_core::Namespace;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A namespace: its number in keys, how often it was cleared, and its invalidated tags.
#[derive(Debug)]
pub(super) struct MemorySpace {
    pub(super) id: u32,
    clears: AtomicU64,
    pub(super) marks: TagMarks,
}

impl MemorySpace {
    pub(super) fn clears(&self) -> u64 {
        self.clears.load(Ordering::Acquire)
    }

    pub(super) fn clear(&self) -> u64 {
        self.clears.fetch_add(1, Ordering::AcqRel) + 1
    }
}

impl Inner {
    /// The namespace, if anything was ever put or leased there.
    pub(super) fn known(&self, namespace: &Namespace) -> Option<Arc<MemorySpace>> {
        self.spaces.read().get(namespace).map(Arc::clone)
    }

    pub(super) fn space(&self, namespace: &Namespace) -> Arc<MemorySpace> {
        if let Some(space) = self.known(namespace) {
            return space;
        }
        let mut spaces = self.spaces.write();
        let space = spaces.entry(namespace.clone()).or_insert_with(|| {
            Arc::new(MemorySpace {
                id: self.next_space.fetch_add(1, Ordering::Relaxed),
                clears: AtomicU64::new(0),
                marks: TagMarks::default(),
            })
        });
        Arc::clone(space)
    }
}
