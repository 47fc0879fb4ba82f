//! What a schedule remembers over restarts.

use aeth_core::{Error, Result};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// What a schedule remembers. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ScheduleState {
    /// The time for which the last run was due, whether it succeeded or not.
    pub last_due: Option<u64>,
    /// When the last run succeeded.
    pub last_success: Option<u64>,
    /// Runs that failed since then.
    pub failures: u32,
    /// The time for which the last drill was due.
    pub last_drill_due: Option<u64>,
}

/// Where a schedule's state is kept. Every process that may lead needs the same one.
#[async_trait]
pub trait ScheduleStore: fmt::Debug + Send + Sync + 'static {
    /// Reads the state; that of a schedule which never ran is the default.
    ///
    /// # Errors
    /// Those of the store. The schedule waits and asks again.
    ///
    /// # Cancel safety
    /// Must be cancel-safe.
    async fn load(&self) -> Result<ScheduleState>;

    /// Writes the state, all or nothing.
    ///
    /// # Errors
    /// Those of the store. They are reported and the run goes on.
    ///
    /// # Cancel safety
    /// The old or the new state is there.
    async fn save(&self, state: &ScheduleState) -> Result<()>;
}

/// A schedule's state in a file, which is replaced as a whole.
#[derive(Debug, Clone)]
pub struct FileScheduleStore {
    path: PathBuf,
}

impl FileScheduleStore {
    /// The file at `path`; its directory must exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn named(&self, error: Error) -> Error {
        error.with_component("schedule").with_key(self.path.display())
    }
}

#[async_trait]
impl ScheduleStore for FileScheduleStore {
    async fn load(&self) -> Result<ScheduleState> {
        match tokio::fs::read(&self.path).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                // Worse than a run too many would be a schedule that never runs again.
                tracing::warn!(path = %self.path.display(), %error, "the schedule's state is damaged; beginning anew");
                ScheduleState::default()
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ScheduleState::default()),
            Err(error) => Err(self.named(error.into())),
        }
    }

    async fn save(&self, state: &ScheduleState) -> Result<()> {
        let text = serde_json::to_vec_pretty(state)
            .map_err(|error| Error::other("the state has no JSON form").with_source(error))?;
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || replace_file(&path, &text)).await;
        let written = written.map_err(|error| Error::other("the write was interrupted").with_source(error));
        written.and_then(|result| result).map_err(|error| self.named(error))
    }
}

/// Replaces a file so that after a loss of power the old or the new one is there. Blocks on I/O.
pub(crate) fn replace_file(path: &Path, text: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&temporary, path)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        std::fs::File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    })();
    if written.is_err() {
        // What is left of the attempt is of no use to anybody.
        drop(std::fs::remove_file(&temporary));
    }
    Ok(written?)
}
