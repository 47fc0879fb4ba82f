//! What SQLite says.

use super::Verdict;
use aeth_core::ErrorKind;
use sqlx::error::DatabaseError;

/// The extended result code (<https://www.sqlite.org/rescode.html>); 1 when there is none.
pub(super) fn code(error: &dyn DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or(1)
}

pub(super) fn classify(code: i32) -> Verdict {
    if let Some(verdict) = classify_extended(code) {
        return verdict;
    }
    match code & 0xff {
        5 => (
            ErrorKind::Busy,
            "the database is locked by another connection",
            Some("look for another process that holds a transaction open, or raise the busy timeout"),
        ),
        6 => (
            ErrorKind::Busy,
            "a table is locked by another statement of this connection",
            Some("read the statement's rows to their end, or drop it, before the next one"),
        ),
        15 | 17 => (ErrorKind::Busy, "the database changed under the statement", Some("run it again")),
        11 | 26 => (
            ErrorKind::Corrupt,
            "the file is damaged or is no SQLite database",
            Some("restore it from a backup; move it away, do not delete it, until that has worked"),
        ),
        13 => (ErrorKind::Full, "no space left for the database", Some("free some space and try again")),
        7 => (ErrorKind::Full, "out of memory", Some("read fewer rows at once, or give the process more")),
        18 => (ErrorKind::Invalid, "the value or statement is too large", None),
        8 => (
            ErrorKind::Denied,
            "the database is read-only here",
            Some(
                "write through `write()`; if that is what was done, make file, directory and mount writable",
            ),
        ),
        3 | 23 => (
            ErrorKind::Denied,
            "permission denied",
            Some("check owner and mode of the file and its directory"),
        ),
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
