//! The sources of one application.

use crate::{Families, Meter, StorageMetrics};
use aeth_core::Clock;
use aeth_core::observe::MetricsSource;
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The sources of one application. Cheap to clone; all clones are the same registry.
///
/// There is no global one: two storages in one process have two registries.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    opened: Duration,
    sources: RwLock<Vec<Arc<dyn MetricsSource>>>,
    complained: Mutex<HashSet<&'static str>>,
}

impl Registry {
    /// A registry without sources. The clock dates the figures.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let opened = clock.monotonic();
        Self {
            inner: Arc::new(Inner {
                clock,
                opened,
                sources: RwLock::default(),
                complained: Mutex::default(),
            }),
        }
    }

    /// Adds a source. It stays for the life of the registry, also after it was closed: its last figures go on
    /// being shown.
    pub fn register(&self, source: Arc<dyn MetricsSource>) {
        self.inner.sources.write().push(source);
    }

    /// The components that are registered, in the order of registration.
    #[must_use]
    pub fn components(&self) -> Vec<String> {
        self.inner.sources.read().iter().map(|source| source.component().into_owned()).collect()
    }

    /// Visits every source once. Asks no engine and waits for nothing but the list of sources.
    #[must_use]
    pub fn collect(&self) -> Families {
        let sources = self.inner.sources.read().clone();
        let mut families = Families::new();
        for source in &sources {
            source.collect(&mut families);
        }
        for rejection in families.rejections() {
            if self.inner.complained.lock().insert(rejection.name) {
                tracing::warn!(
                    metric = rejection.name,
                    reason = rejection.reason,
                    "a metric is not exported"
                );
            }
        }
        families
    }

    /// The figures since the registry was made: counts are totals, rates and speeds are means over its whole
    /// life. [`meter`](Self::meter) gives those of an interval.
    #[must_use]
    pub fn storage_metrics(&self) -> StorageMetrics {
        let over = self.inner.clock.monotonic().saturating_sub(self.inner.opened);
        StorageMetrics::from_families(&self.collect(), over, self.inner.clock.now())
    }

    /// A reader of intervals of its own; any number of them do not disturb each other.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter::new(self.clone())
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("components", &self.components()).finish_non_exhaustive()
    }
}
