//! The end, in the right order.

use super::Storage;
use aeth_core::{Lifecycle, Result};
use std::time::Duration;

impl Storage {
    /// Closes everything in the order that loses nothing: background tasks stop, caches drain what they owe to
    /// their tiers, the backup lets go of its locks, the database writes its log back and closes. After it,
    /// every operation fails with `Closed`.
    ///
    /// Every part gets what is left of `deadline`; one that fails does not keep the others from closing.
    /// Idempotent.
    ///
    /// # Errors
    /// The first failure, `Timeout` among them, naming the part.
    ///
    /// # Cancel safety
    /// What was begun goes on; call it again to wait for it.
    pub async fn shutdown(&self, deadline: Duration) -> Result<()> {
        let inner = &self.inner;
        let begun = inner.clock.monotonic();
        let left = || deadline.saturating_sub(inner.clock.monotonic().saturating_sub(begun));
        let mut first: Result<()> = Ok(());
        let mut note = |part: &'static str, result: Result<()>| {
            if let Err(error) = result {
                tracing::warn!(part, %error, "a part of the storage did not close cleanly");
                if first.is_ok() {
                    first = Err(error.with_operation("shutdown").with_component(part));
                }
            }
        };
        // Schedules and watches first: nothing new begins.
        inner.tasks.cancel();
        #[cfg(feature = "cache")]
        note("cache", inner.caches.close(left()).await);
        #[cfg(feature = "backup")]
        note("backup", inner.backup.close(left()).await);
        #[cfg(feature = "files")]
        note("files", inner.files.close(left()).await);
        #[cfg(feature = "sqlite")]
        if let Some(database) = &inner.database {
            note("database", database.close(left()).await);
        }
        note("tasks", inner.tasks.close(left()).await);
        inner.data.release();
        first
    }
}
