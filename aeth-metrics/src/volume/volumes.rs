//! The volumes of one application.

use super::report::{VolumeIo, VolumeReport};
use super::usage;
use aeth_core::observe::standard::{labels, volume};
use aeth_core::observe::{Collector, Health, HealthCheck, MetricsSource, Status};
use aeth_core::{Clock, ClockExt, Error, Result, Tasks};
use async_trait::async_trait;
use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A volume to look after.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VolumeSpec {
    /// Its name in reports and metrics.
    pub name: String,
    /// Any path on it.
    pub path: PathBuf,
    /// Whether it is meant to be read-only; then that is no fault. Default false.
    pub read_only: bool,
}

impl VolumeSpec {
    /// A writable volume.
    #[must_use]
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), path: path.into(), read_only: false }
    }

    /// Sets whether it is meant to be read-only.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }
}

/// Limits of the volumes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VolumeOptions {
    /// Share of the space or of the inodes in use from which on a volume is degraded. Default 0.85.
    pub degraded_at: f64,
    /// Share from which on it is down. Default 0.95.
    pub down_at: f64,
    /// How old a reading may be when health asks. Default 10 s.
    pub max_age: Duration,
    /// How long the system may take to answer; a dead network mount never does. Default 5 s.
    pub timeout: Duration,
}

impl Default for VolumeOptions {
    fn default() -> Self {
        Self {
            degraded_at: 0.85,
            down_at: 0.95,
            max_age: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
        }
    }
}

impl VolumeOptions {
    /// Sets from which shares (0 to 1) on a volume is degraded and down.
    #[must_use]
    pub fn thresholds(mut self, degraded_at: f64, down_at: f64) -> Self {
        (self.degraded_at, self.down_at) = (degraded_at, down_at);
        self
    }

    /// Sets how old a reading may be when health asks.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Sets how long the system may take to answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Usage, space and I/O of volumes. Cheap to clone; all clones are the same.
///
/// Readings are taken by [`refresh`](Self::refresh), by [`watch`](Self::watch) in the background and by the
/// health check when they are too old; metrics and [`reports`](Self::reports) show the last one. On Linux all
/// figures are there, elsewhere space and inodes.
#[derive(Debug, Clone)]
pub struct Volumes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    specs: Vec<VolumeSpec>,
    options: VolumeOptions,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    state: RwLock<State>,
    /// At most one reading at a time: threads that hang on a dead mount must not pile up.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// For each volume the last reading, or why there is none.
    readings: Arc<[Result<VolumeReport>]>,
    at: Duration,
    /// What each device had done since boot, when first seen and when last seen.
    devices: HashMap<String, (VolumeIo, VolumeIo)>,
}

impl Volumes {
    /// Looks at the volumes for the first time.
    ///
    /// # Errors
    /// `Invalid` for a name given twice or thresholds out of order; the system's answer for a volume that
    /// cannot be read (`NotFound`, `Denied`, …); `Timeout`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(
        specs: Vec<VolumeSpec>,
        options: VolumeOptions,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
    ) -> Result<Self> {
        check(&specs, &options)?;
        let inner = Inner { specs, options, clock, tasks, state: RwLock::default(), reading: Arc::default() };
        let volumes = Self { inner: Arc::new(inner) };
        volumes.refresh().await?;
        let state = volumes.inner.state.read().clone();
        match state.readings.iter().find_map(|reading| reading.as_ref().err()) {
            Some(error) => Err(error.clone()),
            None => Ok(volumes),
        }
    }

    /// Takes a reading of every volume. A volume that cannot be read is reported by health.
    ///
    /// # Errors
    /// `Timeout` when the system does not answer; the last reading then stays.
    ///
    /// # Cancel safety
    /// Cancel-safe: the reading goes on and is then dropped.
    pub async fn refresh(&self) -> Result<()> {
        let inner = &self.inner;
        let late = |error: Error| {
            error
                .with_operation("refresh")
                .with_component("volumes")
                .with_remedy("look for a network mount whose server is away")
        };
        let specs = inner.specs.clone();
        let reading = async {
            let turn = Arc::clone(&inner.reading).lock_owned().await;
            let at = inner.clock.monotonic();
            // The turn goes with the thread, which may outlive this call.
            let work = move || {
                let readings: Vec<_> = specs.iter().map(usage::read).collect();
                drop(turn);
                readings
            };
            (at, inner.tasks.spawn_blocking(work).await)
        };
        let (at, readings) = inner.clock.timeout(inner.options.timeout, reading).await.map_err(late)?;
        let readings =
            readings.map_err(|error| Error::other("the reading was broken off").with_source(error))?;
        inner.store(at, readings);
        Ok(())
    }

    /// Takes a reading each `interval` until the tasks given at [`open`](Self::open) close.
    pub fn watch(&self, interval: Duration) {
        let this = self.clone();
        // The handle is not needed: closing the tasks ends the loop.
        drop(self.inner.tasks.spawn_until_closed(async move {
            loop {
                this.inner.clock.sleep(interval).await;
                if let Err(error) = this.refresh().await {
                    tracing::warn!(%error, "the volumes could not be read");
                }
            }
        }));
    }

    /// The last reading of every volume, or why there is none.
    #[must_use]
    pub fn reports(&self) -> Vec<Result<VolumeReport>> {
        self.inner.state.read().readings.to_vec()
    }

    fn judge(&self, spec: &VolumeSpec, report: &VolumeReport) -> (Status, Option<String>) {
        let options = &self.inner.options;
        let name = &report.name;
        let inode_share = inode_share(report);
        let percent = |share: f64| share * 100.0;
        let mut verdict = (Status::Up, None);
        let mut worsen = |status: Status, reason: String| {
            if status > verdict.0 {
                verdict = (status, Some(reason));
            }
        };
        if report.read_only && !spec.read_only {
            worsen(Status::Down, format!("{name} is mounted read-only: look for disk errors, remount it"));
        }
        for (share, what) in [(report.usage, "space"), (inode_share, "inodes")] {
            let status = if share >= options.down_at {
                Status::Down
            } else if share >= options.degraded_at {
                Status::Degraded
            } else {
                continue;
            };
            worsen(status, format!("{name} has {:.1} % of its {what} in use: free some", percent(share)));
        }
        verdict
    }
}

