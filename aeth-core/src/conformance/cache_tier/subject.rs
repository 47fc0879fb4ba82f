//! The tier under test.

use crate::cache::{
    CacheTier, CacheTierExt, Entry, LeaseLookup, LeaseToken, Lookup, PutOutcome, TierCapability,
};
use crate::conformance::Breach;
use crate::conformance::law::Subject;
use crate::{Clock, ClockExt, Key, Namespace};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long an entry lasts that must not end during a law, in milliseconds.
const LONG: u64 = 3_600_000;

/// A lease that must not run out during a law.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// A tier, and how it is tested.
#[derive(Clone)]
pub struct TierSubject {
    pub(super) tier: Arc<dyn CacheTier>,
    pub(super) other: Option<Arc<dyn CacheTier>>,
    pub(super) rounds: usize,
    clock: Arc<dyn Clock>,
    advance: Option<Arc<dyn Fn(Duration) + Send + Sync>>,
    run: u32,
    law: &'static str,
}

type Checked<T> = Result<T, Breach>;

impl TierSubject {
    /// Tests `tier`, which reads the time from `clock`, in random namespaces, with 24 rounds in laws about
    /// chance.
    #[must_use]
    pub fn new(tier: impl CacheTier, clock: Arc<dyn Clock>) -> Self {
        Self {
            tier: Arc::new(tier),
            other: None,
            rounds: 24,
            clock,
            advance: None,
            run: fastrand::u32(..),
            law: "",
        }
    }

    /// Lets time pass by calling `advance` instead of by waiting: for a clock that the test owns.
    #[must_use]
    pub fn with_advance(mut self, advance: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        self.advance = Some(Arc::new(advance));
        self
    }

    /// Another handle on the same entries, as another process would have.
    #[must_use]
    pub fn with_other(mut self, other: impl CacheTier) -> Self {
        self.other = Some(Arc::new(other));
        self
    }

    /// Sets the number of rounds of laws that are about chance; at least 1.
    #[must_use]
    pub fn with_rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds.max(1);
        self
    }

    /// Skips the law unless the tier claims the capability.
    pub(super) fn needs(&self, capability: TierCapability) -> Checked<()> {
        if self.tier.capabilities().has(capability) {
            return Ok(());
        }
        Err(Breach::Skipped(format!("{capability:?} is not claimed")))
    }

    /// The handles that laws about concurrency use in turn.
    pub(super) fn handle(&self, turn: usize) -> Arc<dyn CacheTier> {
        match &self.other {
            Some(other) if turn % 2 == 1 => Arc::clone(other),
            _ => Arc::clone(&self.tier),
        }
    }

    /// A namespace of this law's own.
    pub(super) fn space(&self, name: &str) -> Checked<Namespace> {
        let mut text = format!("{:08x}-{name}-{}", self.run, self.law);
        text.truncate(Namespace::MAX_LEN);
        Ok(Namespace::new(text)?)
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now(&self) -> u64 {
        self.clock.unix_millis()
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, time: Duration) {
        match &self.advance {
            Some(advance) => advance(time),
            None => self.clock.sleep(time).await,
        }
    }

    /// An entry that outlasts the law.
    pub(super) fn entry(&self, value: impl Into<Bytes>) -> Entry {
        let now = self.now();
        Entry::new(value, now, now + LONG)
    }

    pub(super) async fn put(&self, space: &Namespace, name: &str, entry: Entry) -> Checked<PutOutcome> {
        Ok(self.tier.put(space, key(name)?, entry).await?)
    }

    /// Puts and demands that it is stored.
    pub(super) async fn store(&self, space: &Namespace, name: &str, entry: Entry) -> Checked<()> {
        match self.put(space, name, entry).await? {
            PutOutcome::Stored => Ok(()),
            outcome => Err(Breach::Failed(format!("a put of {name:?} was {outcome:?}"))),
        }
    }

    /// The value under a key; `None` for a miss.
    pub(super) async fn value(&self, space: &Namespace, name: &str) -> Checked<Option<Bytes>> {
        Ok(found(name, self.tier.get(space, &key(name)?).await)?.map(|entry| entry.value))
    }

    /// Demands a hit with this value.
    pub(super) async fn hit(&self, what: &str, space: &Namespace, name: &str, value: &[u8]) -> Checked<()> {
        match self.value(space, name).await? {
            Some(found) if found == value => Ok(()),
            Some(found) => Err(Breach::Failed(format!(
                "{what}: {name:?} gives {} bytes that are not those put",
                found.len()
            ))),
            None => Err(Breach::Failed(format!("{what}: {name:?} is a miss"))),
        }
    }

    /// Demands a miss.
    pub(super) async fn miss(&self, what: &str, space: &Namespace, name: &str) -> Checked<()> {
        match self.value(space, name).await? {
            None => Ok(()),
            Some(_) => Err(Breach::Failed(format!("{what}: {name:?} is a hit"))),
        }
    }

    /// Looks one key up with a lease.
    pub(super) async fn ask(&self, space: &Namespace, name: &str, ttl: Duration) -> Checked<LeaseLookup> {
        let mut answers = self.tier.get_or_lease_many(space, &[key(name)?], ttl).await;
        match (answers.pop(), answers.is_empty()) {
            (Some(answer), true) => Ok(answer),
            _ => Err(Breach::Failed("a look-up of one key with lease gives not one answer".into())),
        }
    }

    /// Demands that a lease is granted.
    pub(super) async fn granted(
        &self,
        what: &str,
        space: &Namespace,
        name: &str,
        ttl: Duration,
    ) -> Checked<LeaseToken> {
        match self.ask(space, name, ttl).await? {
            LeaseLookup::Granted(token) => Ok(token),
            other => Err(Breach::Failed(format!("{what}: the lease of {name:?} is not granted: {other:?}"))),
        }
    }
}

/// The key with this text.
pub(super) fn key(name: &str) -> Checked<Key> {
    Ok(Key::new(name)?)
}

/// The entry of an answer; an outage breaks the law.
pub(super) fn found(what: &str, answer: Lookup) -> Checked<Option<Entry>> {
    match answer {
        Lookup::Hit(entry) => Ok(Some(entry)),
        Lookup::Miss => Ok(None),
        Lookup::Unavailable(error) => {
            Err(Breach::Failed(format!("{what}: the tier does not answer: {error}")))
        }
    }
}

impl fmt::Debug for TierSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TierSubject").field("tier", &self.tier).finish_non_exhaustive()
    }
}

impl Subject for TierSubject {
    fn label(&self) -> String {
        self.tier.name().into_owned()
    }

    fn scoped(&self, law: &'static str) -> Self {
        Self { law, ..self.clone() }
    }

    fn clean_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for name in ["a", "b"] {
                if let Ok(space) = self.space(name) {
                    // Best effort: every law has namespaces of its own.
                    drop(self.tier.clear(&space).await);
                }
            }
        })
    }
}
