//! Moving branches and tags, one writer at a time.

use super::Inner;
use super::error::{COMPONENT, from_gix, io, moved};
use super::staging::sync;
use aeth_core::{Error, ErrorKind, Result};
use gix::ObjectId;
use gix::refs::transaction::{Change, PreviousValue, RefEdit, RefLog};
use gix::refs::{FullName, Target};
use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

/// The turn to move references; ends on drop or with the process.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    inner: &'a Inner,
    dir: PathBuf,
    _lock: File,
}

impl<'a> Turn<'a> {
    /// Waits for the turn; blocks, with the archive's timeout.
    ///
    /// A writer that was killed while it moved a reference leaves git's own lock file, which would stop everybody
    /// for ever: it had noted the reference before, and the lock file goes when nobody removes it for a while.
    pub(super) fn take(inner: &'a Inner) -> Result<Self> {
        let dir = inner.dir.join("aeth");
        fs::create_dir_all(&dir).map_err(io)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(io)?;
        let began = inner.options.clock.monotonic();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let waited = inner.options.clock.monotonic().saturating_sub(began);
            if waited > inner.options.lock_timeout {
                return Err(Error::new(ErrorKind::Busy, "another writer holds the archive")
                    .with_component(COMPONENT)
                    .with_remedy("try again, or raise the lock timeout"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let turn = Self { inner, dir, _lock: lock };
        turn.recover()?;
        Ok(turn)
    }

    fn note(&self) -> PathBuf {
        self.dir.join("moving")
    }

    fn recover(&self) -> Result<()> {
        let name = match fs::read_to_string(self.note()) {
            Ok(name) => name,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        // Only what is a reference's name becomes a path.
        if FullName::try_from(name.as_str()).is_ok() {
            let locks =
                [format!("{name}.lock"), "packed-refs.lock".to_owned()].map(|name| self.inner.dir.join(name));
            // A living git holds them for milliseconds.
            let mut patience = 20;
            while patience > 0 && locks.iter().any(|lock| lock.exists()) {
                std::thread::sleep(Duration::from_millis(100));
                patience -= 1;
            }
            for lock in locks {
                match fs::remove_file(lock) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
                    _ => {}
                }
            }
        }
        fs::remove_file(self.note()).map_err(io)
    }

    /// Moves a reference from `from` (`None`: it must not exist) to `to`, durably; false when it was elsewhere.
    pub(super) fn set(
        &self,
        repository: &gix::Repository,
        name: &FullName,
        from: Option<ObjectId>,
        to: ObjectId,
    ) -> Result<bool> {
        // gix takes a reference that is at `to` already for one that it made.
        if current(repository, name)? != from {
            return Ok(false);
        }
        let expected = from
            .map_or(PreviousValue::MustNotExist, |id| PreviousValue::MustExistAndMatch(Target::Object(id)));
        self.edit(repository, RefEdit::update(name.clone(), to, expected, "archive"))
    }

    /// Removes a reference that is at `from`; false when it was elsewhere.
    pub(super) fn remove(
        &self,
        repository: &gix::Repository,
        name: &FullName,
        from: ObjectId,
    ) -> Result<bool> {
        let expected = PreviousValue::MustExistAndMatch(Target::Object(from));
        let change = Change::Delete { expected, log: RefLog::AndReference };
        self.edit(repository, RefEdit::new(name.clone(), change))
    }

    fn edit(&self, repository: &gix::Repository, edit: RefEdit) -> Result<bool> {
        let (name, change) = (edit.name.clone(), edit.change.clone());
        fs::write(self.note(), name.as_bstr().to_string()).map_err(io)?;
        let writer = super::signature::of(&self.inner.options, self.inner.options.clock.now());
        let mut buffer = gix::date::parse::TimeBuf::default();
        let edited = repository.edit_references_as([edit], Some(writer.to_ref(&mut buffer)));
        let outcome = match edited {
            Ok(_) => sync(&self.dir).map(|()| true),
            Err(error) => {
                let there = current(repository, &name)?;
                let wanted = match change {
                    Change::Update {
                        expected: PreviousValue::MustExistAndMatch(Target::Object(id)), ..
                    }
                    | Change::Delete {
                        expected: PreviousValue::MustExistAndMatch(Target::Object(id)), ..
                    } => Some(id),
                    _ => None,
                };
                if there == wanted { Err(from_gix(error).with_key(name.as_bstr())) } else { Ok(false) }
            }
        };
        fs::remove_file(self.note()).map_err(io)?;
        outcome
    }
}

/// Where a reference is.
pub(super) fn current(repository: &gix::Repository, name: &FullName) -> Result<Option<ObjectId>> {
    let found = repository.try_find_reference(name.as_ref()).map_err(from_gix)?;
    Ok(found.and_then(|reference| reference.try_id().map(gix::Id::detach)))
}

/// Refuses a branch that is not at the commit demanded.
pub(super) fn check_expected(demanded: Option<&str>, tip: Option<ObjectId>, name: &str) -> Result<()> {
    match demanded {
        Some(demanded) if demanded != tip.map(|id| id.to_string()).unwrap_or_default() => Err(moved(name)),
        _ => Ok(()),
    }
}
