//! What PostgreSQL says: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

use super::Verdict;
use aeth_core::ErrorKind;
use sqlx::postgres::PgDatabaseError;

pub(super) fn classify(error: &PgDatabaseError) -> Verdict {
    let code = error.code();
    busy(code)
        .or_else(|| server(code))
        .or_else(|| access(code))
        .or_else(|| data(code))
        .unwrap_or_else(|| class(code.get(..2).unwrap_or_default()))
}

/// A prepared statement whose table was altered. The server's code for it says no more than that it cannot do that.
pub(super) const ALTERED: Verdict = (
    ErrorKind::Busy,
    "the table was altered since the statement was prepared",
    Some("run it again on another connection, where it is prepared anew: `transact` does"),
);

/// Somebody else is in the way.
fn busy(code: &str) -> Option<Verdict> {
    Some(match code {
        "40001" => (
            ErrorKind::Busy,
            "the transaction could not be serialised with another one",
            Some("repeat it: `transact` does"),
        ),
        "40P01" => (
            ErrorKind::Busy,
            "a deadlock was ended at this transaction's cost",
            Some("repeat it (`transact` does), and lock in one order everywhere"),
        ),
        "55P03" => (
            ErrorKind::Busy,
            "a lock was not free in time",
            Some("look at pg_locks for who holds it, or raise the lock timeout"),
        ),
        "55006" => (
            ErrorKind::Busy,
            "the object is in use",
            Some("wait until it is not, or end the sessions that use it: pg_stat_activity names them"),
        ),
        "53300" => (
            ErrorKind::Busy,
            "the server has no connection left",
            Some("open fewer connections, raise max_connections, or put a pooler before the server"),
        ),
        "53400" => (
            ErrorKind::Busy,
            "a configured limit of the server is reached",
            Some("look at temp_file_limit and at the limits of role and database"),
        ),
        _ => return None,
    })
}

/// The server or the way to it.
fn server(code: &str) -> Option<Verdict> {
    Some(match code {
        "57014" => (
            ErrorKind::Timeout,
            "the statement was stopped",
            Some("its time ran out or it was cancelled: look at its plan, or raise the statement timeout"),
        ),
        "25P03" | "57P05" => (
            ErrorKind::Timeout,
            "the server ended the idle session",
            Some("do not hold transactions open while waiting for something else"),
        ),
        "57P01" | "57P02" => (
            ErrorKind::Unavailable,
            "the server ended the session, is shutting down or has crashed",
            Some("take a new connection: it goes to whatever server is the primary then"),
        ),
        "57P03" => (
            ErrorKind::Unavailable,
            "the server is starting, stopping or recovering, and takes no connections",
            Some("wait until it is ready"),
        ),
        "57P04" => (
            ErrorKind::NotFound,
            "the database was dropped",
            Some("restore it from a backup, or correct the name in the URL"),
        ),
        "3D000" => (
            ErrorKind::NotFound,
            "there is no such database",
            Some("create it, or correct the name in the URL"),
        ),
        "53100" => (ErrorKind::Full, "the server's disk is full", Some("free some space there")),
        "53200" => (
            ErrorKind::Full,
            "the server is out of memory",
            Some("lower work_mem or the number of connections"),
        ),
        "40003" => (
            ErrorKind::Unavailable,
            "whether the statement took effect is unknown",
            Some("look before doing it again"),
        ),
        "58030" => (
            ErrorKind::Unavailable,
            "input or output failed on the server",
            Some("look at the log of the server and of its kernel for the disk"),
        ),
        "XX001" | "XX002" => (
            ErrorKind::Corrupt,
            "data or an index is damaged on the server",
            Some("run pg_amcheck; reindex, or restore from a backup"),
        ),
        "26000" => (
            ErrorKind::Unsupported,
            "a prepared statement is not known to the server",
            Some("if a pooler for transactions stands before it, say so in the options"),
        ),
        _ => return None,
    })
}

/// Who may do what.
fn access(code: &str) -> Option<Verdict> {
    Some(match code {
        "28P01" => (
            ErrorKind::Denied,
            "the password is wrong, or there is no such role",
            Some("check user and password; a password file must hold the password and nothing else"),
        ),
        "28000" => (
            ErrorKind::Denied,
            "the server does not let this role in from here",
            Some("check the role, pg_hba.conf, and whether the server demands TLS"),
        ),
        "42501" => (ErrorKind::Denied, "the role lacks a privilege", Some("grant it")),
        "25006" => (
            ErrorKind::Denied,
            "the transaction or the server is read-only",
            Some("write through `write()`; if that is what was done, another server is the primary now"),
        ),
        _ => return None,
    })
}

/// What the statement met in the data.
fn data(code: &str) -> Option<Verdict> {
    Some(match code {
        "23505" => (ErrorKind::AlreadyExists, "a row with this key exists", None),
        "23P01" => (ErrorKind::AlreadyExists, "a row that excludes this one exists", None),
        "23503" => (ErrorKind::Precondition, "a row that is referred to does not exist", None),
        "42P04" | "42P06" | "42P07" | "42710" | "42701" => {
            (ErrorKind::AlreadyExists, "an object of this name exists", None)
        }
        "42P01" => (
            ErrorKind::Invalid,
            "there is no such table",
            Some("check its name and the search path, or run the migrations"),
        ),
        "25P02" => (
            ErrorKind::Precondition,
            "an earlier statement of the transaction has failed",
            Some("return that error from the transaction, or use a savepoint"),
        ),
        _ => return None,
    })
}

fn class(class: &str) -> Verdict {
    match class {
        "08" => (
            ErrorKind::Unavailable,
            "the connection to the server failed",
            Some("check that the server runs, and the log of a pooler before it"),
        ),
        "0A" => (ErrorKind::Unsupported, "the server cannot do that", None),
        "22" => (ErrorKind::Invalid, "a value does not fit", None),
        "23" => (ErrorKind::Invalid, "a constraint does not hold", None),
        "40" => (ErrorKind::Busy, "the transaction was rolled back", Some("repeat it: `transact` does")),
        "42" => (ErrorKind::Invalid, "the statement is wrong", None),
        "54" => (
            ErrorKind::Invalid,
            "the statement is too large or too complex",
            Some("split it, or bind an array instead of many values"),
        ),
        "53" => {
            (ErrorKind::Full, "the server has run out of something", Some("look at its log for what that is"))
        }
        "57" => {
            (ErrorKind::Unavailable, "the operator intervened", Some("wait until the server is ready again"))
        }
        "58" => (
            ErrorKind::Unavailable,
            "the server's system failed",
            Some("look at the log of the server and of its kernel"),
        ),
        "24" | "25" | "2D" | "3B" | "55" => {
            (ErrorKind::Precondition, "the state of the session or object forbids it", None)
        }
        _ => (ErrorKind::Other, "the database engine failed", None),
    }
}
