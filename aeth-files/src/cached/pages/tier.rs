//! Pages in a cache tier.

use super::{PageKey, Pages};
use aeth_core::cache::{CacheTier, CacheTierExt, Entry};
use aeth_core::{Clock, ClockExt, Key, Namespace};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// How long the tier may take before it counts as away: the store below is asked instead.
const PATIENCE: Duration = Duration::from_secs(2);

/// Pages as entries of a namespace.
#[derive(Debug)]
pub(in crate::cached) struct TierPages {
    tier: Arc<dyn CacheTier>,
    namespace: Namespace,
    ttl: Duration,
    clock: Arc<dyn Clock>,
}

impl TierPages {
    pub(in crate::cached) fn new(
        tier: Arc<dyn CacheTier>,
        namespace: Namespace,
        ttl: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { tier, namespace, ttl, clock }
    }
}

#[async_trait]
impl Pages for TierPages {
    async fn get_many(&self, keys: &[PageKey]) -> Vec<Option<Bytes>> {
        let names: Vec<Key> = keys.iter().filter_map(|key| Key::new(key.bytes()).ok()).collect();
        let looked = self.clock.timeout(PATIENCE, self.tier.get_many(&self.namespace, &names)).await;
        let now = self.clock.unix_millis();
        match looked {
            Ok(found) if found.len() == keys.len() => {
                let usable = |entry: &Entry| entry.is_usable(now);
                found.into_iter().map(|look| look.hit().filter(usable).map(|entry| entry.value)).collect()
            }
            _ => vec![None; keys.len()],
        }
    }

    async fn put(&self, key: PageKey, kept: Bytes) {
        let Ok(name) = Key::new(key.bytes()) else { return };
        let now = self.clock.unix_millis();
        let ttl = u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX);
        // A page never becomes stale: its name has the mark of its state.
        let entry = Entry::new(kept, now, now.saturating_add(ttl));
        let put = self.clock.timeout(PATIENCE, self.tier.put(&self.namespace, name, entry)).await;
        if let Err(error) = put.and_then(|put| put) {
            tracing::debug!(%error, tier = %self.tier.name(), "a page could not be kept");
        }
    }

    fn size(&self) -> Option<u64> {
        self.tier.statistics().bytes
    }
}
