//! Leadership by lock files.

use crate::blocking::blocking;
use aeth_core::coord::{LeaderLock, Leadership};
use aeth_core::{Error, ErrorKind, Result};
use async_trait::async_trait;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const COMPONENT: &str = "file-lock";
/// The longest name, once it is escaped.
const LONGEST: usize = 200;

/// Leadership among the processes that share a directory, by advisory locks on files in it.
///
/// The system ends a lock when its holder dies, so the ttl has no meaning here and a renewal only looks. The
/// fencing number of a name is kept in a file beside its lock and grows with every leader. Not for network file
/// systems, whose locks cannot be relied on.
#[derive(Debug, Clone)]
pub struct FileLock {
    dir: Arc<PathBuf>,
}

impl FileLock {
    /// Uses a directory, which is made when it is missing.
    ///
    /// # Errors
    /// `Denied`, `Full`, `Invalid` when it cannot be made.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref().to_path_buf();
        let shown = dir.display().to_string();
        let made = blocking(move || {
            std::fs::create_dir_all(&dir)?;
            Ok(Self { dir: Arc::new(dir) })
        });
        made.await.map_err(|error| error.with_operation("open").with_component(COMPONENT).with_key(shown))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LeaderLock for FileLock {
    fn name(&self) -> Cow<'_, str> {
        COMPONENT.into()
    }

    async fn try_acquire(&self, name: &str, _ttl: Duration) -> Result<Option<Box<dyn Leadership>>> {
        let file = escape(name)?;
        let dir = Arc::clone(&self.dir);
        let held = blocking(move || acquire(&dir, &file)).await;
        let held = held
            .map_err(|error| error.with_operation("try_acquire").with_component(COMPONENT).with_key(name))?;
        Ok(held.map(|held| Box::new(held) as Box<dyn Leadership>))
    }
}

/// A lock that is held; the descriptor is the lock.
#[derive(Debug)]
struct Held {
    lock: OwnedFd,
    path: PathBuf,
    fencing: u64,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Leadership for Held {
    fn fencing(&self) -> u64 {
        self.fencing
    }

    async fn renew(&self) -> Result<()> {
        let mine = rustix::fs::fstat(&self.lock).map_err(io)?;
        let path = self.path.clone();
        let present = blocking(move || match rustix::fs::stat(&path) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(io(error)),
        });
        match present.await? {
            Some(stat) if (stat.st_dev, stat.st_ino) == (mine.st_dev, mine.st_ino) => Ok(()),
            _ => Err(Error::new(ErrorKind::Precondition, "the lock file was removed: others may lead now")
                .with_component(COMPONENT)
                .with_remedy("let nothing but the lock touch its directory")),
        }
    }

    async fn release(self: Box<Self>) -> Result<()> {
        rustix::fs::flock(&self.lock, FlockOperation::Unlock).map_err(io)
    }
}

fn io(error: Errno) -> Error {
    Error::from_io(error.into()).with_component(COMPONENT)
}

fn acquire(dir: &Path, file: &str) -> Result<Option<Held>> {
    let path = dir.join(format!("{file}.lock"));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock = rustix::fs::open(&path, flags, Mode::from(0o666)).map_err(io)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(io(error)),
    }
    let fencing = next_fencing(dir, file)?;
    Ok(Some(Held { lock, path, fencing }))
}

/// Counts up the fencing number; the caller holds the lock.
fn next_fencing(dir: &Path, file: &str) -> Result<u64> {
    let path = dir.join(format!("{file}.fencing"));
    let last = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u64>().map_err(|_| {
            Error::corrupt("the fencing number is damaged")
                .with_key(path.display())
                .with_remedy("write a number into it that is greater than any that was used")
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error.into()),
    };
    let next = last.saturating_add(1);
    let temp = dir.join(format!("{file}.fencing.new"));
    std::fs::write(&temp, format!("{next}\n"))?;
    // On the disk before anybody leads by it: after a loss of power the numbers still grow.
    std::fs::File::open(&temp)?.sync_all()?;
    std::fs::rename(&temp, &path)?;
    std::fs::File::open(dir)?.sync_all()?;
    Ok(next)
}

/// The name as a file's: letters, digits, `-` and `_` as they are, all else as `%XX`.
fn escape(name: &str) -> Result<String> {
    if name.is_empty() {
        return Err(Error::invalid("the name of a lock is empty").with_component(COMPONENT));
    }
    let mut file = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            file.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(file, "%{byte:02X}");
        }
    }
    if file.len() > LONGEST {
        return Err(Error::invalid(format!(
            "the name of a lock has more than {LONGEST} bytes once it is escaped"
        ))
        .with_component(COMPONENT)
        .with_remedy("choose a shorter name"));
    }
    Ok(file)
}
