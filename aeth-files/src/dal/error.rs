//! Errors of opendal as ours.

use aeth_core::{Error, ErrorKind, Retry};
use opendal::ErrorKind as Theirs;

/// An error of opendal, with the kind that it names and whether trying again can help.
pub(super) fn from_dal(error: opendal::Error) -> Error {
    let made = |kind, message| Error::new(kind, message);
    let made = match error.kind() {
        Theirs::NotFound => Error::not_found("there is no such blob"),
        Theirs::AlreadyExists => made(ErrorKind::AlreadyExists, "there is a blob already"),
        Theirs::ConditionNotMatch => made(ErrorKind::Precondition, "the blob is not in the state demanded"),
        Theirs::Conflict => made(ErrorKind::Precondition, "another writer was faster"),
        Theirs::PermissionDenied => made(ErrorKind::Denied, "the service forbids it")
            .with_remedy("check the permissions of the credentials in use, and that they have not expired"),
        Theirs::Unsupported => Error::unsupported("the service does not do this")
            .with_remedy("narrow the adapter's claims with `aeth_core::blob::probe`"),
        Theirs::ConfigInvalid => Error::invalid("the service is not configured rightly")
            .with_remedy("check that the bucket and the endpoint exist, and see the cause"),
        Theirs::IsADirectory | Theirs::NotADirectory => extended(),
        Theirs::RangeNotSatisfied => Error::invalid("the range starts past the end"),
        Theirs::RateLimited => made(ErrorKind::Busy, "the service allows no more requests at the moment"),
        _ => of_cause(&error),
    };
    let made = if error.is_persistent() { made.with_retry(Retry::Exhausted) } else { made };
    made.with_source(error)
}

/// A service with true directories has a file or a directory at a path, not both.
pub(super) fn extended() -> Error {
    Error::invalid("the service cannot hold a blob beside blobs whose paths extend its own")
        .with_remedy("choose another path, or remove the directory if it is empty")
}

/// What is wrong below the service.
fn of_cause(error: &opendal::Error) -> Error {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        if let Some(io) = found.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind as Io;
            if matches!(io.kind(), Io::NotADirectory | Io::IsADirectory | Io::DirectoryNotEmpty) {
                return extended();
            }
            if io.kind() == Io::InvalidFilename {
                return Error::invalid("the service does not take this path");
            }
            return Error::from_io(
                io.raw_os_error().map_or_else(|| io.kind().into(), std::io::Error::from_raw_os_error),
            );
        }
        cause = found.source();
    }
    if error.is_temporary() {
        return Error::unavailable("the service does not answer as it should")
            .with_remedy("check the endpoint and that the server runs");
    }
    Error::other("the service failed")
}
