//! The errors of loaders.

use aeth_core::{Error, ErrorKind, Retry};
use std::any::Any;
use std::io;

/// Any error, boxed: what a loader's error must turn into.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of the family stays what it is; an I/O error gets its kind; any other becomes the source of an
/// `Other`.
pub(crate) fn load_error(error: impl Into<BoxError>) -> Error {
    let error = match error.into().downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    match error.downcast::<io::Error>() {
        Ok(error) => Error::from_io(*error).with_operation("load"),
        Err(error) => Error::other("the loader failed").with_source(error),
    }
}

/// The error of a load that panicked.
pub(crate) fn panic_error(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(ErrorKind::Other, format!("the loader panicked: {}", text.unwrap_or("no message")))
        .with_retry(Retry::Never)
}

/// The loader's own error inside of an error that a load returned, if it is an `E`.
///
/// All callers that waited for one load share its error, which is why it arrives as an [`Error`] with the
/// loader's as its [source](std::error::Error::source).
///
/// ```
/// # use aeth_cache::loader_error;
/// # use aeth_core::Error;
/// # let load = Error::other("the loader failed").with_source(std::fmt::Error);
/// if let Some(error) = loader_error::<std::fmt::Error>(&load) {
///     println!("the loader said: {error}");
/// }
/// ```
#[must_use]
pub fn loader_error<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        if let Some(found) = source.downcast_ref() {
            return Some(found);
        }
        next = source.source();
    }
    None
}

pub(crate) fn closed() -> Error {
    Error::closed("the cache is closed").with_component("cache")
}
