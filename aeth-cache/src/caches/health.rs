//! The health of the cache.

use super::Caches;
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, Lookup};
use aeth_core::coord::NodeId;
use aeth_core::observe::{Health, HealthCheck, Status};
use aeth_core::{ClockExt, Error, Key, Namespace, Result, async_trait};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

/// How long the probe of the tiers may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Probes write here: the leading dot keeps out of the way of the names that hosts choose.
static PROBES: LazyLock<Result<Namespace, aeth_core::InvalidName>> =
    LazyLock::new(|| Namespace::new(".health"));

impl Caches {
    /// Puts, gets and removes one entry.
    async fn probe(&self, tier: &dyn CacheTier) -> Result<()> {
        let namespace = PROBES.clone()?;
        let now = self.shared.coarse.clock().unix_millis();
        let key = Key::new(NodeId::random().get().to_le_bytes())?;
        let value = Bytes::copy_from_slice(key.as_bytes());
        tier.put(&namespace, key.clone(), Entry::new(value.clone(), now, now + 60_000)).await?;
        let found = tier.get(&namespace, &key).await;
        tier.remove(&namespace, &key).await?;
        match found {
            Lookup::Hit(entry) if entry.value == value => Ok(()),
            Lookup::Hit(_) => Err(Error::corrupt("the tier gave back other bytes than were put")),
            Lookup::Unavailable(error) => Err(error),
            // A tier may drop any entry at any time.
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl HealthCheck for Caches {
    fn component(&self) -> Cow<'_, str> {
        "cache".into()
    }

    /// Down when closed; degraded when a lower tier does not answer (L1 and the loaders still work) or removals
    /// wait for it.
    async fn check(&self) -> Health {
        let shared = &self.shared;
        let clock = shared.coarse.clock();
        let began = clock.monotonic();
        let pending = shared.recovery.len();
        let health = if shared.is_closed() {
            Health::down("the cache is closed")
        } else if let Some(tier) = &shared.lower {
            match clock.timeout(LIMIT, self.probe(&**tier)).await {
                Ok(Ok(())) if pending > 0 => {
                    Health::degraded(format!("{pending} removals wait to be sent to the lower tiers"))
                }
                Ok(Ok(())) => Health::up(),
                Ok(Err(error)) | Err(error) => {
                    let mut health = Health::from(&error);
                    health.status = Status::Degraded;
                    health
                }
            }
        } else {
            Health::up()
        };
        #[allow(clippy::cast_precision_loss, reason = "figures for people")]
        let (weight, budget) = (shared.l1.weight() as f64, shared.l1.budget() as f64);
        health
            .with_latency(clock.monotonic().saturating_sub(began))
            .with_observed("memory", weight, "bytes")
            .with_observed("memory_budget", budget, "bytes")
    }
}
