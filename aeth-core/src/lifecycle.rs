//! Components that must be closed.

use crate::Result;
use async_trait::async_trait;
use std::time::Duration;

/// A component with a lifetime: background work, buffered writes, connections.
#[async_trait]
pub trait Lifecycle: Send + Sync + 'static {
    /// Stops taking new work, finishes what was acknowledged, releases what is held.
    ///
    /// Idempotent: closing twice is success. After it, every operation fails with
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when the work could not be finished within
    /// `deadline`, naming what was left.
    ///
    /// # Cancel safety
    /// Not cancel-safe in the sense of undo: a close that was begun goes on; call it again to wait for it.
    async fn close(&self, deadline: Duration) -> Result<()>;
}
