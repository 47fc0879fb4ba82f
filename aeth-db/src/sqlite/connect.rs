//! Opens connections.

use super::control::{Control, STEPS};
use super::options::{SqliteOptions, Synchronous};
use crate::error::from_sqlx;
use aeth_core::{Error, ErrorKind, Result};
use rustix::fs::{Access, access};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Statements that change nothing; the engine refuses others.
    Reader,
    /// The one that writes.
    Writer,
    /// Long work beside the pools: snapshots, checks.
    Maintenance,
}

/// A log that a burst has made large is cut back to this when it is written anew.
const WAL_KEPT: &str = "67108864";

const LOCKED_PAUSE: Duration = Duration::from_millis(10);

/// Makes one connection.
pub(super) async fn connect(
    options: &SqliteOptions,
    role: Role,
) -> Result<(SqliteConnection, Arc<Control>), sqlx::Error> {
    let synchronous = match options.synchronous {
        Synchronous::Normal => SqliteSynchronous::Normal,
        Synchronous::Full => SqliteSynchronous::Full,
    };
    let mut connect = SqliteConnectOptions::new()
        .busy_timeout(options.busy_timeout)
        .foreign_keys(true)
        .synchronous(synchronous)
        .statement_cache_capacity(options.statement_cache)
        .pragma("cell_size_check", "ON")
        .pragma("journal_size_limit", WAL_KEPT)
        .thread_name(|id| format!("aeth-sqlite-{id}"))
        // Statements are recorded by the handle.
        .disable_statement_logging();
    if let Some(path) = &options.path {
        connect = connect.filename(path);
        connect = match role {
            // Changing the mode needs the whole file: the writer does it, which is opened first.
            Role::Writer => connect.create_if_missing(options.create).journal_mode(SqliteJournalMode::Wal),
            Role::Reader => connect.pragma("query_only", "ON"),
            Role::Maintenance => connect,
        };
    }
    let begun = options.clock.monotonic();
    let mut connection = loop {
        match connect.connect().await {
            // SQLite does not wait for a lock to change the mode: handles that open a new file at once meet here.
            Err(error) if is_locked(&error) => {
                if options.clock.monotonic().saturating_sub(begun) >= options.busy_timeout {
                    return Err(error);
                }
                options.clock.sleep(LOCKED_PAUSE).await;
            }
            other => break other?,
        }
    };
    let control = Control::new(Arc::clone(&options.clock));
    let asked = Arc::clone(&control);
    connection.lock_handle().await?.set_progress_handler(STEPS, move || asked.may_go_on());
    Ok((connection, control))
}

/// `SQLITE_BUSY` and its extended codes.
fn is_locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// Finds out what SQLite would only call "unable to open". Blocking.
///
/// Nothing is opened here: closing a file drops the locks that this process has on it (fcntl(2)), those of other
/// handles included.
pub(super) fn preflight(path: &Path, create: bool) -> Result<()> {
    let failed =
        |error: Error| error.with_operation("open").with_component("database").with_key(path.display());
    let may = |path: &Path| {
        access(path, Access::WRITE_OK | Access::READ_OK)
            .map_err(|errno| failed(std::io::Error::from(errno).into()))
    };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(failed(Error::invalid("is a directory").with_remedy("name a file in it")));
        }
        Ok(_) => return may(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error.into())),
    }
    if !create {
        return Err(failed(
            Error::not_found("there is no such database")
                .with_remedy("check the path, or allow to create it"),
        ));
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match std::fs::metadata(parent) {
        Ok(metadata) if metadata.is_dir() => may(parent),
        Ok(_) => Err(failed(Error::invalid("what should be its directory is a file"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(failed(
            Error::not_found("its directory does not exist").with_remedy("create the directory first"),
        )),
        Err(error) => Err(failed(error.into())),
    }
}

/// Makes sure that the writer can write, and that the log is one.
pub(super) async fn probe(connection: &mut SqliteConnection, options: &SqliteOptions) -> Result<()> {
    let Some(path) = &options.path else { return Ok(()) };
    let failed =
        |error: Error| error.with_operation("open").with_component("database").with_key(path.display());
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| failed(from_sqlx(error)))?;
    if mode != "wal" {
        return Err(failed(
            Error::unsupported("the file system cannot hold a write-ahead log")
                .with_remedy("put the database on a local disk: shared memory and locks are needed"),
        ));
    }
    // SQLite opens a file that it may not write without a word; only a write lock tells. Somebody else's lock
    // is proof enough.
    let begun = sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut *connection).await;
    match begun.map_err(from_sqlx) {
        Err(error) if error.kind() == ErrorKind::Busy => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Ok(()),
    }
}
