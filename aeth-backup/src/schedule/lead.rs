//! One leader among several processes.

use aeth_core::coord::{LeaderLock, Leadership};
use aeth_core::{Clock, ErrorKind, Result};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A leadership that is kept up while work is done under it; `None` where none is needed.
pub(super) struct Lead {
    held: Option<Box<dyn Leadership>>,
    ttl: Duration,
    clock: Arc<dyn Clock>,
}

impl Lead {
    /// Becomes the leader; `None` when another is.
    pub(super) async fn acquire(
        lock: Option<&Arc<dyn LeaderLock>>,
        name: &str,
        ttl: Duration,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>> {
        let clock = Arc::clone(clock);
        let Some(lock) = lock else { return Ok(Some(Self { held: None, ttl, clock })) };
        let held = lock.try_acquire(name, ttl).await?;
        Ok(held.map(|held| Self { held: Some(held), ttl, clock }))
    }

    /// Does `work`, and cancels `token` as soon as the leadership is lost.
    pub(super) async fn keep<T>(&self, token: CancellationToken, mut work: BoxFuture<'_, T>) -> T {
        let Some(held) = &self.held else { return work.await };
        let mut silent = Duration::ZERO;
        let pause = self.ttl / 3;
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.clock.sleep(pause) => {}
            }
            match held.renew().await {
                Ok(()) => silent = Duration::ZERO,
                Err(error) => {
                    silent += pause;
                    if error.kind() == ErrorKind::Precondition || silent >= self.ttl {
                        tracing::warn!(%error, "the leadership of a backup schedule is lost");
                        token.cancel();
                        return work.await;
                    }
                }
            }
        }
    }

    pub(super) async fn release(self) {
        if let Some(held) = self.held
            && let Err(error) = held.release().await
        {
            tracing::debug!(%error, "a leadership ends by itself");
        }
    }
}
