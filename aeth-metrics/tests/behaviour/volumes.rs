//! The machine's own disks.
#![allow(clippy::clone_on_ref_ptr, clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use crate::common;

use aeth_core::observe::{HealthCheck, Status};
use aeth_core::{ErrorKind, Tasks};
use aeth_metrics::{Format, Registry, VolumeOptions, VolumeSpec, Volumes};
use common::TestClock;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

async fn open(specs: Vec<VolumeSpec>, options: VolumeOptions) -> aeth_core::Result<Volumes> {
    Volumes::open(specs, options, aeth_core::SystemClock::shared(), Tasks::new()).await
}

#[tokio::test]
async fn the_figures_are_those_of_df() {
    let directory = tempfile::tempdir().unwrap();
    let volumes =
        open(vec![VolumeSpec::new("data", directory.path())], VolumeOptions::default()).await.unwrap();
    let report = volumes.reports().remove(0).unwrap();
    let output = Command::new("df")
        .args(["--output=size,target,fstype,source", "-B1"])
        .arg(directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(report.size.to_string(), fields[0]);
    let mount = report.mount.as_ref().unwrap();
    assert_eq!(mount.mount_point.to_str(), Some(fields[1]));
    assert_eq!(mount.fs_type, fields[2]);
    assert!(report.used > 0 && report.available > 0 && report.used + report.available <= report.size);
    assert!(report.usage > 0.0 && report.usage < 1.0);
    assert!(!report.read_only);
}

#[tokio::test]
async fn writing_is_seen_and_exported() {
    let directory = tempfile::tempdir().unwrap();
    let volumes =
        open(vec![VolumeSpec::new("data", directory.path())], VolumeOptions::default()).await.unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, vec![7_u8; 8 << 20]).unwrap();
    std::fs::File::open(&path).unwrap().sync_all().unwrap();
    volumes.refresh().await.unwrap();
    let report = volumes.reports().remove(0).unwrap();
    // A machine whose temporary directory lies in memory has no device to look at.
    if let Some(io) = report.io {
        assert!(io.written_bytes >= 8 << 20, "{io:?}");
        assert!(report.rates.unwrap().written_bytes > 0.0);
    } else {
        assert!(report.device.is_none());
    }
    let registry = Registry::new(TestClock::new());
    registry.register(Arc::new(volumes));
    let families = registry.collect();
    assert_eq!(families.rejections(), []);
    let text = families.render(Format::OpenMetrics);
    assert!(text.contains("aeth_volume_available_bytes{volume=\"data\"}"), "{text}");
}

#[tokio::test]
async fn thresholds_make_the_verdict() {
    let spec = || vec![VolumeSpec::new("data", "/")];
    let verdict = async |degraded, down| {
        let volumes = open(spec(), VolumeOptions::default().thresholds(degraded, down)).await.unwrap();
        volumes.check().await
    };
    assert_eq!(verdict(0.999_999, 1.0).await.status, Status::Up);
    let degraded = verdict(1e-9, 1.0).await;
    assert_eq!(degraded.status, Status::Degraded);
    assert!(degraded.reason.unwrap().contains("data has "));
    assert_eq!(verdict(1e-9, 1e-9).await.status, Status::Down);
}

#[tokio::test]
async fn mistakes_are_named() {
    let kind = async |specs, options| open(specs, options).await.unwrap_err().kind();
    let twice = vec![VolumeSpec::new("a", "/"), VolumeSpec::new("a", "/tmp")];
    assert_eq!(kind(twice, VolumeOptions::default()).await, ErrorKind::Invalid);
    let missing = vec![VolumeSpec::new("a", "/no/such/place")];
    assert_eq!(kind(missing, VolumeOptions::default()).await, ErrorKind::NotFound);
    let options = VolumeOptions::default().thresholds(0.9, 0.8);
    assert_eq!(kind(vec![VolumeSpec::new("a", "/")], options).await, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_volume_that_goes_away_is_down() {
    let directory = tempfile::tempdir().unwrap();
    let options = VolumeOptions::default().max_age(Duration::ZERO);
    let volumes = open(vec![VolumeSpec::new("data", directory.path())], options).await.unwrap();
    directory.close().unwrap();
    let health = volumes.check().await;
    assert_eq!(health.status, Status::Down);
    assert!(health.reason.unwrap().contains("no such file"), "named");
}
