//! Asks the system about one path. Blocking.

use super::report::VolumeReport;
use super::{Mount, VolumeIo, VolumeSpec, crypt, diskstats};
use aeth_core::{Error, Result};
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::path::Path;

/// The state of the volume; `io` counts since boot and `rates` is empty.
pub(super) fn read(spec: &VolumeSpec) -> Result<VolumeReport> {
    let failed = |error: Error| {
        error.with_operation("statvfs").with_component("volumes").with_key(spec.path.display())
    };
    let path = std::fs::canonicalize(&spec.path).map_err(|error| failed(error.into()))?;
    let stat = statvfs(&path).map_err(|errno| failed(std::io::Error::from(errno).into()))?;
    let fragment = if stat.f_frsize == 0 { stat.f_bsize } else { stat.f_frsize };
    let bytes = |blocks: u64| blocks.saturating_mul(fragment);
    let used = bytes(stat.f_blocks.saturating_sub(stat.f_bfree));
    let available = bytes(stat.f_bavail);
    let mount = std::fs::read("/proc/self/mountinfo").ok().and_then(|text| Mount::find(&text, &path));
    let (device, io, encrypted) = device(mount.as_ref());
    Ok(VolumeReport {
        name: spec.name.clone(),
        path: spec.path.clone(),
        size: bytes(stat.f_blocks),
        used,
        available,
        usage: share(used, available),
        inodes: stat.f_files,
        inodes_available: stat.f_favail,
        read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY)
            || mount.as_ref().is_some_and(Mount::is_read_only),
        mount,
        device,
        encrypted,
        io,
        rates: None,
    })
}

fn device(mount: Option<&Mount>) -> (Option<String>, Option<VolumeIo>, Option<bool>) {
    let Some(mount) = mount else { return (None, None, None) };
    // Some file systems (btrfs, overlay) have an anonymous number: their source may still be a device.
    let number = if mount.device.0 != 0 { Some(mount.device) } else { number_of(&mount.source) };
    let Some(number) = number else { return (None, None, None) };
    let encrypted = crypt::is_encrypted(Path::new("/sys"), number);
    let found = std::fs::read_to_string("/proc/diskstats").ok();
    match found.and_then(|text| diskstats::find(&text, number)) {
        Some((name, io)) => (Some(name), Some(io), encrypted),
        None => (None, None, encrypted),
    }
}

fn number_of(source: &str) -> Option<(u32, u32)> {
    if !source.starts_with("/dev/") {
        return None;
    }
    let stat = rustix::fs::stat(source).ok()?;
    Some((rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)))
}

#[allow(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
fn share(used: u64, available: u64) -> f64 {
    let all = used.saturating_add(available);
    if all == 0 { 0.0 } else { used as f64 / all as f64 }
}
