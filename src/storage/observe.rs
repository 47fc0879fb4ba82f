//! Metrics and health of the whole.

use super::Storage;
use super::build::Context;
use super::validate::Configuration;
use aeth_core::Result;
#[cfg(feature = "redis")]
use aeth_metrics::CheckOptions;
use aeth_metrics::{HealthOptions, HealthRegistry, Registry, VolumeOptions, VolumeSpec, Volumes};
use std::sync::Arc;
use std::time::Duration;

/// How often the disks are looked at.
const VOLUME_INTERVAL: Duration = Duration::from_secs(15);
/// How often Redis is asked for its figures.
#[cfg(feature = "redis")]
const REDIS_INTERVAL: Duration = Duration::from_secs(15);

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
        let mut specs = vec![VolumeSpec::new("data", context.data.root())];
        #[cfg(any(feature = "files", feature = "backup"))]
        {
            // A directory of the files may lie on a disk of its own. One that is away is the mirror's to tell.
            let places = configuration.file_places.iter();
            let directories = places.filter_map(|place| Some((place.label(), place.directory()?.to_owned())));
            specs.extend(
                directories
                    .filter(|(label, path)| label != "data" && path.is_dir())
                    .map(|(label, path)| VolumeSpec::new(label, path)),
            );
        }
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
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
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
        #[cfg(feature = "redis")]
        if let Some(redis) = &inner.redis {
            metrics.register(Arc::new(redis.monitor(REDIS_INTERVAL)));
            // Without it the storage is slower, not down: loads go on.
            health.register_with(Arc::new(redis.clone()), CheckOptions::default().critical(false));
        }
        for source in &inner.attached.sources {
            metrics.register(Arc::clone(source));
        }
        for check in &inner.attached.checks {
            health.register(Arc::clone(check));
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
