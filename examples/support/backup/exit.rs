//! How the program ends, as restic's does.

use aetherius::{Error, ErrorKind};

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete,
    /// It did what it could; what is missing was named.
    Incomplete,
}

impl Outcome {
    pub(super) fn of(complete: bool) -> Self {
        if complete { Self::Complete } else { Self::Incomplete }
    }
}

const FATAL: u8 = 1;
pub(super) const INCOMPLETE: u8 = 3;
const NO_REPOSITORY: u8 = 10;
const LOCKED: u8 = 11;
const WRONG_PASSWORD: u8 = 12;

/// Explained in `--help`.
pub(super) const HELP: &str = "\
Exit codes:
  0   success
  1   failure: nothing, or not all of it, was done
  2   wrong usage
  3   incomplete: a snapshot or a restore was made, and what is not in it was named
  10  there is no repository
  11  the repository is locked
  12  wrong password

Locations:
  DIRECTORY             a directory of this machine, mounted shares included
  s3://BUCKET/PREFIX    Amazon S3 and what speaks its protocol
  webdav://[USER:PASSWORD@]HOST/DIR
                        a server with WebDAV over TLS; without TLS webdav:///DIR?endpoint=http://HOST:PORT
  fs:///DIR             a directory, by opendal

Environment:
  AETHERIUS_PASSWORD    the password, unless --password-file is given
  AETHERIUS_TO_PASSWORD the password of the repository that `copy` copies to; default: the same
  AETHERIUS_REPOSITORY  the location, unless --repo is given
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL
                        access to s3:// locations";

pub(super) fn code(error: &Error) -> u8 {
    let error = innermost(error);
    let opening = error.operation() == Some("open");
    match error.kind() {
        ErrorKind::NotFound if opening => NO_REPOSITORY,
        ErrorKind::Busy if error.operation() == Some("lock") => LOCKED,
        // A file system that denies access says so by a source.
        ErrorKind::Denied if opening && std::error::Error::source(error).is_none() => WRONG_PASSWORD,
        _ => FATAL,
    }
}

/// The error below the ones that only say where it happened.
fn innermost(error: &Error) -> &Error {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Error>());
    source.map_or(error, innermost)
}
