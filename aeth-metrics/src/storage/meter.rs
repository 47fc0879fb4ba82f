//! Figures of intervals.

use crate::{Families, Registry, StorageMetrics};
use std::time::Duration;

/// Reads the figures of the time between two of its own readings.
#[derive(Debug)]
pub struct Meter {
    registry: Registry,
    families: Families,
    at: Duration,
}

impl Meter {
    pub(crate) fn new(registry: Registry) -> Self {
        let (families, at) = (registry.collect(), registry.clock().monotonic());
        Self { registry, families, at }
    }

    /// The figures since the last reading (the first: since the meter was made).
    pub fn read(&mut self) -> StorageMetrics {
        let (families, at) = (self.registry.collect(), self.registry.clock().monotonic());
        let change = families.clone().since(&self.families);
        let over = at.saturating_sub(self.at);
        self.families = families;
        self.at = at;
        StorageMetrics::from_families(&change, over, self.registry.clock().now())
    }
}
