//! Listening to others.

use super::{CHANNEL, News};
use crate::caches::Shared;
use crate::space::Space;
use aeth_core::cache::{CacheTier, TierCapability};
use aeth_core::coord::{Backplane, BackplaneEvent};
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// Ends when the last handle on the caches is gone.
pub(super) type Gone = tokio::sync::watch::Receiver<()>;

/// Follows the channel until the caches or the backplane are gone.
pub(super) async fn run(weak: Weak<Shared>, backplane: Arc<dyn Backplane>, mut gone: Gone) {
    let Ok(mut events) = backplane.subscribe(CHANNEL).await else { return };
    let me = backplane.node();
    while let Some(event) = next(&mut events, &mut gone).await {
        let Some(shared) = weak.upgrade() else { return };
        let connected = |yes| {
            if let Some(coherence) = &shared.coherence {
                coherence.connected.store(yes, Ordering::Release);
            }
        };
        match event {
            BackplaneEvent::Message(message) if message.origin == me => {}
            BackplaneEvent::Message(message) => match News::decode(message.payload) {
                Some(news) => shared.hear(&news).await,
                None => shared.doubt().await,
            },
            // What was loaded before may have changed unheard.
            BackplaneEvent::Connected => {
                connected(true);
                shared.doubt().await;
            }
            BackplaneEvent::Gap => shared.doubt().await,
            BackplaneEvent::Disconnected => connected(false),
            _ => shared.doubt().await,
        }
    }
}

/// The next event; `None` when there will be none, or when nobody is left to hear of it.
pub(super) async fn next<T>(events: &mut BoxStream<'static, T>, gone: &mut Gone) -> Option<T> {
    tokio::select! {
        event = events.next() => event,
        _ = gone.changed() => None,
    }
}

impl Shared {
    /// The tiers that only this process sees.
    fn private_tiers(&self) -> Vec<&Arc<dyn CacheTier>> {
        self.parts().into_iter().filter(|part| !part.capabilities().has(TierCapability::Shared)).collect()
    }

    /// Another process changed something.
    async fn hear(&self, news: &News) {
        let space = self.space(news.namespace());
        // Before and after the private tiers: what is read from them in between must not stay.
        if let Some(space) = &space {
            space.hear(news);
        }
        for tier in self.private_tiers() {
            let result = match news {
                News::Keys(namespace, keys) => tier.remove_many(namespace, keys).await,
                News::Tags(namespace, tags) if tier.capabilities().has(TierCapability::Tags) => {
                    tier.invalidate_tags(namespace, tags).await
                }
                News::Tags(namespace, _) | News::All(namespace) => tier.clear(namespace).await,
            };
            if let Err(error) = result {
                tracing::warn!(tier = %tier.name(), %error, "a tier did not take a change by another process");
            }
        }
        if let Some(space) = &space {
            space.hear(news);
        }
    }

    /// Changes may have gone unheard: the decoded copies are stale, those of private tiers are dropped, because a
    /// tier cannot tell its readers that it doubts.
    async fn doubt(&self) {
        for space in self.spaces() {
            space.mark_gap();
            for tier in self.private_tiers() {
                if let Err(error) = tier.clear(&space.name).await {
                    tracing::warn!(tier = %tier.name(), %error, "a tier could not be cleared after lost messages");
                }
            }
            space.mark_gap();
        }
    }
}

impl Space {
    pub(super) fn hear(&self, news: &News) {
        match news {
            News::Keys(_, keys) => {
                for key in keys {
                    self.shared.l1.remove(&self.key(key.as_bytes()));
                }
            }
            News::Tags(_, tags) => self.marks.invalidate(tags),
            News::All(_) => {
                self.begin_clear();
                let epochs = self.epochs();
                self.shared.l1.sweep(self.id, |slot| slot.epochs.clears() == epochs.clears());
            }
        }
    }
}
