//! What nodes tell each other: which blobs were written.

use super::known::Index;
use aeth_core::coord::{Backplane, BackplaneEvent, NodeId};
use aeth_core::{BlobPath, Clock, ClockExt, Result, Tasks};
use bytes::Bytes;
use futures_util::StreamExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How many paths a message may name; more mean everything.
const MOST: usize = 256;
/// How long a message may take to be sent.
const PATIENCE: Duration = Duration::from_secs(5);

/// The channel of one cached store.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    plane: Arc<dyn Backplane>,
    channel: Arc<str>,
    clock: Arc<dyn Clock>,
    /// Whether a message was not sent, so that the next one must say that anything may have been written.
    unsent: Arc<AtomicBool>,
}

/// What a message says: these blobs were written, and whether the writes may still take effect.
type Words = (bool, Vec<BlobPath>);

impl Peers {
    pub(super) fn new(plane: Arc<dyn Backplane>, name: &str, clock: Arc<dyn Clock>) -> Self {
        Self { plane, channel: format!("aeth-files.cached.{name}").into(), clock, unsent: Arc::default() }
    }

    /// Says that these blobs were written. What cannot be said is a gap to the others once something else is, and
    /// until then they are as stale as they allow.
    pub(super) async fn tell(&self, paths: Vec<BlobPath>, open: bool) {
        let behind = self.unsent.swap(false, Relaxed);
        let words: Words = (open, if behind || paths.len() > MOST { Vec::new() } else { paths });
        let Ok(payload) = serde_json::to_vec(&words) else { return };
        let published = self.plane.publish(&self.channel, Bytes::from(payload));
        if let Err(error) = self.clock.timeout(PATIENCE, published).await.and_then(|sent| sent) {
            self.unsent.store(true, Relaxed);
            tracing::warn!(%error, "other nodes could not be told of a write");
        }
    }

    /// Listens from now on, until the owner of the tasks closes them or nobody has the index any more.
    ///
    /// # Errors
    /// Those of the backplane.
    pub(super) async fn listen(&self, index: &Arc<Index>, tasks: &Tasks) -> Result<()> {
        let events = self.plane.subscribe(&self.channel).await?;
        // Until the subscription stands, nothing arrives.
        index.distrust();
        let (index, own, clock) = (Arc::downgrade(index), self.plane.node(), Arc::clone(&self.clock));
        drop(tasks.spawn_until_closed(async move {
            let mut events = events;
            while let Some(event) = events.next().await {
                if !hear(&index, own, &*clock, event) {
                    return;
                }
            }
            if let Some(index) = index.upgrade() {
                index.distrust();
            }
        }));
        Ok(())
    }
}

/// Acts upon an event; false when nobody is interested any more.
fn hear(index: &Weak<Index>, own: NodeId, clock: &dyn Clock, event: BackplaneEvent) -> bool {
    let Some(index) = index.upgrade() else { return false };
    match event {
        BackplaneEvent::Message(message) if message.origin == own => {}
        BackplaneEvent::Message(message) => match serde_json::from_slice::<Words>(&message.payload) {
            Ok((open, paths)) if !paths.is_empty() => {
                for path in &paths {
                    if open {
                        index.doubt(path, clock.monotonic());
                    }
                    index.changed(path);
                }
            }
            // Everything, or words of a newer version.
            _ => index.forget_all(),
        },
        BackplaneEvent::Connected => index.trust(),
        BackplaneEvent::Disconnected => index.distrust(),
        // A gap, and whatever else there will be.
        _ => index.forget_all(),
    }
    true
}
