//! One among many, by a key that expires.

use super::error::{self, COMPONENT};
use super::link::{Link, number};
use super::lookup::millis;
use super::names::Names;
use super::script::{ACQUIRE, RELEASE, RENEW, Run};
use aeth_core::coord::{LeaderLock, Leadership};
use aeth_core::{Error, ErrorKind, Result, async_trait};
use redis::Value;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// A leader lock on one Redis; made by [`Redis::leader_lock`](super::Redis::leader_lock).
///
/// It is as good as the server's memory: after a failover that lost the key two leaders may think that they are
/// one, until the older one renews. Their fencing numbers differ, and the newer one's is greater: it is at least
/// the server's time in microseconds, so that it grows even when the last one was lost.
#[derive(Debug, Clone)]
pub struct RedisLeaderLock {
    link: Arc<Link>,
    names: Names,
}

impl RedisLeaderLock {
    pub(super) fn new(link: Arc<Link>, names: Names) -> Self {
        Self { link, names }
    }
}

#[async_trait]
impl LeaderLock for RedisLeaderLock {
    fn name(&self) -> Cow<'_, str> {
        COMPONENT.into()
    }

    async fn try_acquire(&self, name: &str, ttl: Duration) -> Result<Option<Box<dyn Leadership>>> {
        if name.is_empty() {
            return Err(Error::invalid("the name of the lock is empty").with_component(COMPONENT));
        }
        let token = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..));
        let token = token.to_be_bytes().to_vec();
        let run = Run::new(&ACQUIRE)
            .key(self.names.leader(name))
            .key(self.names.fencing(name))
            .bytes(token.clone())
            .number(millis(ttl));
        let named = |error: Error| error.with_operation("try_acquire").with_key(name);
        let fencing = match self.link.ask(run).await.map_err(named)? {
            Value::Nil => return Ok(None),
            answer => number(&answer).ok_or_else(|| error::unexpected("try_acquire"))?,
        };
        let link = Arc::clone(&self.link);
        let lock = self.names.leader(name);
        Ok(Some(Box::new(Held { link, lock, token, ttl, fencing, over: AtomicBool::new(false) })))
    }
}

#[derive(Debug)]
struct Held {
    link: Arc<Link>,
    lock: Vec<u8>,
    token: Vec<u8>,
    ttl: Duration,
    fencing: u64,
    over: AtomicBool,
}

impl Held {
    fn giving_up(&self) -> Run {
        Run::new(&RELEASE).key(self.lock.clone()).bytes(self.token.clone())
    }
}

#[async_trait]
impl Leadership for Held {
    fn fencing(&self) -> u64 {
        self.fencing
    }

    async fn renew(&self) -> Result<()> {
        let run = Run::new(&RENEW).key(self.lock.clone()).bytes(self.token.clone()).number(millis(self.ttl));
        let answer = self.link.ask(run).await.map_err(|error| error.with_operation("renew"))?;
        if number(&answer) == Some(1) {
            return Ok(());
        }
        self.over.store(true, Relaxed);
        Err(Error::new(ErrorKind::Precondition, "the leadership was lost")
            .with_component(COMPONENT)
            .with_operation("renew")
            .with_remedy("stop what only a leader may do, and renew well before the ttl"))
    }

    async fn release(self: Box<Self>) -> Result<()> {
        self.over.store(true, Relaxed);
        self.link.ask(self.giving_up()).await.map(drop).map_err(|error| error.with_operation("release"))
    }
}

impl Drop for Held {
    /// Gives it up in the background, where there is a runtime; otherwise it ends after its ttl.
    fn drop(&mut self) {
        if self.over.load(Relaxed) || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (link, run) = (Arc::clone(&self.link), self.giving_up());
        drop(self.link.tasks.spawn(async move { drop(link.ask(run).await) }));
    }
}