impl Inner {
    fn store(&self, at: Duration, mut readings: Vec<Result<VolumeReport>>) {
        let mut state = self.state.write();
        let over = at.saturating_sub(state.at);
        let mut seen = HashMap::new();
        for report in readings.iter_mut().flatten() {
            let (Some(device), Some(now)) = (report.device.clone(), report.io) else { continue };
            let known = state.devices.get(&device).copied();
            let (first, last) = known.unwrap_or((now, now));
            report.io = Some(now.since(first));
            report.rates = if known.is_some() { now.since(last).rates(over) } else { None };
            seen.insert(device, (first, now));
        }
        state.devices.extend(seen);
        state.at = at;
        state.readings = readings.into();
    }
}

fn check(specs: &[VolumeSpec], options: &VolumeOptions) -> Result<()> {
    for (i, spec) in specs.iter().enumerate() {
        if specs.iter().take(i).any(|other| other.name == spec.name) {
            return Err(Error::invalid("two volumes have this name")
                .with_component("volumes")
                .with_key(&spec.name)
                .with_remedy("give each volume a name of its own"));
        }
    }
    let (degraded, down) = (options.degraded_at, options.down_at);
    if !(degraded > 0.0 && degraded <= down && down <= 1.0) {
        return Err(Error::invalid(format!(
            "thresholds {degraded} and {down} are not in order within 0 to 1"
        ))
        .with_component("volumes"));
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
fn inode_share(report: &VolumeReport) -> f64 {
    if report.inodes == 0 {
        return 0.0;
    }
    1.0 - (report.inodes_available as f64 / report.inodes as f64).min(1.0)
}

impl MetricsSource for Volumes {
    fn component(&self) -> Cow<'_, str> {
        "volumes".into()
    }

    #[allow(clippy::cast_precision_loss, reason = "sizes as gauges need no more than 53 bits")]
    fn collect(&self, out: &mut dyn Collector) {
        let readings = Arc::clone(&self.inner.state.read().readings);
        for report in readings.iter().flatten() {
            let labels = [(labels::VOLUME, report.name.as_str())];
            out.gauge(&volume::SIZE, &labels, report.size as f64);
            out.gauge(&volume::USED, &labels, report.used as f64);
            out.gauge(&volume::AVAILABLE, &labels, report.available as f64);
            out.gauge(&volume::USAGE, &labels, report.usage);
            if report.inodes > 0 {
                out.gauge(&volume::INODES, &labels, report.inodes as f64);
                out.gauge(&volume::INODES_AVAILABLE, &labels, report.inodes_available as f64);
            }
            out.gauge(&volume::READ_ONLY, &labels, f64::from(u8::from(report.read_only)));
            if let Some(encrypted) = report.encrypted {
                out.gauge(&volume::ENCRYPTED, &labels, f64::from(u8::from(encrypted)));
            }
            if let (Some(device), Some(io)) = (&report.device, report.io) {
                collect_io(out, &report.name, device, io);
            }
        }
    }
}

fn collect_io(out: &mut dyn Collector, name: &str, device: &str, io: VolumeIo) {
    let on = [(labels::VOLUME, name), (labels::DEVICE, device)];
    let reading = [on[0], on[1], (labels::OPERATION, labels::READ)];
    let writing = [on[0], on[1], (labels::OPERATION, labels::WRITE)];
    out.counter(&volume::OPERATIONS, &reading, io.reads);
    out.counter(&volume::OPERATIONS, &writing, io.writes);
    out.counter(&volume::BYTES, &reading, io.read_bytes);
    out.counter(&volume::BYTES, &writing, io.written_bytes);
    out.counter(&volume::BUSY_TIME, &on, u64::try_from(io.busy.as_nanos()).unwrap_or(u64::MAX));
}

#[async_trait]
impl HealthCheck for Volumes {
    fn component(&self) -> Cow<'_, str> {
        "volumes".into()
    }

    async fn check(&self) -> Health {
        let age = self.inner.clock.monotonic().saturating_sub(self.inner.state.read().at);
        if age > self.inner.options.max_age
            && let Err(error) = self.refresh().await
        {
            return Health::from(&error);
        }
        let readings = Arc::clone(&self.inner.state.read().readings);
        let mut health = Health::up();
        let mut reasons = Vec::new();
        for (spec, reading) in self.inner.specs.iter().zip(readings.iter()) {
            let (status, reason) = match reading {
                Ok(report) => {
                    health = health
                        .with_observed(format!("{}:usage", report.name), report.usage * 100.0, "percent")
                        .with_observed(format!("{}:available", report.name), available(report), "bytes");
                    self.judge(spec, report)
                }
                Err(error) => (Status::Down, Some(error.to_string())),
            };
            health.status = health.status.max(status);
            reasons.extend(reason);
        }
        if !reasons.is_empty() {
            health.reason = Some(reasons.join("; ").into());
        }
        health
    }
}

#[allow(clippy::cast_precision_loss, reason = "a size needs no more than 53 bits")]
fn available(report: &VolumeReport) -> f64 {
    report.available as f64
}
