//! The checks of one application.

use super::component::{Component, NEVER};
use super::{CheckOptions, ComponentHealth, HealthReport, Probe};
use aeth_core::observe::{Collector, HealthCheck, MetricsSource, Status, standard};
use aeth_core::{Clock, Tasks};
use futures_util::future::join_all;
use parking_lot::RwLock;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How the checks of an application are run by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HealthOptions {
    /// For checks that are registered without options of their own.
    pub checks: CheckOptions,
}

impl HealthOptions {
    /// Sets what checks have that are registered without options of their own.
    #[must_use]
    pub fn checks(mut self, checks: CheckOptions) -> Self {
        self.checks = checks;
        self
    }
}

/// The checks of one application. Cheap to clone; all clones are the same registry.
///
/// Checks run in parallel, each under its own timeout, at most one run of each at a time; answers are cached
/// and damped, so that a probe every second costs nothing and one lost packet is no outage. A
/// [`MetricsSource`] as well: it shows the last verdicts.
#[derive(Clone)]
pub struct HealthRegistry {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    options: HealthOptions,
    components: RwLock<Vec<Arc<Component>>>,
    started: AtomicBool,
}

impl HealthRegistry {
    /// A registry without checks, which is up.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, options: HealthOptions) -> Self {
        let inner = Inner { clock, options, components: RwLock::default(), started: AtomicBool::new(false) };
        Self { inner: Arc::new(inner) }
    }

    /// Adds a check with the default options. A check of the same component replaces the one before.
    pub fn register(&self, check: Arc<dyn HealthCheck>) {
        self.register_with(check, self.inner.options.checks.clone());
    }

    /// Adds a check. A check of the same component replaces the one before.
    pub fn register_with(&self, check: Arc<dyn HealthCheck>, options: CheckOptions) {
        let component = Arc::new(Component::new(check, options));
        let name = component.name();
        let mut components = self.inner.components.write();
        match components.iter_mut().find(|present| present.name() == name) {
            Some(present) => *present = component,
            None => components.push(component),
        }
    }

    /// The components that are registered, in the order of registration.
    #[must_use]
    pub fn components(&self) -> Vec<String> {
        self.inner.components.read().iter().map(|component| component.name()).collect()
    }

    /// The health of everything that the probe asks, from answers that are young enough and checks run now.
    /// Takes as long as the slowest check, at most its timeout (twice that when another caller's run of it had
    /// already begun).
    ///
    /// # Cancel safety
    /// Cancel-safe: checks that were running are dropped, and what was published stays.
    pub async fn report(&self, probe: Probe) -> HealthReport {
        self.gather(probe, false).await
    }

    /// Like [`report`](Self::report), with every check run now.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn refresh(&self, probe: Probe) -> HealthReport {
        self.gather(probe, true).await
    }

    /// The health of one component; `None` when there is none of that name.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn component(&self, name: &str) -> Option<ComponentHealth> {
        let found = self.inner.components.read().iter().find(|component| component.name() == name).cloned();
        Some(found?.ask(&*self.inner.clock, false).await)
    }

    /// Runs every check each `interval` in the background until `tasks` closes, so that probes find answers
    /// ready and the metrics stay current.
    pub fn watch(&self, tasks: &Tasks, interval: Duration) {
        let this = self.clone();
        // The handle is not needed: closing `tasks` ends the loop.
        drop(tasks.spawn_until_closed(async move {
            loop {
                let report = this.refresh(Probe::All).await;
                if report.status != Status::Up {
                    tracing::debug!(status = %report.status, "the storage is not well");
                }
                this.inner.clock.sleep(interval).await;
            }
        }));
    }

    async fn gather(&self, probe: Probe, fresh: bool) -> HealthReport {
        if probe == Probe::Startup && self.inner.started.load(Relaxed) {
            return HealthReport::new(probe, Vec::new());
        }
        let asked: Vec<_> = self
            .inner
            .components
            .read()
            .iter()
            .filter(|component| component.answers(probe))
            .map(Arc::clone)
            .collect();
        let clock = &*self.inner.clock;
        let answers = join_all(asked.iter().map(|component| component.ask(clock, fresh))).await;
        let report = HealthReport::new(probe, answers);
        if probe == Probe::Startup && report.status != Status::Down {
            self.inner.started.store(true, Relaxed);
        }
        report
    }
}

impl MetricsSource for HealthRegistry {
    fn component(&self) -> Cow<'_, str> {
        "health".into()
    }

    #[allow(clippy::cast_precision_loss, reason = "a latency needs no more than 53 bits")]
    fn collect(&self, out: &mut dyn Collector) {
        for component in self.inner.components.read().iter() {
            let (status, latency) = component.published();
            if status == NEVER {
                continue;
            }
            let name = component.name();
            let labels = [(standard::labels::COMPONENT, name.as_str())];
            out.gauge(&standard::health::STATUS, &labels, f64::from(status));
            out.gauge(&standard::health::LATENCY, &labels, latency as f64 / 1e9);
        }
    }
}

impl fmt::Debug for HealthRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthRegistry").field("components", &self.components()).finish_non_exhaustive()
    }
}
