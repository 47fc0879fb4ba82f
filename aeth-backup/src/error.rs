//! Foreign errors, converted once.

use aeth_core::{Error, ErrorKind};
use std::path::Path;

/// A structure that does not parse (or, which cannot happen, does not print).
pub(crate) fn json(what: &'static str) -> impl Fn(serde_json::Error) -> Error {
    move |error| {
        let message = format!("the {what} is not the JSON that it should be");
        Error::corrupt(message).with_source(error)
    }
}

/// An I/O error at a path of the file system.
pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::from_io(error).with_key(path.display())
}

/// A system call's error at a path of the file system.
pub(crate) fn errno(path: &Path) -> impl Fn(rustix::io::Errno) -> Error {
    move |error| Error::from_io(error.into()).with_key(path.display())
}

/// The error of a run that was told to stop.
pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Closed, "cancelled")
}
