//! The data directory: its layout, and the lock that keeps a second process out.

use aeth_core::{Error, ErrorKind, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "aetherius.lock";
const LAYOUT_FILE: &str = "layout";
const KEYS: &str = "keys";
/// The directories of what is live.
const PARTS: [&str; 3] = ["files", "db", KEYS];
/// The layout that this release writes. Raise it when an older release could not read what a newer one writes.
const LAYOUT: u32 = 1;

/// A data directory held by this process. Dropping it lets go of it.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    /// Held for its lock alone; taken out when the storage shuts down.
    lock: parking_lot::Mutex<Option<Locked>>,
}

/// A file that is locked until it is dropped. Closing it would not do: a program that this process is just starting
/// holds a copy of every descriptor until it runs, and with it the lock (flock(2)).
#[derive(Debug)]
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing follows, and lets go as well where nobody has a copy.
        drop(self.0.unlock());
    }
}

impl DataDir {
    /// Makes the directory if it is missing, takes its lock and checks its layout. Blocks on I/O.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let place = |error: Error| {
            error.with_operation("open").with_component("data directory").with_key(root.display())
        };
        std::fs::create_dir_all(root).map_err(|error| place(error.into()))?;
        let root = root.canonicalize().map_err(|error| place(error.into()))?;
        let lock = take_lock(&root.join(LOCK_FILE)).map_err(place)?;
        check_layout(&root).map_err(place)?;
        Ok(Self { root, lock: parking_lot::Mutex::new(Some(lock)) })
    }

    /// Makes a directory below the data directory, so that it outlives a loss of power. Blocks on I/O.
    pub(crate) fn make_dir(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        Ok(File::open(&self.root)?.sync_all()?)
    }

    /// Lets go of the directory: another storage, of this process or another, may open it.
    pub(crate) fn release(&self) {
        *self.lock.lock() = None;
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("db").join("app.sqlite")
    }

    pub(crate) fn keyset(&self) -> PathBuf {
        self.root.join(KEYS).join("files.keyset.json")
    }

    /// Removes files, database and, unless they are to be kept, the keys. Blocks on I/O.
    pub(crate) fn remove_live(&self, keep_keys: bool) -> Result<()> {
        for part in PARTS.into_iter().filter(|part| !(keep_keys && *part == KEYS)) {
            match std::fs::remove_dir_all(self.root.join(part)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.root.join("backup.json")
    }

    /// What may be lost at any time.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

fn take_lock(path: &Path) -> Result<Locked> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The number is for the reader's comfort; without it the refusal stands all the same.
            file.read_to_string(&mut holder).ok();
            let holder = holder.trim();
            let who = if holder.is_empty() { "another process".into() } else { format!("process {holder}") };
            return Err(Error::new(ErrorKind::Busy, format!("{who} has this data directory open"))
                .with_remedy("stop that process, or use another data directory"));
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let mut locked = Locked(file);
    locked.0.set_len(0)?;
    locked.0.rewind()?;
    writeln!(locked.0, "{}", std::process::id())?;
    Ok(locked)
}

fn check_layout(root: &Path) -> Result<()> {
    let path = root.join(LAYOUT_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Somebody else's directory must not become ours: what is named like our parts would be taken for
            // them.
            if let Some(part) = PARTS.iter().find(|part| root.join(part).exists()) {
                return Err(Error::new(
                    ErrorKind::Precondition,
                    format!("the directory holds `{part}`, and no storage made it"),
                )
                .with_remedy("choose an empty directory, or one that an earlier run made"));
            }
            return Ok(std::fs::write(path, format!("{LAYOUT}\n"))?);
        }
        Err(error) => return Err(error.into()),
    };
    match text.trim().parse::<u32>() {
        Ok(found) if found <= LAYOUT => Ok(()),
        Ok(found) => Err(Error::unsupported(format!(
            "the data directory has layout {found}, this release knows up to {LAYOUT}"
        ))
        .with_remedy("use the release that wrote it, or a newer one")),
        // A crash between creating and writing the file leaves it empty.
        Err(_) if text.trim().is_empty() => Ok(std::fs::write(path, format!("{LAYOUT}\n"))?),
        Err(_) => Err(Error::corrupt("the layout file of the data directory is unreadable")
            .with_remedy("choose an empty directory, or one that an earlier run made")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
        let dir = testkit::temp_dir();
        let held = DataDir::open(dir.path()).unwrap();
        // What a program has that is being started by another thread.
        let copy = held.lock.lock().as_ref().unwrap().0.try_clone().unwrap();
        assert_eq!(DataDir::open(dir.path()).unwrap_err().kind(), ErrorKind::Busy);
        held.release();
        DataDir::open(dir.path()).unwrap();
        drop(copy);
    }
}
