//! Whether the data would survive the loss of this disk.

use aeth_core::observe::{Health, HealthCheck, Status};
use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;

/// The health check of the backup: what its record says, and where its locations lie.
#[derive(Debug)]
pub(crate) struct BackupHealth {
    backup: super::Backup,
}

impl BackupHealth {
    pub(crate) fn new(backup: super::Backup) -> Self {
        Self { backup }
    }

    /// True when no location lies on another disk than the data. What cannot be told counts as another disk.
    async fn on_one_disk(&self) -> bool {
        let inner = Arc::clone(&self.backup.inner);
        let look = inner.tasks.clone().spawn_blocking(move || {
            let data = inner.data.root();
            !inner.locations.iter().any(|location| location.is_off_disk(data).unwrap_or(true))
        });
        look.await.unwrap_or(false)
    }
}

#[async_trait]
impl HealthCheck for BackupHealth {
    fn component(&self) -> Cow<'_, str> {
        "backup".into()
    }

    async fn check(&self) -> Health {
        if !self.backup.is_configured() {
            return Health::degraded(self.backup.inner.unconfigured().to_string());
        }
        let mut health = self.backup.inner.monitor.verdict();
        if health.status == Status::Up && self.on_one_disk().await {
            health.status = Status::Degraded;
            health.reason =
                Some("every location is on the disk of the data (add one on another disk or host)".into());
        }
        health
    }
}
