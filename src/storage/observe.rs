//! Metrics and health of the whole.

use super::Storage;
use super::build::Context;
use super::validate::Configuration;
use aeth_core::Result;
use aeth_metrics::{HealthOptions, HealthRegistry, Registry, VolumeOptions, VolumeSpec, Volumes};
use std::sync::Arc;
use std::time::Duration;

/// How often the disks are looked at.
const VOLUME_INTERVAL: Duration = Duration::from_secs(15);

pub(super) struct Observed {
    pub(super) metrics: Registry,
    pub(super) health: HealthRegistry,
    pub(super) volumes: Volumes,
}

impl Observed {
    pub(super) async fn open(configuration: &Configuration, context: &Context) -> Result<Self> {
        let settings = &configuration.builder.settings;
        let percent = |percent: u8| f64::from(percent) / 100.0;
        let options = VolumeOptions::default().thresholds(
            percent(settings.health.disk_degraded_percent),
            percent(settings.health.disk_down_percent),
        );
        let specs = vec![VolumeSpec::new("data", context.data.root())];
        let clock = Arc::clone(&context.clock);
        let volumes = Volumes::open(specs, options, Arc::clone(&clock), context.tasks.clone()).await?;
        volumes.watch(VOLUME_INTERVAL);
        Ok(Self {
            metrics: Registry::new(Arc::clone(&clock)),
            health: HealthRegistry::new(clock, HealthOptions::default()),
            volumes,
        })
    }
}

impl Storage {
    /// Registers every part with the metrics and the health of the whole.
    pub(super) fn observe(&self) {
        let inner = &self.inner;
        let (metrics, health) = (&inner.metrics, &inner.health);
        #[cfg(feature = "sqlite")]
        if let Some(database) = &inner.database {
            metrics.register(Arc::new(database.clone()));
            health.register(Arc::new(database.clone()));
        }
        #[cfg(feature = "cache")]
        {
            metrics.register(Arc::new(inner.caches.clone()));
            health.register(Arc::new(inner.caches.clone()));
        }
        #[cfg(feature = "files")]
        {
            metrics.register(Arc::new(inner.files.clone()));
            health.register(Arc::new(inner.files.clone()));
        }
        metrics.register(Arc::new(inner.volumes.clone()));
        health.register(Arc::new(inner.volumes.clone()));
        #[cfg(feature = "backup")]
        {
            let backup = inner.backup.clone();
            metrics.register(Arc::new(backup.monitor().clone()));
            health.register(Arc::new(crate::backup::BackupHealth::new(backup)));
        }
    }
}
