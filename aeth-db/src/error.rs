//! Foreign errors become ours here and nowhere else.

use aeth_core::{Error, ErrorKind, Result};
use sqlx::error::DatabaseError;
use std::fmt;

/// Turns sqlx's error into ours: kind, retry verdict, remedy. The statement is not part of it.
///
/// | SQLite says | kind |
/// |---|---|
/// | busy, locked, protocol, schema changed | `Busy` |
/// | corrupt, not a database | `Corrupt` |
/// | full, out of memory | `Full` |
/// | read-only, permission | `Denied` |
/// | cannot open | `NotFound` |
/// | interrupted | `Timeout` |
/// | unique or primary key | `AlreadyExists` |
/// | foreign key | `Precondition` |
/// | other constraints, SQL mistakes, wrong types | `Invalid` |
/// | input/output | `Unavailable` |
#[must_use]
pub fn from_sqlx(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(error) => from_database(error),
        sqlx::Error::Io(error) => Error::from_io(error),
        sqlx::Error::RowNotFound => Error::not_found("the query gave no row"),
        sqlx::Error::PoolClosed => closed(),
        sqlx::Error::PoolTimedOut => Error::timeout("no connection became free in time"),
        sqlx::Error::WorkerCrashed => {
            Error::unavailable("the connection's thread is gone").with_source(error)
        }
        sqlx::Error::Configuration(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::InvalidArgument(_) => {
            Error::invalid("the query and the types that the program expects do not fit").with_source(error)
        }
        _ => Error::other("the database driver failed").with_source(error),
    }
}

/// The error of a handle that was closed.
pub(crate) fn closed() -> Error {
    Error::closed("the database was closed").with_component("database")
}

/// The kind of an sqlx error, without making the whole error.
pub(crate) fn kind_of(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(error) => classify(code(&**error)).0,
        sqlx::Error::RowNotFound => ErrorKind::NotFound,
        sqlx::Error::PoolClosed => ErrorKind::Closed,
        sqlx::Error::PoolTimedOut => ErrorKind::Timeout,
        sqlx::Error::WorkerCrashed => ErrorKind::Unavailable,
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
            ErrorKind::Invalid
        }
        _ => ErrorKind::Other,
    }
}

/// True when the engine gave up because of another connection's lock.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if matches!(code(&**error) & 0xff, 5 | 6))
}

/// The extended result code (<https://www.sqlite.org/rescode.html>); 1 when there is none.
fn code(error: &dyn DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or(1)
}

type Verdict = (ErrorKind, &'static str, Option<&'static str>);

fn from_database(error: Box<dyn DatabaseError>) -> Error {
    let (kind, message, remedy) = classify(code(&*error));
    let made = Error::new(kind, message).with_source(sqlx::Error::Database(error));
    match remedy {
        Some(remedy) => made.with_remedy(remedy),
        None => made,
    }
}

fn classify(code: i32) -> Verdict {
    if let Some(verdict) = classify_extended(code) {
        return verdict;
    }
    match code & 0xff {
        5 => (
            ErrorKind::Busy,
            "the database is locked by another connection",
            Some("look for another process that holds a transaction open, or raise the busy timeout"),
        ),
        6 => (ErrorKind::Busy, "a table is locked by another statement of this connection", None),
        15 | 17 => (ErrorKind::Busy, "the database changed under the statement", None),
        11 | 26 => (
            ErrorKind::Corrupt,
            "the file is damaged or is no SQLite database",
            Some("restore it from a backup; move it away, do not delete it, until that has worked"),
        ),
        13 => (ErrorKind::Full, "no space left for the database", Some("free some space and try again")),
        7 => (ErrorKind::Full, "out of memory", None),
        18 => (ErrorKind::Invalid, "the value or statement is too large", None),
        8 => (
            ErrorKind::Denied,
            "the database is read-only here",
            Some(
                "write through `write()`; if that is what was done, make file, directory and mount writable",
            ),
        ),
        3 | 23 => (ErrorKind::Denied, "permission denied", None),
        14 => (
            ErrorKind::NotFound,
            "the database file cannot be opened",
            Some("check that its directory exists and that this user may write there"),
        ),
        9 => (
            ErrorKind::Timeout,
            "the statement was stopped",
            Some("its time ran out: look at its plan, or raise the statement timeout"),
        ),
        10 => (
            ErrorKind::Unavailable,
            "input or output failed below the database",
            Some("look at the kernel's log for the disk"),
        ),
        19 => (ErrorKind::Invalid, "a constraint does not hold", None),
        1 | 20 | 25 => (ErrorKind::Invalid, "the statement is wrong", None),
        _ => (ErrorKind::Other, "the database engine failed", None),
    }
}

fn classify_extended(code: i32) -> Option<Verdict> {
    match code {
        // SQLITE_CONSTRAINT_{PRIMARYKEY, UNIQUE, ROWID}
        1555 | 2067 | 2579 => Some((ErrorKind::AlreadyExists, "a row with this key exists", None)),
        // SQLITE_CONSTRAINT_FOREIGNKEY
        787 => Some((ErrorKind::Precondition, "a row that is referred to does not exist", None)),
        // SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_DATA
        8458 | 8202 => Some((
            ErrorKind::Corrupt,
            "the file system or a checksum says that the data is damaged",
            Some("check the disk and restore from a backup"),
        )),
        _ => None,
    }
}

/// Brings sqlx's results over to ours.
pub trait SqlxResultExt<T> {
    /// Maps the error with [`from_sqlx`].
    ///
    /// # Errors
    /// What [`from_sqlx`] makes of it.
    fn storage(self) -> Result<T>;
}

impl<T> SqlxResultExt<T> for Result<T, sqlx::Error> {
    fn storage(self) -> Result<T> {
        self.map_err(|error| from_sqlx(error).with_component("database"))
    }
}

/// Why a transaction's closure did not succeed. `?` on sqlx's results and on ours makes it.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransactError {
    /// A statement failed; repeated when the engine was busy.
    Sql(sqlx::Error),
    /// Something else of the storage failed; repeated when its verdict says so.
    Storage(Error),
    /// The host does not want the transaction; never repeated.
    Abort(Box<dyn std::error::Error + Send + Sync>),
}

impl TransactError {
    /// The host does not want the transaction. The error is the source of what
    /// [`transact`](crate::SqliteDatabase::transact) returns.
    pub fn abort(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Abort(error.into())
    }

    pub(crate) fn is_worth_repeating(&self) -> bool {
        match self {
            Self::Sql(error) => kind_of(error) == ErrorKind::Busy,
            Self::Storage(error) => error.kind() == ErrorKind::Busy && error.retry().is_worthwhile(),
            Self::Abort(_) => false,
        }
    }

    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Sql(error) if is_conflict(error))
    }
}

impl From<sqlx::Error> for TransactError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for TransactError {
    fn from(error: Error) -> Self {
        Self::Storage(error)
    }
}

impl From<TransactError> for Error {
    fn from(error: TransactError) -> Self {
        match error {
            TransactError::Sql(error) => from_sqlx(error),
            TransactError::Storage(error) => error,
            TransactError::Abort(source) => {
                Self::other("the transaction was abandoned by its caller").with_source(source)
            }
        }
    }
}

impl fmt::Display for TransactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(_) => f.write_str("a statement failed"),
            Self::Storage(error) => fmt::Display::fmt(error, f),
            Self::Abort(_) => f.write_str("abandoned"),
        }
    }
}

impl std::error::Error for TransactError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sql(error) => Some(error),
            Self::Storage(error) => std::error::Error::source(error),
            Self::Abort(error) => Some(&**error),
        }
    }
}
