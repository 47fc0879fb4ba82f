//! Striped advisory locks, correct across threads and processes.
//!
//! All paths share 256 lock files in the private directory. A writer holds the stripe of its path from the
//! look at what is there to the rename that replaces it; the data was written before. Each lock file also holds
//! the greatest stamp that was given out under it, so that no two writes of a stripe ever share one.

use super::error::{COMPONENT, io};
use super::read::{Fail, Step};
use super::stamp::Stamp;
use aeth_core::{BlobPath, Error, ErrorKind, Result};
use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::time::Duration;

const STRIPES: usize = 256;

/// The lock files.
#[derive(Debug)]
pub(super) struct Stripes {
    dir: OwnedFd,
    /// A descriptor for each stripe that was used. `flock` excludes descriptors, not threads: the mutex does
    /// the rest.
    stripes: Box<[Mutex<Option<OwnedFd>>]>,
    timeout: Duration,
    granularity: u64,
}

/// A stripe that is held; dropping it lets go.
#[derive(Debug)]
pub(super) struct Held<'a> {
    fd: MutexGuard<'a, Option<OwnedFd>>,
    granularity: u64,
}

impl Stripes {
    pub(super) fn new(dir: OwnedFd, timeout: Duration, granularity: u64) -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::new(None)).collect();
        Self { dir, stripes, timeout, granularity }
    }

    /// Holds the stripe of a path.
    pub(super) fn hold(&self, path: &BlobPath) -> Result<Held<'_>> {
        self.hold_stripe(stripe(path))
    }

    /// Holds the stripes of two paths, always in the same order; one when they share it.
    pub(super) fn hold_two(&self, a: &BlobPath, b: &BlobPath) -> Result<(Held<'_>, Option<Held<'_>>)> {
        let (a, b) = (stripe(a), stripe(b));
        let first = self.hold_stripe(a.min(b))?;
        let second = if a == b { None } else { Some(self.hold_stripe(a.max(b))?) };
        Ok((first, second))
    }

    /// Holds the stripe of a path, or says [`Fail::Again`] when somebody else does.
    pub(super) fn hold_now(&self, path: &BlobPath) -> Step<Held<'_>> {
        let Some(mut fd) = self.stripes.get(stripe(path)).and_then(Mutex::try_lock) else {
            return Err(Fail::Again);
        };
        match rustix::fs::flock(self.file(&mut fd, stripe(path))?, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Held { fd, granularity: self.granularity }),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Err(Fail::Again),
            Err(error) => Err(error.into()),
        }
    }

    /// The lock file of a stripe, opened the first time.
    fn file<'a>(&self, fd: &'a mut Option<OwnedFd>, index: usize) -> Result<&'a OwnedFd> {
        if fd.is_none() {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let name = format!("{index:02x}");
            *fd = Some(rustix::fs::openat(&self.dir, name, flags, Mode::from(0o666)).map_err(io)?);
        }
        fd.as_ref().ok_or_else(|| busy(index))
    }

    fn hold_stripe(&self, index: usize) -> Result<Held<'_>> {
        let mutex = self.stripes.get(index).ok_or_else(|| busy(index))?;
        let mut fd = mutex.try_lock_for(self.timeout).ok_or_else(|| busy(index))?;
        let file = self.file(&mut fd, index)?;
        let mut waited = Duration::ZERO;
        let mut pause = Duration::from_micros(20);
        loop {
            match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Held { fd, granularity: self.granularity }),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if waited < self.timeout => {
                    // A blocking `flock` could not be given up; holders let go within microseconds.
                    std::thread::sleep(pause);
                    waited += pause;
                    pause = (pause * 2).min(Duration::from_millis(2));
                }
                Err(Errno::WOULDBLOCK) => return Err(busy(index)),
                Err(error) => return Err(io(error)),
            }
        }
    }
}

fn busy(index: usize) -> Error {
    Error::new(ErrorKind::Busy, format!("another writer holds lock {index:02x} of the store"))
        .with_component(COMPONENT)
        .with_remedy("look for a process that is stopped or stuck in the middle of a write")
}

fn stripe(path: &BlobPath) -> usize {
    crc32c::crc32c(path.as_str().as_bytes()) as usize % STRIPES
}

impl Held<'_> {
    /// A stamp that no other write of this stripe has or will have.
    pub(super) fn stamp(&self, now: Stamp, sidecar: bool) -> Result<Stamp> {
        let Some(file) = self.fd.as_ref() else { return Ok(now) };
        let mut bytes = [0; 8];
        let read = rustix::io::pread(file, &mut bytes, 0).map_err(io)?;
        let last = Stamp(if read == bytes.len() { u64::from_le_bytes(bytes) } else { 0 });
        let stamp = Stamp::next(now, last, self.granularity, sidecar);
        self.record(stamp)?;
        Ok(stamp)
    }

    /// Notes that a stamp was given out, which must be greater than all before.
    pub(super) fn record(&self, stamp: Stamp) -> Result<()> {
        let Some(file) = self.fd.as_ref() else { return Ok(()) };
        // The twin of the other sidecar bit counts as given out, so that the bit alone never separates two.
        let highest = stamp.0.saturating_add(self.granularity);
        rustix::io::pwrite(file, &highest.to_le_bytes(), 0).map_err(io)?;
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.fd.as_ref()
            && rustix::fs::flock(file, FlockOperation::Unlock).is_err()
        {
            // Closing the descriptor lets go as well.
            *self.fd = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::Root;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn stamps_are_unique_across_handles_even_when_the_clock_goes_back() {
        let dir = testkit::temp_dir();
        let open =
            || Stripes::new(Root::open(dir.path()).unwrap().dir("").unwrap(), Duration::from_secs(9), 1);
        let (a, b) = (open(), open());
        let path = BlobPath::new("x").unwrap();
        let mut seen = HashSet::new();
        std::thread::scope(|scope| {
            let threads = [&a, &a, &b, &b].map(|stripes| {
                let path = &path;
                scope.spawn(move || {
                    (0..500_u64)
                        .map(|i| stripes.hold(path).unwrap().stamp(Stamp(1_000_000 - i), i % 2 == 0).unwrap())
                        .collect::<Vec<_>>()
                })
            });
            for thread in threads {
                assert!(thread.join().unwrap().into_iter().all(|stamp| seen.insert(stamp)));
            }
        });
        assert_eq!(seen.len(), 2000);
    }

    #[test]
    fn a_stuck_holder_is_reported() {
        let dir = testkit::temp_dir();
        let open =
            || Stripes::new(Root::open(dir.path()).unwrap().dir("").unwrap(), Duration::from_millis(30), 1);
        let (a, b) = (open(), open());
        let path = BlobPath::new("x").unwrap();
        let held = a.hold(&path).unwrap();
        assert_eq!(b.hold(&path).unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(a.hold(&path).unwrap_err().kind(), ErrorKind::Busy);
        drop(held);
        assert!(b.hold(&path).is_ok());
    }
}
