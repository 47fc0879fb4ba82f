//! Whether the data would survive the loss of this disk.

use super::{Inner, record};
use aeth_core::observe::{Health, HealthCheck};
use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The health check of the backup.
#[derive(Debug)]
pub(crate) struct BackupHealth {
    backup: super::Backup,
    max_age: Duration,
}

impl BackupHealth {
    pub(crate) fn new(backup: super::Backup, max_age: Duration) -> Self {
        Self { backup, max_age }
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
        let Inner { clock, record, .. } = &*self.backup.inner;
        let kept = record.kept();
        if let Some(failure) = &kept.failure {
            return Health::degraded(format!("the last run failed: {failure}"));
        }
        let Some(last) = kept.last_success else {
            return Health::degraded("no run has succeeded yet (call Backup::run)");
        };
        let age = record::seconds(clock.now()).saturating_sub(last);
        #[allow(clippy::cast_precision_loss, reason = "an age in seconds is exact")]
        let observed = |health: Health| health.with_observed("age", age as f64, "s");
        if age > self.max_age.as_secs() {
            return observed(Health::degraded("the last successful run is older than allowed"));
        }
        if !kept.lagging.is_empty() {
            let names = kept.lagging.join(", ");
            return observed(Health::degraded(format!("the last run did not reach {names}")));
        }
        if kept.skipped > 0 {
            return observed(Health::degraded(format!(
                "the last run left out {} items that it could not read (its report names them)",
                kept.skipped
            )));
        }
        if self.on_one_disk().await {
            return observed(Health::degraded(
                "every location is on the disk of the data (add one on another disk or host)",
            ));
        }
        observed(Health::up())
    }
}
