//! Background work with an owner.

use crate::{Error, ErrorKind, Result};
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The background tasks of one component: spawned through it, told to stop by its token, awaited on close.
///
/// Cheap to clone; all clones are the same group. Nothing is cancelled by dropping it, so that a component
/// may hand its tasks to a longer-lived owner.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Tasks {
    /// A new, empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A group of its own that is told to stop when this one is.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { tracker: TaskTracker::new(), token: self.token.child_token() }
    }

    /// The token that tells the tasks to stop; long jobs watch it.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// True once [`Tasks::close`] or [`Tasks::cancel`] was called.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Spawns work that runs to its end even when the group closes; close waits for it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[allow(clippy::disallowed_methods, reason = "this is the one place where tasks are spawned")]
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(work)
    }

    /// Spawns work that is dropped at its next await point when the group closes: `None` is its result then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn_until_closed<F>(&self, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let token = self.token.clone();
        self.spawn(async move { token.run_until_cancelled(work).await })
    }

    /// Runs blocking work on the runtime's blocking threads; close waits for it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking(work)
    }

    /// Tells the tasks to stop, without waiting.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Tells the tasks to stop and waits for them.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when some still run after `deadline`; they go on in the background.
    ///
    /// # Cancel safety
    /// Cancel-safe: the tasks have been told to stop, and the call may be repeated.
    pub async fn close(&self, deadline: Duration) -> Result<()> {
        self.token.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.map_err(|_| {
            Error::new(
                ErrorKind::Timeout,
                format!("{} tasks still run after {deadline:?}", self.tracker.len()),
            )
            .with_operation("close")
        })
    }
}
