//! Errors of the repository as ours.

use aeth_core::{Error, ErrorKind};

pub(super) const COMPONENT: &str = "git-archive";

/// An error of gix, with the kind that its causes tell.
pub(super) fn from_gix(error: gix::Error) -> Error {
    let io = error.classify().find_map(|cause| cause.io_kind());
    let class = error.classify();
    let made = match io {
        Some(kind) if kind != std::io::ErrorKind::NotFound => Error::from_io(kind.into()),
        _ if class.is_corrupted() => Error::corrupt("the repository is damaged")
            .with_remedy("run `git fsck` in it and fetch what is missing from a clone"),
        _ if error.classify().is_not_found() => Error::not_found("the repository has no such object"),
        _ => Error::other("the repository could not be used"),
    };
    made.with_component(COMPONENT).with_source(error)
}

pub(super) fn io(error: std::io::Error) -> Error {
    Error::from_io(error).with_component(COMPONENT)
}

/// Another writer moved the reference.
pub(super) fn moved(name: &str) -> Error {
    Error::new(ErrorKind::Precondition, "the reference is not where it was demanded to be")
        .with_component(COMPONENT)
        .with_key(name)
        .with_remedy("read the history again and repeat the commit on what it shows")
}
