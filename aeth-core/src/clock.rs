//! Injected time.
//!
//! Nothing in the family reads the time on its own: it asks a [`Clock`], so that tests and simulations own it.

use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of wall-clock time, monotonic time and sleep.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall-clock time. It may step in either direction; never measure a duration with it.
    fn now(&self) -> SystemTime;

    /// Time since an arbitrary, fixed origin. Never steps back.
    fn monotonic(&self) -> Duration;

    /// Waits for `duration` of this clock's monotonic time.
    ///
    /// # Cancel safety
    /// Cancel-safe: dropping the future ends the wait.
    async fn sleep(&self, duration: Duration);
}

/// Conveniences over every [`Clock`].
pub trait ClockExt: Clock {
    /// Milliseconds since the Unix epoch; 0 before it.
    fn unix_millis(&self) -> u64 {
        self.now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Runs `future` for at most `limit`.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) when the limit passes first; `future` is then dropped.
    ///
    /// # Cancel safety
    /// As cancel-safe as `future`.
    fn timeout<F>(&self, limit: Duration, future: F) -> impl Future<Output = crate::Result<F::Output>> + Send
    where
        F: Future + Send,
    {
        async move {
            let sleep = self.sleep(limit);
            futures_util::pin_mut!(future, sleep);
            match futures_util::future::select(future, sleep).await {
                futures_util::future::Either::Left((output, _)) => Ok(output),
                futures_util::future::Either::Right(_) => {
                    Err(crate::Error::timeout(format!("no answer within {limit:?}")))
                }
            }
        }
    }
}

impl<C: Clock + ?Sized> ClockExt for C {}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one place where the machine's time is read")]
    pub fn new() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// The same, shared.
    #[must_use]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place where the machine's time is read")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
