//! The one error of the family.
//!
//! An [`Error`] says what happened ([`ErrorKind`]), whether trying again can help ([`Retry`]), where it
//! happened (operation, component, key) and what the reader can do about it (the remedy). It is one pointer
//! wide and cheap to clone, because one failed load answers many waiters.
//!
//! Rules that every crate of the family keeps:
//! - a message is lower-case, has no trailing stop and never repeats its source (which [`source`] gives);
//! - a message never holds a secret or a value, and names a key only through [`Error::with_key`];
//! - a wrapper that has retried marks the error [`Retry::Exhausted`], so that stacked layers never multiply
//!   their attempts.
//!
//! [`source`]: std::error::Error::source

mod kind;
mod retry;

pub use kind::ErrorKind;
pub use retry::Retry;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The result of every fallible operation of the family.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong, whether to try again, where, and what to do about it.
///
/// ```
/// use aeth_core::{Error, ErrorKind, Retry};
///
/// let error = Error::new(ErrorKind::Full, "no space left on device")
///     .with_operation("put")
///     .with_component("local-dir")
///     .with_key("avatars/42.png")
///     .with_remedy("free some space or raise the quota");
/// assert_eq!(error.kind(), ErrorKind::Full);
/// assert_eq!(error.retry(), Retry::Never);
/// assert_eq!(
///     error.to_string(),
///     "put in local-dir of `avatars/42.png`: no space left on device (free some space or raise the quota)"
/// );
/// ```
#[derive(Clone)]
pub struct Error(Arc<Repr>);

#[derive(Clone)]
struct Repr {
    kind: ErrorKind,
    retry: Retry,
    message: Cow<'static, str>,
    operation: Option<&'static str>,
    component: Option<Cow<'static, str>>,
    key: Option<Box<str>>,
    remedy: Option<Cow<'static, str>>,
    source: Option<Source>,
}

