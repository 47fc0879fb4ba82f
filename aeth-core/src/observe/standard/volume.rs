//! `volumes`: disk usage, available space, I/O operations, throughput. All carry [`labels::VOLUME`]; those of the
//! device carry [`labels::DEVICE`] too, because several volumes may share one.
//!
//! [`labels::VOLUME`]: super::labels::VOLUME
//! [`labels::DEVICE`]: super::labels::DEVICE

use crate::observe::{Descriptor, Unit};

/// Bytes of the file system.
pub const SIZE: Descriptor =
    Descriptor::gauge("aeth_volume_size_bytes", "Size of the file system.").with_unit(Unit::Bytes);
/// Bytes in use.
pub const USED: Descriptor =
    Descriptor::gauge("aeth_volume_used_bytes", "Bytes in use.").with_unit(Unit::Bytes);
/// Bytes that an unprivileged process may still use.
pub const AVAILABLE: Descriptor =
    Descriptor::gauge("aeth_volume_available_bytes", "Bytes that an unprivileged process may still use.")
        .with_unit(Unit::Bytes);
/// Used over (used + available), 0 to 1, as `df` computes it.
pub const USAGE: Descriptor =
    Descriptor::gauge("aeth_volume_usage_ratio", "Share of the usable space that is in use.")
        .with_unit(Unit::Ratio);
/// Inodes of the file system.
pub const INODES: Descriptor = Descriptor::gauge("aeth_volume_inodes", "Inodes of the file system.");
/// Inodes free for unprivileged processes.
pub const INODES_AVAILABLE: Descriptor =
    Descriptor::gauge("aeth_volume_inodes_available", "Inodes that an unprivileged process may still use.");
/// 1 when mounted read-only, else 0.
pub const READ_ONLY: Descriptor =
    Descriptor::gauge("aeth_volume_read_only", "Whether the volume is mounted read-only.");
/// 1 when the device is (on) a dm-crypt device, 0 when it is not; left out when that cannot be told.
pub const ENCRYPTED: Descriptor =
    Descriptor::gauge("aeth_volume_encrypted", "Whether the volume lies on a dm-crypt device.");
/// Finished I/O requests of the device since the component was opened, by `operation` (read, write).
pub const OPERATIONS: Descriptor =
    Descriptor::counter("aeth_volume_io_operations", "Finished I/O requests of the device, by operation.");
/// Bytes moved by the device since the component was opened, by `operation` (read, write).
pub const BYTES: Descriptor =
    Descriptor::counter("aeth_volume_io_bytes", "Bytes moved by the device, by operation.")
        .with_unit(Unit::Bytes);
/// Time during which the device had I/O in flight; handed over in nanoseconds.
pub const BUSY_TIME: Descriptor =
    Descriptor::counter("aeth_volume_io_busy_seconds", "Time during which the device had I/O in flight.")
        .with_unit(Unit::Seconds);

/// The section.
pub const ALL: &[Descriptor] = &[
    SIZE,
    USED,
    AVAILABLE,
    USAGE,
    INODES,
    INODES_AVAILABLE,
    READ_ONLY,
    ENCRYPTED,
    OPERATIONS,
    BYTES,
    BUSY_TIME,
];
