//! Putting a handle together.

use super::{Files, Inner};
use crate::{LocalDir, Metered};
use aeth_core::blob::BlobStore;
use aeth_core::{Clock, SystemClock, Tasks};
use std::sync::Arc;
use std::time::Duration;

/// How the health check asks the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Probe {
    /// Writes, reads and deletes a blob of a few bytes under [`Files::PROBES`].
    #[default]
    Write,
    /// Lists one entry: for stores that may not be written.
    Read,
}

/// Puts a [`Files`] together.
#[derive(Debug)]
#[must_use]
pub struct FilesBuilder {
    store: Arc<dyn BlobStore>,
    label: Option<String>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    volume: Option<LocalDir>,
    probe: Probe,
    probe_timeout: Duration,
    survey_every: Option<Duration>,
    low_space: (f64, f64),
}

impl FilesBuilder {
    pub(super) fn new(store: Arc<dyn BlobStore>) -> Self {
        Self {
            store,
            label: None,
            clock: SystemClock::shared(),
            tasks: Tasks::new(),
            volume: None,
            probe: Probe::default(),
            probe_timeout: Duration::from_secs(10),
            survey_every: None,
            low_space: (0.1, 0.01),
        }
    }

    /// The value of the label `store` of the metrics; default: the store's name.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The source of time; default: the machine's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The owner of the background work; default: a group of its own. It gets a child.
    pub fn tasks(mut self, tasks: &Tasks) -> Self {
        self.tasks = tasks.child();
        self
    }

    /// The local directory at the bottom of the store, whose free space is part of the health.
    pub fn volume(mut self, volume: LocalDir) -> Self {
        self.volume = Some(volume);
        self
    }

    /// The shares of free space, 0 to 1, below which the volume is degraded and down; default 0.1 and 0.01.
    pub fn low_space(mut self, degraded: f64, down: f64) -> Self {
        self.low_space = (degraded, down);
        self
    }

    /// How the health check asks the store, and for how long it waits; default [`Probe::Write`], 10 s.
    pub fn probe(mut self, probe: Probe, timeout: Duration) -> Self {
        self.probe = probe;
        self.probe_timeout = timeout;
        self
    }

    /// Counts all blobs now and then in the background, which costs a listing each time; default: never. The
    /// first count starts at once.
    pub fn survey_every(mut self, interval: Duration) -> Self {
        self.survey_every = Some(interval);
        self
    }

    /// The handle.
    ///
    /// # Panics
    /// Outside of a tokio runtime when surveys were asked for.
    #[must_use]
    pub fn build(self) -> Files {
        let label = self.label.unwrap_or_else(|| self.store.name().into_owned());
        let metered = Metered::labelled(self.store, label, Arc::clone(&self.clock));
        let files = Files(Arc::new(Inner {
            store: Arc::new(metered.clone()),
            metered,
            clock: self.clock,
            tasks: self.tasks,
            volume: self.volume,
            probe: self.probe,
            probe_timeout: self.probe_timeout,
            low_space: self.low_space,
        }));
        if let Some(interval) = self.survey_every {
            files.survey_in_background(interval);
        }
        files
    }
}
