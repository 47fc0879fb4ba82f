//! A secret that erases itself and shows itself to nobody.

use crate::{Error, Result};
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The longest secret that is read from a file, in bytes: more is a wrong file, not a secret.
const MAX_FILE: u64 = 64 * 1024;

/// A password, token or key: bytes that are erased from memory when the last clone is dropped.
///
/// It has no `Serialize` and no `Display`, its `Debug` prints `Secret(***)`, and clones share one copy of the
/// bytes. [`expose`](Self::expose) is the only way to them, so that a reviewer finds each use by that word.
/// Two secrets are compared in time that depends on their lengths alone.
///
/// ```
/// use aeth_core::Secret;
///
/// let secret = Secret::new("correct horse battery staple");
/// assert_eq!(format!("{secret:?}"), "Secret(***)");
/// assert_eq!(secret.expose(), b"correct horse battery staple");
/// ```
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Takes ownership of the bytes; a `String` or `Vec<u8>` is moved in, not copied.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.into())))
    }

    /// Reads a secret from a file, without one trailing newline (`\n` or `\r\n`), as editors and `echo` leave it.
    ///
    /// A file that every user of the machine may read is accepted with a warning, because container runtimes
    /// mount secrets so. The call blocks on the file system.
    ///
    /// # Errors
    /// NotFound, Denied and the like when the file cannot be read; Invalid when it is empty or longer than
    /// 64 KiB. The error names the path and what to do.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        read_file(path).map_err(|error| error.with_operation("read secret").with_key(path.display()))
    }

    /// Reads a secret from the environment variable `name`, or, when only `{name}_FILE` is set, from the file
    /// which that one names (the convention of container images).
    ///
    /// The variable's bytes are taken as they are. The process's own environment keeps its copy: prefer files
    /// where others may read `/proc`.
    ///
    /// # Errors
    /// NotFound when neither variable is set; Invalid when both are, or when the value is empty; the errors of
    /// [`from_file`](Self::from_file).
    pub fn from_env(name: &str) -> Result<Self> {
        let file = format!("{name}_FILE");
        match (std::env::var_os(name), std::env::var_os(&file)) {
            (Some(_), Some(_)) => Err(Error::invalid("the variable and its `_FILE` form are both set")
                .with_remedy(format!("unset `{name}` or `{file}`"))),
            (Some(value), None) => from_os(value, name),
            (None, Some(path)) => return Self::from_file(Path::new(&path)),
            (None, None) => Err(Error::not_found("environment variable is not set")
                .with_remedy(format!("set `{name}`, or set `{file}` to the path of a file that holds it"))),
        }
        .map_err(|error| error.with_operation("read secret").with_key(name))
    }

    /// The bytes. Keep the borrow short and copy them nowhere that is not erased.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, for engines that take passwords as strings.
    ///
    /// # Errors
    /// Invalid when they are not UTF-8; the error says nothing about them.
    pub fn expose_str(&self) -> Result<&str> {
        std::str::from_utf8(self.expose()).map_err(|_| {
            Error::invalid("secret is not UTF-8 text").with_remedy("give this secret as UTF-8 text")
        })
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn read_file(path: &Path) -> Result<Secret> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    warn_if_public(path, &metadata);
    // One allocation that never moves: a growing buffer would leave copies behind in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::invalid("file is too long for a secret")
            .with_remedy("name a file of at most 64 KiB that holds the secret and nothing else"));
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let text = text.strip_suffix(b"\r").filter(|_| text.len() < bytes.len()).unwrap_or(text);
    if text.is_empty() {
        return Err(
            Error::invalid("file holds no secret").with_remedy("write the secret into the file, on one line")
        );
    }
    Ok(Secret::new(text))
}

#[cfg(unix)]
fn warn_if_public(path: &Path, metadata: &std::fs::Metadata) {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o004 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{mode:04o}"),
            "every user of this machine can read this secret file; `chmod 0400` it"
        );
    }
}

#[cfg(not(unix))]
fn warn_if_public(_path: &Path, _metadata: &std::fs::Metadata) {}

fn from_os(value: OsString, name: &str) -> Result<Secret> {
    let secret = Secret::new(value.into_encoded_bytes());
    if secret.is_empty() {
        return Err(Error::invalid("environment variable is empty")
            .with_remedy(format!("set `{name}` to the secret, or unset it")));
    }
    Ok(secret)
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (self.expose(), other.expose());
        let difference = left.iter().zip(right).fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
        left.len() == right.len() && difference == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
