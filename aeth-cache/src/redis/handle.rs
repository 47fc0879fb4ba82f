//! The handle from which everything is made.

use super::backplane::RedisBackplane;
use super::leader::RedisLeaderLock;
use super::link::Link;
use super::names::Names;
use super::options::RedisOptions;
use super::tier::RedisTier;
use aeth_core::{Clock, Lifecycle, Result, async_trait};
use std::sync::Arc;
use std::time::Duration;

/// A Redis server, set of Sentinels, or cluster. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Redis {
    pub(super) link: Arc<Link>,
    pub(super) names: Names,
}

impl Redis {
    /// Takes the options; the first call connects.
    ///
    /// # Errors
    /// `Invalid` for an address, prefix or limit that cannot be, and for a password that is not text;
    /// `Unsupported` for `rediss://` without the feature `redis-tls`. Each names the setting.
    pub fn open(options: RedisOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let names = Names::new(&options.prefix);
        Ok(Self { link: Link::new(options, clock)?, names })
    }

    /// Connects (if there is no connection) and asks whether the server is there.
    ///
    /// # Errors
    /// Why it is not: `Unavailable`, `Timeout`, `Denied`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn ping(&self) -> Result<()> {
        self.link.ask(redis::cmd("PING")).await.map(drop).map_err(|error| error.with_operation("ping"))
    }

    /// The cache tier. Take one and share it: each gathers look-ups and counts by itself.
    #[must_use]
    pub fn tier(&self) -> RedisTier {
        RedisTier::new(Arc::clone(&self.link), self.names.clone())
    }

    /// The backplane, for a node of its own.
    #[must_use]
    pub fn backplane(&self) -> RedisBackplane {
        RedisBackplane::new(Arc::clone(&self.link), self.names.clone())
    }

    /// The leader lock.
    #[must_use]
    pub fn leader_lock(&self) -> RedisLeaderLock {
        RedisLeaderLock::new(Arc::clone(&self.link), self.names.clone())
    }
}

#[async_trait]
impl Lifecycle for Redis {
    async fn close(&self, deadline: Duration) -> Result<()> {
        self.link.close();
        self.link.tasks.close(deadline).await
    }
}
