//! The laws of metrics sources and health checks.
#![allow(clippy::clone_on_ref_ptr, clippy::unwrap_used, missing_docs)]

use aeth_core::conformance::{health_check, metrics_source};
use aeth_core::{SystemClock, Tasks};
use aeth_metrics::{HealthOptions, HealthRegistry, Probe, VolumeOptions, VolumeSpec, Volumes};
use std::sync::Arc;

async fn volumes() -> Volumes {
    let directory = std::env::temp_dir();
    let specs = vec![VolumeSpec::new("data", directory), VolumeSpec::new("root", "/")];
    let options = VolumeOptions::default().max_age(std::time::Duration::ZERO).thresholds(0.999_999, 1.0);
    Volumes::open(specs, options, SystemClock::shared(), Tasks::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_keep_the_laws() {
    let volumes = Arc::new(volumes().await);
    metrics_source::run_all(volumes.clone()).await.into_result().unwrap();
    health_check::run_all(volumes).await.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_registry_keeps_the_laws() {
    let health = HealthRegistry::new(SystemClock::shared(), HealthOptions::default());
    health.register(Arc::new(volumes().await));
    health.report(Probe::All).await;
    metrics_source::run_all(Arc::new(health)).await.into_result().unwrap();
}
