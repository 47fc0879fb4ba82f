//! Copies of the database while it is written to.

use super::conn::SqliteConn;
use super::handle::SqliteDatabase;
use crate::error::{SqlxResultExt, closed};
use aeth_core::{Error, Result};
use futures_util::future::{Either, select};
use std::convert::Infallible;
use std::fs;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

impl SqliteDatabase {
    /// Writes the database, as it is at one instant, to a new file.
    ///
    /// Readers and writers go on meanwhile; the write-ahead log cannot be cut back below the instant until it is
    /// done. The copy is a complete, compact database without a log (SQLite's `VACUUM INTO`): deleted rows are
    /// not in it. It appears under its name when it is whole and on the disk; restoring is opening it.
    ///
    /// # Errors
    /// `AlreadyExists` when there is such a file; `NotFound` when its directory does not exist; `Full`,
    /// `Denied`, `Corrupt`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe: it is stopped, and what was written is removed as soon as it has; close waits for that.
    #[track_caller]
    pub fn snapshot_to(&self, path: impl Into<PathBuf>) -> impl Future<Output = Result<Snapshot>> + Send {
        self.snapshot_at(path.into(), Location::caller())
    }

    async fn snapshot_at(&self, path: PathBuf, place: &'static Location<'static>) -> Result<Snapshot> {
        let named = |error: Error| {
            error.with_operation("snapshot").with_component("database").with_key(path.display())
        };
        let clock = &self.shared.recorder.clock;
        let started = clock.monotonic();
        if tokio::fs::try_exists(&path).await.map_err(|error| named(error.into()))? {
            return Err(named(Error::new(
                aeth_core::ErrorKind::AlreadyExists,
                "there is a file of that name",
            )));
        }
        let unfinished = Unfinished::beside(&path).map_err(named)?;
        let mut connection = self.shared.aside(place).await.map_err(named)?;
        connection.set_statement_timeout(None);
        let unfinished = self.vacuum(connection, unfinished).await.map_err(named)?;
        let target = path.clone();
        let publish = move || unfinished.publish(&target);
        let published = self.shared.tasks.spawn_blocking(publish).await;
        let bytes = published
            .map_err(|error| named(Error::other("the snapshot was broken off").with_source(error)))?
            .map_err(|error| named(error.into()))?;
        let duration = clock.monotonic().saturating_sub(started);
        Ok(Snapshot { path, bytes, duration })
    }

    /// Has the engine write the copy.
    ///
    /// That goes on in a task of its own, because the engine does so in a thread of its own: only when it has
    /// stopped can the file be removed for good.
    async fn vacuum(&self, mut connection: SqliteConn, unfinished: Unfinished) -> Result<Unfinished> {
        // Nothing is sent: that the caller went away ends it.
        let (guard, abandoned) = oneshot::channel::<Infallible>();
        let written = self.shared.tasks.spawn(async move {
            let control = Arc::clone(&connection.link().ok_or_else(closed)?.control);
            let copy = sqlx::query("VACUUM INTO ?")
                .bind(unfinished.0.to_string_lossy().into_owned())
                .execute(&mut connection);
            let copied = match select(pin!(copy), abandoned).await {
                Either::Left((copied, _)) => copied,
                Either::Right((_, copy)) => {
                    control.stop(true);
                    copy.await
                }
            };
            control.stop(false);
            copied.storage()?;
            Ok(unfinished)
        });
        let written = written.await;
        drop(guard);
        written.unwrap_or_else(|error| Err(Error::other("the snapshot was broken off").with_source(error)))
    }
}

/// A file that is removed unless it is published.
#[derive(Debug)]
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(path: &Path) -> Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().ok_or_else(|| Error::invalid("is not the name of a file"))?);
        name.push(format!(".{:016x}.tmp", fastrand::u64(..)));
        let path = path.with_file_name(name);
        if path.to_str().is_none() {
            return Err(Error::invalid("the path must be UTF-8"));
        }
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
                Err(Error::not_found("its directory does not exist")
                    .with_remedy("create the directory first"))
            }
            _ => Ok(Self(path)),
        }
    }

    /// Makes it durable and gives it its name, unless that is taken meanwhile.
    fn publish(&self, target: &Path) -> std::io::Result<u64> {
        let file = fs::File::open(&self.0)?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        // A link, unlike a rename, never replaces; dropping `self` then removes the other name.
        match fs::hard_link(&self.0, target) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(error),
            // Some file systems have no links.
            Err(_) => fs::rename(&self.0, target)?,
            Ok(()) => {}
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::File::open(parent)?.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It may never have been made.
        drop(fs::remove_file(&self.0));
        let mut journal = self.0.clone().into_os_string();
        journal.push("-journal");
        drop(fs::remove_file(journal));
    }
}
