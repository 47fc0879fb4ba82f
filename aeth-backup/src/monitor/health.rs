//! The record as health.

use super::{BackupMonitor, record};
use aeth_core::observe::{Health, HealthCheck};
use async_trait::async_trait;
use std::borrow::Cow;

#[async_trait]
impl HealthCheck for BackupMonitor {
    fn component(&self) -> Cow<'_, str> {
        "backup".into()
    }

    async fn check(&self) -> Health {
        self.verdict()
    }
}

impl BackupMonitor {
    /// The health that the record stands for, without asking anybody.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "ages in seconds are exact")]
    pub fn verdict(&self) -> Health {
        let record = self.record();
        let options = &self.inner.options;
        let now = record::seconds(self.inner.clock.now());
        let age = |at: u64| now.saturating_sub(at);
        let observed = |mut health: Health| {
            if let Some(at) = record.last_success {
                health = health.with_observed("age", age(at) as f64, "s");
            }
            if let Some(at) = record.verified {
                health = health.with_observed("verified_age", age(at) as f64, "s");
            }
            health
        };
        let fault = if let Some(failure) = &record.failure {
            Some(format!("the last run failed: {failure}"))
        } else if let Some(last) = record.last_success {
            if age(last) > options.max_age.as_secs() {
                Some("the last successful run is older than allowed".to_owned())
            } else if !record.lagging.is_empty() {
                Some(format!("the last run did not reach {}", record.lagging.join(", ")))
            } else if record.skipped > 0 {
                let skipped = record.skipped;
                Some(format!(
                    "the last run left out {skipped} items that it could not read (its report names them)"
                ))
            } else if let Some(failure) = &record.drill_failure {
                Some(format!("the last restore drill failed: {failure}"))
            } else {
                let allowed = options.max_unverified.map(|allowed| allowed.as_secs());
                match (allowed, record.verified) {
                    (Some(_), None) => Some("no restore has ever been tried (run a drill)".to_owned()),
                    (Some(allowed), Some(at)) if age(at) > allowed => {
                        Some("the last proof by a restore is older than allowed (run a drill)".to_owned())
                    }
                    _ => None,
                }
            }
        } else {
            Some("no run has succeeded yet".to_owned())
        };
        observed(fault.map_or_else(Health::up, Health::degraded))
    }
}
