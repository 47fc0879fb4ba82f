//! Whether the files can be used.

use super::{Files, Probe};
use aeth_core::blob::{BlobStore, BlobStoreExt, ListOptions};
use aeth_core::observe::{Health, HealthCheck, Status};
use aeth_core::{BlobPath, Body, ClockExt, Error, Result};
use async_trait::async_trait;
use std::borrow::Cow;

#[async_trait]
impl HealthCheck for Files {
    fn component(&self) -> Cow<'_, str> {
        "storage".into()
    }

    async fn check(&self) -> Health {
        let began = self.0.clock.monotonic();
        let probed = self.0.clock.timeout(self.0.probe_timeout, self.probe()).await;
        let took = self.0.clock.monotonic().saturating_sub(began);
        let health = match probed.and_then(|probed| probed) {
            Ok(()) => self.space().await,
            Err(error) => Health::from(&error),
        };
        health.with_latency(took)
    }
}

impl Files {
    async fn probe(&self) -> Result<()> {
        let store = self.store();
        if self.0.probe == Probe::Read {
            return store.list_page(ListOptions::default().with_limit(1)).await.map(drop);
        }
        let content = crate::random::hex::<16>()?;
        let path = BlobPath::new(format!("{}/{content}", Self::PROBES))?;
        let written = self.round_trip(&path, &content).await;
        let deleted = store.delete(&path).await;
        written.and(deleted)
    }

    async fn round_trip(&self, path: &BlobPath, content: &str) -> Result<()> {
        self.store().put(path, Body::from(content.to_owned())).await?;
        let read = self.store().get_bytes(path).await?;
        if read == content.as_bytes() {
            return Ok(());
        }
        Err(Error::corrupt("what was read is not what was written").with_component("files").with_key(path))
    }

    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    async fn space(&self) -> Health {
        let Some(volume) = &self.0.volume else { return Health::up() };
        let (total, available) = match volume.space().await {
            Ok(space) => space,
            Err(error) => return Health::degraded(format!("the free space is unknown: {error}")),
        };
        let share = if total == 0 { 1.0 } else { available as f64 / total as f64 };
        let (degraded, down) = self.0.low_space;
        let status = match share {
            share if share < down => Status::Down,
            share if share < degraded => Status::Degraded,
            _ => Status::Up,
        };
        let mut health = Health::new(status);
        if status != Status::Up {
            let percent = share * 100.0;
            health.reason =
                Some(format!("{percent:.1} % of the disk is free: make room or move the files").into());
        }
        health.with_observed("available_space", available as f64, "bytes").with_observed(
            "total_space",
            total as f64,
            "bytes",
        )
    }
}
