//! The state of one volume.

use super::Mount;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// The state of one volume at one instant. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VolumeReport {
    /// The volume's name.
    pub name: String,
    /// The path that was asked about.
    pub path: PathBuf,
    /// Size of the file system.
    pub size: u64,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that an unprivileged process may still use.
    pub available: u64,
    /// Used over (used + available), 0 to 1, as `df` computes it.
    pub usage: f64,
    /// Inodes of the file system; 0 where it has none to count (btrfs).
    pub inodes: u64,
    /// Inodes that an unprivileged process may still use.
    pub inodes_available: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Where it is mounted; `None` where the system does not tell (it is Linux that does).
    pub mount: Option<Mount>,
    /// The kernel's name of the device (`vda`, `dm-0`); `None` for file systems without one.
    pub device: Option<String>,
    /// Whether the device is a dm-crypt device or made of such; `None` when that cannot be told, as for file
    /// systems without a device.
    pub encrypted: Option<bool>,
    /// What the device has done since the volumes were opened.
    pub io: Option<VolumeIo>,
    /// What the device did per second between the last two refreshes.
    pub rates: Option<VolumeRates>,
}

/// What a device has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct VolumeIo {
    /// Reads finished.
    pub reads: u64,
    /// Writes finished.
    pub writes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Time during which there was I/O in flight.
    pub busy: Duration,
}

/// What a device did per second over an interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct VolumeRates {
    /// Reads per second.
    pub reads: f64,
    /// Writes per second.
    pub writes: f64,
    /// Bytes read per second.
    pub read_bytes: f64,
    /// Bytes written per second.
    pub written_bytes: f64,
    /// Share of the time during which there was I/O in flight, 0 to 1.
    pub busy: f64,
}

impl VolumeIo {
    /// What was done after `earlier`; the kernel's counters may wrap or start again, which counts as nothing.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(earlier.reads),
            writes: self.writes.saturating_sub(earlier.writes),
            read_bytes: self.read_bytes.saturating_sub(earlier.read_bytes),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
            busy: self.busy.saturating_sub(earlier.busy),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
    pub(super) fn rates(self, over: Duration) -> Option<VolumeRates> {
        let seconds = over.as_secs_f64();
        (seconds > 0.0).then(|| VolumeRates {
            reads: self.reads as f64 / seconds,
            writes: self.writes as f64 / seconds,
            read_bytes: self.read_bytes as f64 / seconds,
            written_bytes: self.written_bytes as f64 / seconds,
            busy: (self.busy.as_secs_f64() / seconds).min(1.0),
        })
    }
}
