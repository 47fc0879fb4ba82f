//! A subscription.

use super::{CacheEvent, Events};
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use std::fmt;
use std::sync::Weak;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// What happens in the caches from the moment of [`Caches::events`](crate::Caches::events) on, in order.
///
/// It holds at most 4,096 events that were not taken yet; older ones are lost, and
/// [`CacheEvent::Missed`] tells how many. Nobody ever waits for a subscriber.
pub struct CacheEvents {
    receiver: Receiver<CacheEvent>,
    kinds: u32,
    events: Weak<Events>,
}

impl CacheEvents {
    pub(super) fn new(receiver: Receiver<CacheEvent>, kinds: u32, events: Weak<Events>) -> Self {
        Self { receiver, kinds, events }
    }

    /// The next event; `None` when the caches are gone.
    ///
    /// # Cancel safety
    /// Cancel-safe: no event is lost.
    pub async fn next(&mut self) -> Option<CacheEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) if event.kind().is_none_or(|kind| self.kinds & kind.bit() != 0) => {
                    return Some(event);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(lost)) => return Some(CacheEvent::Missed(lost)),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The same as a stream.
    #[must_use]
    pub fn into_stream(self) -> BoxStream<'static, CacheEvent> {
        futures_util::stream::unfold(self, |mut events| async move {
            events.next().await.map(|event| (event, events))
        })
        .boxed()
    }
}

impl Drop for CacheEvents {
    fn drop(&mut self) {
        if let Some(events) = self.events.upgrade() {
            events.unsubscribe(self.kinds);
        }
    }
}

impl fmt::Debug for CacheEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheEvents").field("waiting", &self.receiver.len()).finish_non_exhaustive()
    }
}
