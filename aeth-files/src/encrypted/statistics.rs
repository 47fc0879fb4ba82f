//! What is counted.

use aeth_core::observe::standard::labels;
use aeth_core::observe::{Collector, Counter, Descriptor};

const SEALED: Descriptor = Descriptor::counter("aeth_files_sealed_segments", "Segments that were sealed.");
const OPENED: Descriptor = Descriptor::counter("aeth_files_opened_segments", "Segments that were opened.");

/// The instruments of one layer.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sealed: Counter,
    pub(super) opened: Counter,
}

/// What an encrypted layer has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EncryptedStatistics {
    /// Segments that were sealed.
    pub sealed_segments: u64,
    /// Segments that were opened: those that a read touches, and once for each object its last one, which proves its
    /// length.
    pub opened_segments: u64,
}

impl Counters {
    pub(super) fn read(&self) -> EncryptedStatistics {
        EncryptedStatistics { sealed_segments: self.sealed.get(), opened_segments: self.opened.get() }
    }
}

impl EncryptedStatistics {
    pub(super) fn collect(&self, store: &str, out: &mut dyn Collector) {
        let labels = [(labels::STORE, store)];
        out.counter(&SEALED, &labels, self.sealed_segments);
        out.counter(&OPENED, &labels, self.opened_segments);
    }
}
