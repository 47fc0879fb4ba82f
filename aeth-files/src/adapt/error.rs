//! Errors in both languages.

use aeth_core::{Error, ErrorKind};
use object_store::Error as Outer;
use std::error::Error as StdError;

/// What object_store calls the maker of an error.
const STORE: &str = "aeth-files";

/// What a call was about, which object_store's errors tell apart where ours do not.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    /// A read: what is missing is `NotSupported`.
    Read,
    /// A write: what is missing is `NotImplemented`, which is what its users test for.
    Write,
}

/// Our error in object_store's language; the source of it is ours, so that nothing is lost.
pub(super) fn outer(error: Error, call: Call, path: &(impl ToString + ?Sized)) -> Outer {
    let path = path.to_string();
    match (error.kind(), call) {
        (ErrorKind::NotFound, _) => Outer::NotFound { path, source: error.into() },
        (ErrorKind::AlreadyExists, _) => Outer::AlreadyExists { path, source: error.into() },
        (ErrorKind::Precondition, _) => Outer::Precondition { path, source: error.into() },
        (ErrorKind::Denied, _) => Outer::PermissionDenied { path, source: error.into() },
        (ErrorKind::Unsupported, Call::Read) => Outer::NotSupported { source: error.into() },
        (ErrorKind::Unsupported, Call::Write) => Outer::NotImplemented {
            operation: error.to_string(),
            implementer: error.component().unwrap_or(STORE).to_owned(),
        },
        _ => Outer::Generic { store: STORE, source: error.into() },
    }
}

/// An error of object_store in our language.
pub(super) fn inner(error: Outer) -> Error {
    if let Some(own) = own(&error) {
        return own;
    }
    let made = |kind, message| Error::new(kind, message);
    let made = match &error {
        Outer::NotFound { .. } => Error::not_found("there is no such blob"),
        Outer::AlreadyExists { .. } => made(ErrorKind::AlreadyExists, "there is a blob already"),
        Outer::Precondition { .. } => made(ErrorKind::Precondition, "the blob is not in the state demanded"),
        Outer::NotModified { .. } => made(ErrorKind::Precondition, "the blob is not modified"),
        Outer::NotSupported { .. } | Outer::NotImplemented { .. } => {
            Error::unsupported("the engine does not do this")
                .with_remedy("narrow the adapter's claims with `aeth_core::blob::probe`")
        }
        Outer::PermissionDenied { .. } => made(ErrorKind::Denied, "the engine forbids it")
            .with_remedy("check the permissions of the credentials in use"),
        Outer::Unauthenticated { .. } => {
            made(ErrorKind::Denied, "the engine does not accept the credentials")
                .with_remedy("check that the credentials are right and have not expired")
        }
        Outer::InvalidPath { .. } => Error::invalid("the engine does not take this path"),
        Outer::UnknownConfigurationKey { .. } => Error::invalid("the engine does not know this setting"),
        _ => return generic(error),
    };
    made.with_source(error)
}

