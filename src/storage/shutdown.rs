//! The end, in the right order.

use super::Storage;
use aeth_core::{Lifecycle, Result};
use std::time::Duration;

impl Storage {
    /// Closes everything in the order that loses nothing: background tasks stop, a backup that runs stops (the
    /// next one goes on from what it stored), caches drain what they owe to their tiers, files and what they stand on
    /// come to rest, the database writes its log back and closes, Redis is let go of. Caches, database and backup answer `Closed` then; files are not to be used any more,
    /// for the data directory may be somebody else's.
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
        #[cfg(feature = "backup")]
        note("backup", inner.backup.close(left()).await);
        #[cfg(feature = "cache")]
        note("cache", inner.caches.close(left()).await);
        #[cfg(feature = "files")]
        note("files", inner.files.close(left()).await);
        // What parts stand on, the uppermost first.
        for (part, closer) in inner.attached.closers.iter().rev() {
            note(part, closer.close(left()).await);
        }
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        if let Some(database) = &inner.database {
            note("database", database.close(left()).await);
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = &inner.redis {
            note("redis", redis.close(left()).await);
        }
        note("tasks", inner.tasks.close(left()).await);
        // A part that may still write keeps the directory from being opened, until the last handle is dropped.
        if first.is_ok() {
            inner.data.release();
        }
        first
    }
}