impl Error {
    /// Makes an error of `kind` with a message; its retry verdict is the kind's [default](ErrorKind::retry).
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Repr {
            kind,
            retry: kind.retry(),
            message: message.into(),
            operation: None,
            component: None,
            key: None,
            remedy: None,
            source: None,
        }))
    }

    /// A missing thing: [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A bad argument or setting: [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Something that this implementation cannot do: [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Stored bytes that are not what was written: [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// An operation that ran out of time: [`ErrorKind::Timeout`].
    pub fn timeout(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Timeout, message)
    }

    /// An engine that does not answer: [`ErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// A component that was closed before the call: [`ErrorKind::Closed`].
    pub fn closed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Closed, message)
    }

    /// Anything that no other kind names: [`ErrorKind::Other`].
    pub fn other(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Other, message)
    }

    /// Converts an I/O error, choosing the kind (and a remedy where there is one) from its code.
    ///
    /// Disk-full and quota conditions become [`ErrorKind::Full`], permission and read-only conditions
    /// [`ErrorKind::Denied`], too many open files [`ErrorKind::Busy`].
    #[must_use]
    pub fn from_io(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, message, remedy) = match error.kind() {
            Io::NotFound => (ErrorKind::NotFound, "no such file or directory", None),
            Io::AlreadyExists => (ErrorKind::AlreadyExists, "already exists", None),
            Io::PermissionDenied => (
                ErrorKind::Denied,
                "permission denied",
                Some("check the owner and the mode of the file and of the directories above it"),
            ),
            Io::ReadOnlyFilesystem => (
                ErrorKind::Denied,
                "read-only file system",
                Some("mount it writable or choose another place"),
            ),
            Io::StorageFull => {
                (ErrorKind::Full, "no space left on device", Some("free some space and try again"))
            }
            Io::QuotaExceeded => {
                (ErrorKind::Full, "disk quota exceeded", Some("free some space or raise the quota"))
            }
            Io::FileTooLarge => (ErrorKind::Full, "file too large for the file system", None),
            Io::TimedOut => (ErrorKind::Timeout, "timed out", None),
            Io::InvalidInput | Io::InvalidFilename => (ErrorKind::Invalid, "invalid argument", None),
            Io::UnexpectedEof => (ErrorKind::Corrupt, "unexpected end of data", None),
            Io::Interrupted | Io::WouldBlock | Io::ResourceBusy | Io::Deadlock => {
                (ErrorKind::Busy, "resource busy", None)
            }
            Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::NotConnected
            | Io::BrokenPipe
            | Io::HostUnreachable
            | Io::NetworkUnreachable
            | Io::NetworkDown
            | Io::StaleNetworkFileHandle => (ErrorKind::Unavailable, "connection failed", None),
            // EMFILE and ENFILE have no stable `io::ErrorKind`.
            _ if matches!(error.raw_os_error(), Some(23 | 24)) => {
                (ErrorKind::Busy, "too many open files", Some("raise the limit of open files (ulimit -n)"))
            }
            _ => (ErrorKind::Other, "input/output error", None),
        };
        let made = Self::new(kind, message).with_source(error);
        match remedy {
            Some(remedy) => made.with_remedy(remedy),
            None => made,
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying the same call again can help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The message alone, without context and remedy.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The operation that failed (`"put"`, `"get_many"`), if known.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The component that failed (`"redis"`, `"local-dir"`), if known.
    #[must_use]
    pub fn component(&self) -> Option<&str> {
        self.0.component.as_deref()
    }

    /// The key, path or name that the operation was about, if known. Never a secret or a value.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// What the reader can do about it, if there is something to say.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }

    /// Shorthand for `self.kind() == ErrorKind::NotFound`.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.0.kind == ErrorKind::NotFound
    }

    /// Replaces the retry verdict.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        self.change(|repr| repr.retry = retry)
    }

    /// Names the operation, unless an inner layer has named one.
    #[must_use]
    pub fn with_operation(self, operation: &'static str) -> Self {
        self.change(|repr| {
            repr.operation.get_or_insert(operation);
        })
    }

    /// Names the component, unless an inner layer has named one.
    #[must_use]
    pub fn with_component(self, component: impl Into<Cow<'static, str>>) -> Self {
        self.change(|repr| {
            repr.component.get_or_insert_with(|| component.into());
        })
    }

    /// Names the key, path or setting, unless an inner layer has named one. Never pass a secret.
    #[must_use]
    pub fn with_key(self, key: impl fmt::Display) -> Self {
        self.change(|repr| {
            repr.key.get_or_insert_with(|| key.to_string().into_boxed_str());
        })
    }

    /// Says what to do about it; the outermost remedy wins, because it knows the most about the caller.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.change(|repr| repr.remedy = Some(remedy.into()))
    }

    /// Attaches the cause.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.change(|repr| repr.source = Some(Arc::from(source.into())))
    }

    fn change(mut self, change: impl FnOnce(&mut Repr)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::from_io(error)
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            ErrorKind::NotFound => Io::NotFound,
            ErrorKind::AlreadyExists => Io::AlreadyExists,
            ErrorKind::Denied => Io::PermissionDenied,
            ErrorKind::Invalid => Io::InvalidInput,
            ErrorKind::Unsupported => Io::Unsupported,
            ErrorKind::Busy => Io::ResourceBusy,
            ErrorKind::Full => Io::StorageFull,
            ErrorKind::Timeout => Io::TimedOut,
            ErrorKind::Corrupt => Io::InvalidData,
            _ => Io::Other,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = &*self.0;
        match (repr.operation, repr.component.as_deref()) {
            (Some(operation), Some(component)) => write!(f, "{operation} in {component}")?,
            (Some(operation), None) => f.write_str(operation)?,
            (None, Some(component)) => f.write_str(component)?,
            (None, None) => {}
        }
        let placed = repr.operation.is_some() || repr.component.is_some();
        match (placed, repr.key.as_deref()) {
            (true, Some(key)) => write!(f, " of `{key}`: ")?,
            (true, None) => f.write_str(": ")?,
            (false, Some(key)) => write!(f, "`{key}`: ")?,
            (false, None) => {}
        }
        f.write_str(&repr.message)?;
        match &repr.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = &*self.0;
        f.debug_struct("Error")
            .field("kind", &repr.kind)
            .field("retry", &repr.retry)
            .field("message", &repr.message)
            .field("operation", &repr.operation)
            .field("component", &repr.component)
            .field("key", &repr.key)
            .field("remedy", &repr.remedy)
            .field("source", &repr.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());
