//! Copies of what is in use.

use super::path::PathSource;
use crate::Id;
use crate::scratch::Scratch;
use aeth_core::{Error, Result};
use async_trait::async_trait;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Makes a consistent copy of something that is in use: a database by its online backup, a file system by a
/// snapshot.
#[async_trait]
pub trait OnlineCopy: fmt::Debug + Send + Sync + 'static {
    /// Writes a consistent copy to `path`, as a file or as a directory. Nothing is there; the directory above is
    /// private to this user, and is removed with everything in it when the run is over.
    ///
    /// # Errors
    /// Any: the run fails with it, because a backup without its database would be taken for one with it.
    ///
    /// # Cancel safety
    /// Must be cancel-safe: a run that is stopped drops it.
    async fn copy_to(&self, path: &Path) -> Result<()>;
}

/// A consistent copy that is made when the run comes to it, backed up in full fidelity, and removed at the end of
/// the run.
///
/// ```
/// use aeth_backup::{CopySource, OnlineCopy};
/// use std::path::Path;
///
/// /// What a database does by its online backup.
/// #[derive(Debug)]
/// struct Online;
///
/// #[aeth_core::async_trait]
/// impl OnlineCopy for Online {
///     async fn copy_to(&self, path: &Path) -> aeth_core::Result<()> {
///         Ok(std::fs::write(path, "a consistent state")?)
///     }
/// }
///
/// let source = CopySource::new("/databases/app.sqlite", "/var/lib/app/tmp", Online);
/// # let _ = source;
/// ```
#[derive(Debug, Clone)]
pub struct CopySource {
    at: String,
    scratch: PathBuf,
    copy: Arc<dyn OnlineCopy>,
    timeout: Duration,
}

impl CopySource {
    /// What `copy` makes, standing at `at` in the snapshot (absolute, segments separated by `/`). `scratch` is
    /// the directory where the copy lies during the run; it is made when it is missing. Two runs at the same time
    /// need a directory each: what an earlier run left there is removed.
    #[must_use]
    pub fn new(at: impl Into<String>, scratch: impl Into<PathBuf>, copy: impl OnlineCopy) -> Self {
        Self {
            at: at.into(),
            scratch: scratch.into(),
            copy: Arc::new(copy),
            timeout: Duration::from_secs(6 * 3_600),
        }
    }

    /// How long making the copy may take. Default: 6 hours.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(crate) fn limit(&self) -> Duration {
        self.timeout
    }

    /// Makes the copy. Blocks on I/O beside it: never call it on a runtime worker.
    pub(crate) async fn make(&self) -> Result<(PathSource, Scratch)> {
        let described = |error: Error| error.with_operation("copy what is in use").with_key(&self.at);
        let short: String = Id::of(self.at.as_bytes()).to_string().chars().take(16).collect();
        let scratch = Scratch::new(&self.scratch, &format!("copy-{short}")).map_err(described)?;
        let name = self.at.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("copy");
        let path = scratch.path().join(name);
        self.copy.copy_to(&path).await.map_err(described)?;
        let source = PathSource::new(&path).map_err(|error| {
            described(error).with_remedy("the copy was reported as made and is not there")
        })?;
        Ok((source.at(self.at.clone()), scratch))
    }
}
