//! Foreign errors become ours here and nowhere else.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use aeth_core::{Error, ErrorKind, Result, Retry};
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
///
/// | PostgreSQL says (SQLSTATE) | kind |
/// |---|---|
/// | serialization failure, deadlock, lock not available, too many connections, table altered meanwhile | `Busy` |
/// | connection lost, starting, shutting down | `Unavailable` |
/// | canceled (statement timeout), idle in transaction for too long | `Timeout` |
/// | disk full, out of memory | `Full` |
/// | password, role, privilege, read-only | `Denied` |
/// | unique, exclusion, duplicate object | `AlreadyExists` |
/// | foreign key, transaction already aborted | `Precondition` |
/// | no such database | `NotFound` |
/// | other constraints, SQL mistakes, wrong values, limits of a statement | `Invalid` |
/// | damaged data or index | `Corrupt` |
/// | what the server or a pooler before it cannot do | `Unsupported` |
#[must_use]
pub fn from_sqlx(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(error) => from_database(error),
        sqlx::Error::Io(error) => from_io(error),
        sqlx::Error::AnyDriverError(error) => from_driver(error),
        sqlx::Error::Tls(error) => no_tls(error),
        // The limit of the protocol is 65,535 values.
        sqlx::Error::Protocol(text) if text.contains("too many arguments") => {
            Error::invalid("the statement has too many values")
                .with_remedy("bind an array and use `= ANY($1)` or `unnest($1)`")
                .with_source(sqlx::Error::Protocol(text))
        }
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
        sqlx::Error::Database(error) => classify(&**error).0,
        sqlx::Error::Io(_) => ErrorKind::Unavailable,
        sqlx::Error::AnyDriverError(error) => ours(&**error).map_or(ErrorKind::Other, Error::kind),
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

/// An error of ours on its way through sqlx.
#[cfg(feature = "postgres")]
pub(crate) fn through_sqlx(error: Error) -> sqlx::Error {
    sqlx::Error::AnyDriverError(Box::new(error))
}

fn ours<'e>(error: &'e (dyn std::error::Error + Send + Sync + 'static)) -> Option<&'e Error> {
    error.downcast_ref()
}

fn from_driver(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match ours(&*error) {
        Some(ours) => ours.clone(),
        None => Error::other("the database driver failed").with_source(error),
    }
}

/// True when the engine gave up because of another connection's lock.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    #[cfg(feature = "sqlite")]
    if let Some(error) = error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
        return matches!(sqlite::code(error) & 0xff, 5 | 6);
    }
    // Serialization failure, deadlock.
    matches!(error.code().as_deref(), Some("40001" | "40P01"))
}

/// True when the server may have become another one than it was: read-only, shutting down.
pub(crate) fn suspects_server(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // 26000: somebody has deallocated what the connection believes to be prepared.
    matches!(error.code().as_deref(), Some("25006" | "26000" | "57P01" | "57P02" | "57P03"))
        || is_altered(&**error)
}

/// True when the statement's table was altered: the connection's prepared statement is of no use any more.
pub(crate) fn is_altered(error: &dyn DatabaseError) -> bool {
    error.code().as_deref() == Some("0A000") && error.message() == "cached plan must not change result type"
}

/// The kind of an error, what it says, what to do.
type Verdict = (ErrorKind, &'static str, Option<&'static str>);

fn classify(error: &dyn DatabaseError) -> Verdict {
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        if is_altered(error) {
            return postgres::ALTERED;
        }
        return postgres::classify(error);
    }
    #[cfg(feature = "sqlite")]
    if let Some(error) = error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
        return sqlite::classify(sqlite::code(error));
    }
    let _ = error;
    (ErrorKind::Other, "the database engine failed", None)
}

fn from_database(error: Box<dyn DatabaseError>) -> Error {
    let (kind, message, remedy) = classify(&*error);
    // Whether it took effect is unknown: who does it again may do it twice.
    let unknown = error.code().as_deref() == Some("40003");
    let made = Error::new(kind, message).with_source(sqlx::Error::Database(error));
    let made = if unknown { made.with_retry(Retry::Never) } else { made };
    match remedy {
        Some(remedy) => made.with_remedy(remedy),
        None => made,
    }
}

fn no_tls(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Denied, "no TLS could be established")
        .with_source(error)
        .with_remedy("check `sslmode`, `sslrootcert` and the name in the server's certificate")
}

/// A connection that is lost is no damaged data, whatever the system calls it.
fn from_io(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::InvalidData {
        // That is how TLS reports what it does not believe.
        return no_tls(error);
    }
    let made = Error::from_io(error);
    match made.kind() {
        ErrorKind::Corrupt | ErrorKind::Other | ErrorKind::NotFound | ErrorKind::Timeout => {
            Error::unavailable("the connection to the database failed").with_source(made)
        }
        _ => made,
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
    /// `transact` returns.
    pub fn abort(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Abort(error.into())
    }

    #[cfg(feature = "sqlite")]
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