/// An error of ours that travelled through object_store and comes home.
fn own(error: &(dyn StdError + 'static)) -> Option<Error> {
    chain(error).find_map(|cause| cause.downcast_ref::<Error>().cloned())
}

/// The kind of an error that object_store does not tell apart is in its causes.
fn generic(error: Outer) -> Error {
    let made = chain(&error).find_map(|cause| {
        #[cfg(feature = "object-store-0-14-signer")]
        if let Some(http) = cause.downcast_ref() {
            return Some(of_http(http));
        }
        let io = cause.downcast_ref::<std::io::Error>().map(of_io);
        io.or_else(|| of_status(&cause.to_string()))
    });
    made.unwrap_or_else(|| Error::other("the engine failed")).with_source(error)
}

/// What an error of a file system means.
fn of_io(error: &std::io::Error) -> Error {
    if is_directory(error) {
        return Error::invalid("the engine cannot hold a blob beside blobs whose paths extend its own")
            .with_remedy("choose another path");
    }
    let same = error.raw_os_error().map_or_else(|| error.kind().into(), std::io::Error::from_raw_os_error);
    Error::from_io(same)
}

fn is_directory(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Io;
    matches!(error.kind(), Io::NotADirectory | Io::IsADirectory | Io::DirectoryNotEmpty)
}

/// The error of a read: where a directory of the engine is in the way, there is no blob.
pub(super) fn of_read(error: Error) -> Error {
    let in_the_way = chain(&error).filter_map(|cause| cause.downcast_ref()).any(is_directory);
    if in_the_way { Error::not_found("there is no such blob").with_source(error) } else { error }
}

/// What an HTTP status means. object_store keeps the type that holds it to itself, so that the message is the only
/// place where it can be read.
fn of_status(message: &str) -> Option<Error> {
    let (_, rest) = message.split_once("status code: ")?;
    let status: u16 = rest.get(..3)?.parse().ok()?;
    // S3 calls a request with a token that has expired a bad one.
    if status == 400 && ["ExpiredToken", "TokenRefreshRequired"].iter().any(|code| rest.contains(code)) {
        return Some(
            Error::new(ErrorKind::Denied, "the credentials have expired")
                .with_remedy("renew them; those of a role or web identity renew themselves"),
        );
    }
    Some(match status {
        408 | 429 | 500..=506 | 508..=599 => {
            Error::unavailable(format!("the engine refuses requests at the moment (status {status})"))
        }
        507 => Error::new(ErrorKind::Full, "the engine has no room (status 507)"),
        404 => Error::not_found("there is no such bucket, container or upload (status 404)")
            .with_remedy("create it, or correct its name; begin the upload anew"),
        413 => Error::invalid("the engine does not take blobs of this size (status 413)"),
        400..=499 => Error::invalid(format!("the engine does not accept the request (status {status})")),
        _ => Error::other(format!("the engine answered with the status {status}")),
    })
}

/// What a failure below HTTP means.
#[cfg(feature = "object-store-0-14-signer")]
fn of_http(error: &object_store::client::HttpError) -> Error {
    use object_store::client::HttpErrorKind;
    match error.kind() {
        HttpErrorKind::Timeout => Error::timeout("the engine did not answer in time"),
        HttpErrorKind::Connect => Error::unavailable("no connection to the engine")
            .with_remedy("check the endpoint and that the server runs"),
        HttpErrorKind::Request | HttpErrorKind::Interrupted => {
            Error::unavailable("the connection to the engine broke")
        }
        _ => Error::other("the engine's answer is not understood"),
    }
}

/// The error and its causes.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_errors_come_home_as_they_were() {
        let sent = Error::new(ErrorKind::Full, "no room").with_key("a").with_remedy("make some");
        for call in [Call::Read, Call::Write] {
            let back = inner(outer(sent.clone(), call, "a"));
            assert_eq!((back.kind(), back.to_string()), (sent.kind(), sent.to_string()));
        }
        let missing = inner(outer(Error::unsupported("no"), Call::Write, "a"));
        assert_eq!(missing.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn the_kind_of_a_generic_error_is_in_its_causes() {
        let status = |code: u16| format!("Server returned non-2xx status code: {code} Words: body");
        let made =
            |source: Box<dyn StdError + Send + Sync>| inner(Outer::Generic { store: "S3", source }).kind();
        assert_eq!(made(status(503).into()), ErrorKind::Unavailable);
        assert_eq!(made(status(507).into()), ErrorKind::Full);
        assert_eq!(made(status(404).into()), ErrorKind::NotFound);
        assert_eq!(made(status(400).into()), ErrorKind::Invalid);
        let expired = status(400).replace("body", "<Error><Code>ExpiredToken</Code></Error>");
        assert_eq!(made(expired.into()), ErrorKind::Denied);
        assert_eq!(made("something".into()), ErrorKind::Other);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(made(full.into()), ErrorKind::Full);
    }
}
