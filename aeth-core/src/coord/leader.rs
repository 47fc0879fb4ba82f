//! One among many.

use crate::Result;
use async_trait::async_trait;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A lock by which one node of a fleet, or one process of a host, becomes the leader for a name.
#[async_trait]
pub trait LeaderLock: fmt::Debug + Send + Sync + 'static {
    /// A short label for messages and metrics.
    fn name(&self) -> Cow<'_, str>;

    /// Becomes the leader for `name` if nobody is; `None` when somebody is.
    ///
    /// `ttl` is how long the leadership lasts without a renewal, where the engine cannot notice that a leader
    /// died; engines that can (a file lock, a database session) end it at once.
    ///
    /// # Errors
    /// `Invalid` for an empty name; `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// The leadership may have been taken for nobody; it ends after `ttl`.
    async fn try_acquire(&self, name: &str, ttl: Duration) -> Result<Option<Box<dyn Leadership>>>;
}

/// A leadership that is held. Dropping it gives it up as soon as the engine notices, at the latest after its
/// ttl.
#[async_trait]
pub trait Leadership: fmt::Debug + Send + Sync {
    /// The fencing number: greater than that of every earlier leader for the name. Whatever the leader writes
    /// to carries it, and a receiver that has seen a greater one refuses it.
    fn fencing(&self) -> u64;

    /// Makes it last for another ttl.
    ///
    /// # Errors
    /// `Precondition` when it was lost: stop at once. `Unavailable` and `Timeout`: unknown.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn renew(&self) -> Result<()>;

    /// Gives it up.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout`; it then ends after its ttl.
    ///
    /// # Cancel safety
    /// Whether it was given up is unknown.
    async fn release(self: Box<Self>) -> Result<()>;
}
