//! The private directory `.aeth` at the root of a store.
//!
//! ```text
//! .aeth/format     what this directory is: version and layout
//! .aeth/locks/     the stripes, and `open`, held while a store is opened
//! .aeth/tmp/       temporary files, one directory per owner
//! .aeth/meta/      sidecars: attributes, tags, checksums
//! .aeth/names/     the segments whose names were cut
//! .aeth/uploads/   uploads in parts
//! ```

use super::error::{COMPONENT, io};
use super::names::PRIVATE;
use super::options::{Layout, LocalDirOptions};
use super::root::{Root, open_dir};
use super::stamp::Stamp;
use super::temp::Temps;
use aeth_core::{Error, ErrorKind, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

const FORMAT: &str = "format";
const MAGIC: &str = "aetherius local directory, version 1, layout ";

/// What lies in it, opened.
#[derive(Debug)]
pub(super) struct Private {
    pub(super) locks: OwnedFd,
    pub(super) meta: OwnedFd,
    pub(super) names: OwnedFd,
    pub(super) uploads: OwnedFd,
    pub(super) temps: Arc<Temps>,
    /// The unit of the modification times that the file system keeps, in nanoseconds.
    pub(super) granularity: u64,
}

impl Private {
    /// Opens it, and makes it first where it is missing.
    pub(super) fn open(root: &Root, options: &LocalDirOptions) -> Result<Self> {
        let dir = make(root, PRIVATE)?;
        let locks = make(&dir, "locks")?;
        // One after the other, so that nobody takes the owner that is just being made for a dead one.
        let _guard = hold_open(&locks, options.lock_timeout)?;
        let temps = Temps::open(make(&dir, "tmp")?)?;
        check_format(&dir, &temps, options.layout)?;
        let granularity = granularity(&temps)?;
        let (meta, names, uploads) = (make(&dir, "meta")?, make(&dir, "names")?, make(&dir, "uploads")?);
        if options.durability == super::Durability::FileAndDirectory {
            rustix::fs::fsync(&dir).map_err(io)?;
            rustix::fs::fsync(root).map_err(io)?;
        }
        Ok(Self { locks, meta, names, uploads, temps, granularity })
    }
}

fn make(parent: impl std::os::fd::AsFd, name: &str) -> Result<OwnedFd> {
    match rustix::fs::mkdirat(&parent, name, Mode::from(0o777)) {
        Ok(()) | Err(Errno::EXIST) => open_dir(parent, name).map_err(io),
        Err(error) => Err(io(error)),
    }
    .map_err(|error| error.with_operation("open").with_key(name))
}

fn hold_open(locks: &OwnedFd, timeout: Duration) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(locks, "open", flags, Mode::from(0o666)).map_err(io)?;
    let mut waited = Duration::ZERO;
    let pause = Duration::from_millis(1);
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if waited < timeout => {
                std::thread::sleep(pause);
                waited += pause;
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::new(
                    ErrorKind::Busy,
                    "another process has been opening the store for long",
                )
                .with_component(COMPONENT)
                .with_operation("open")
                .with_remedy("look for a process that is stopped in the middle of it"));
            }
            Err(error) => return Err(io(error)),
        }
    }
}

fn check_format(dir: &OwnedFd, temps: &Arc<Temps>, layout: Layout) -> Result<()> {
    let ours = format!("{MAGIC}{}\n", layout.as_str());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let found = match rustix::fs::openat(dir, FORMAT, flags, Mode::empty()) {
        Ok(file) => {
            let mut text = vec![0; 256];
            let read = rustix::io::read(&file, &mut text).map_err(io)?;
            text.truncate(read);
            String::from_utf8_lossy(&text).into_owned()
        }
        Err(Errno::NOENT) => {
            let mut temp = temps.create()?;
            temp.write(&[ours.into()])?;
            temp.sync()?;
            return temp.persist(dir, FORMAT, true).map_err(io);
        }
        Err(error) => return Err(io(error)),
    };
    if found == ours {
        return Ok(());
    }
    let refused = match found.strip_prefix(MAGIC).map(str::trim_end) {
        Some(other) => Error::invalid(format!("the store was made with the {other} layout"))
            .with_remedy("open it with that layout; to change it, copy the blobs into a new store"),
        None => Error::unsupported("the private directory was not made by a version that this one knows")
            .with_remedy("use the version that made it, or another directory"),
    };
    Err(refused.with_component(COMPONENT).with_operation("open").with_key(format!("{PRIVATE}/{FORMAT}")))
}

/// Finds out which modification times the file system can keep.
fn granularity(temps: &Arc<Temps>) -> Result<u64> {
    let probe = temps.create()?;
    // Odd in every unit.
    let wanted = Stamp(1_111_111_111_111_111_111);
    probe.set_stamp(wanted)?;
    let kept = Stamp::of(&probe.stat()?);
    let units = [1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000];
    units.into_iter().find(|unit| wanted.0 / unit * unit == kept.0).ok_or_else(|| {
        Error::unsupported("the file system does not keep the modification time that a file is given")
            .with_component(COMPONENT)
            .with_operation("open")
            .with_remedy("put the store on another file system")
    })
}
