//! What the system's errors mean here.

use aeth_core::{BlobPath, Error, ErrorKind};
use rustix::io::Errno;

pub(super) const COMPONENT: &str = "local-dir";

/// An error of the system.
pub(super) fn io(error: Errno) -> Error {
    match error {
        Errno::LOOP | Errno::XDEV => {
            Error::new(ErrorKind::Denied, "a symbolic link or another file system stands in the way")
                .with_source(std::io::Error::from(error))
                .with_remedy("remove it: a store never follows links, and lies on one file system")
        }
        Errno::NOTDIR => Error::new(
            ErrorKind::Denied,
            "something that is neither a blob nor a directory stands in the way",
        )
        .with_source(std::io::Error::from(error))
        .with_remedy("remove what another program put there"),
        _ => Error::from_io(error.into()),
    }
    .with_component(COMPONENT)
}

pub(super) fn not_found(path: &BlobPath) -> Error {
    Error::not_found("there is no such blob").with_component(COMPONENT).with_key(path)
}

pub(super) fn exists(path: &BlobPath) -> Error {
    Error::new(ErrorKind::AlreadyExists, "there is a blob already").with_component(COMPONENT).with_key(path)
}

pub(super) fn precondition(path: &BlobPath) -> Error {
    Error::new(ErrorKind::Precondition, "the blob has another etag than the one demanded, or is missing")
        .with_component(COMPONENT)
        .with_key(path)
        .with_remedy("read it again and decide anew")
}

/// Something that is there but no blob.
pub(super) fn not_a_blob(path: &BlobPath) -> Error {
    Error::new(ErrorKind::Denied, "what has this name is not a regular file")
        .with_component(COMPONENT)
        .with_key(path)
        .with_remedy("remove what another program put there")
}

/// Somebody else changed the same thing again and again.
pub(super) fn contended(path: &BlobPath) -> Error {
    Error::new(ErrorKind::Busy, "others change the same directories without pause")
        .with_component(COMPONENT)
        .with_key(path)
}
