//! Changes that could not reach the lower tiers, and are made up for when they answer again.
//!
//! Only removals are replayed: a put that failed becomes the removal of its key, because replaying the value
//! could overwrite a newer one. What waits here also hides the old entries from this process, should the tiers
//! answer reads before the removals have reached them. An answer that was on its way while a removal reached the
//! tiers may be older than it: whoever reads notes how many replays had ended before ([`Recovery::ended`]).

use crate::events::{CacheEvent, EventKind, Events};
use crate::guard::{timed, urgent};
use aeth_core::cache::CacheTier;
use aeth_core::{Clock, Key, Namespace, Result, Tag, Tasks};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Removals kept for one namespace. Beyond it the whole namespace is cleared instead.
const LIMIT: usize = 65_536;
const BATCH: usize = 512;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const CALL: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Waiting {
    /// With the number of the request: one that comes while its like is on its way is sent again.
    keys: HashMap<Key, u64>,
    tags: HashMap<Tag, u64>,
    clear: Option<u64>,
}

impl Waiting {
    fn len(&self) -> usize {
        self.keys.len() + self.tags.len() + usize::from(self.clear.is_some())
    }

    fn overflow(&mut self, number: u64) {
        if self.keys.len() + self.tags.len() > LIMIT {
            *self = Self { clear: Some(number), ..Self::default() };
        }
    }
}

/// The queue, deduplicated and bounded.
#[derive(Debug)]
pub(crate) struct Recovery {
    waiting: Mutex<HashMap<Namespace, Waiting>>,
    count: AtomicUsize,
    numbers: AtomicU64,
    ended: AtomicU64,
    running: AtomicBool,
    tier: Option<Arc<dyn CacheTier>>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    events: Arc<Events>,
}

/// Some of what waits, taken to be replayed.
struct Part {
    namespace: Namespace,
    keys: Vec<Key>,
    tags: Vec<Tag>,
    clear: bool,
    /// Requests up to this number are in it.
    number: u64,
}

impl Recovery {
    pub(crate) fn new(
        tier: Option<Arc<dyn CacheTier>>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        events: Arc<Events>,
    ) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            count: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            running: AtomicBool::new(false),
            tier,
            clock,
            tasks,
            events,
        })
    }

    /// How many removals wait.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn removal(self: &Arc<Self>, namespace: &Namespace, key: Key) {
        self.add(namespace, |waiting, number| {
            waiting.keys.insert(key, number);
        });
    }

    pub(crate) fn tags(self: &Arc<Self>, namespace: &Namespace, tags: &[Tag]) {
        self.add(namespace, |waiting, number| {
            waiting.tags.extend(tags.iter().map(|tag| (tag.clone(), number)));
        });
    }

    pub(crate) fn clear(self: &Arc<Self>, namespace: &Namespace) {
        self.add(namespace, |waiting, number| {
            *waiting = Waiting { clear: Some(number), ..Waiting::default() };
        });
    }

    fn add(self: &Arc<Self>, namespace: &Namespace, change: impl FnOnce(&mut Waiting, u64)) {
        {
            let mut all = self.waiting.lock();
            let waiting = all.entry(namespace.clone()).or_default();
            // Under the lock, so that numbers are in the order of the requests.
            let number = self.numbers.fetch_add(1, Ordering::AcqRel) + 1;
            match &mut waiting.clear {
                // The clear may be on its way already, and ahead of this change.
                Some(clear) => *clear = number,
                None => {
                    change(waiting, number);
                    waiting.overflow(number);
                }
            }
            self.recount(&all);
        }
        self.start();
    }

    fn recount(&self, all: &HashMap<Namespace, Waiting>) {
        self.count.store(all.values().map(Waiting::len).sum(), Ordering::Release);
    }

    /// How many replays have ended. An entry that was asked for before the last one may be older than what was
    /// replayed, although nothing covers it any more.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// True when the entry is one that a waiting removal is about.
    pub(crate) fn covers(&self, namespace: &Namespace, key: &[u8], tags: &[Tag]) -> bool {
        if self.len() == 0 {
            return false;
        }
        let all = self.waiting.lock();
        all.get(namespace).is_some_and(|waiting| {
            waiting.clear.is_some()
                || waiting.keys.contains_key(key)
                || tags.iter().any(|tag| waiting.tags.contains_key(tag))
        })
    }

    fn start(self: &Arc<Self>) {
        // Every change comes from an asynchronous call; without a runtime the next one that has one starts it.
        if tokio::runtime::Handle::try_current().is_err() || self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let recovery = Arc::clone(self);
        drop(self.tasks.spawn_until_closed(async move { recovery.run().await }));
    }

    async fn run(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.clock.sleep(pause).await;
            pause = if self.replay().await { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            if self.len() == 0 {
                self.running.store(false, Ordering::Release);
                // Something may have come between the look and the store.
                if self.len() == 0 || self.running.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        }
    }

    /// Replays what waits until it is done (true) or fails.
    pub(crate) async fn replay(&self) -> bool {
        let Some(tier) = &self.tier else { return true };
        while let Some(part) = self.part() {
            // It is the probe that finds out that a tier is back: no breaker refuses it.
            let sent = Box::pin(urgent(Self::send(&**tier, &part)));
            match timed(&*self.clock, CALL, sent).await {
                Ok(Ok(())) => self.done(&part),
                Ok(Err(error)) | Err(error) => {
                    tracing::debug!(namespace = %part.namespace, %error, "removals wait for the lower tiers");
                    return false;
                }
            }
        }
        true
    }

    async fn send(tier: &dyn CacheTier, part: &Part) -> Result<()> {
        if part.clear {
            tier.clear(&part.namespace).await?;
        }
        if !part.tags.is_empty() {
            tier.invalidate_tags(&part.namespace, &part.tags).await?;
        }
        if !part.keys.is_empty() {
            tier.remove_many(&part.namespace, &part.keys).await?;
        }
        Ok(())
    }

    fn part(&self) -> Option<Part> {
        let all = self.waiting.lock();
        let (namespace, waiting) = all.iter().find(|(_, waiting)| waiting.len() > 0)?;
        Some(Part {
            namespace: namespace.clone(),
            keys: waiting.keys.keys().take(BATCH).cloned().collect(),
            tags: waiting.tags.keys().take(BATCH).cloned().collect(),
            clear: waiting.clear.is_some(),
            number: self.numbers.load(Ordering::Acquire),
        })
    }

    fn done(&self, part: &Part) {
        // Before anything is uncovered: see `ended`.
        self.ended.fetch_add(1, Ordering::AcqRel);
        let mut all = self.waiting.lock();
        if let Some(waiting) = all.get_mut(&part.namespace) {
            let sent = |number: &u64| *number <= part.number;
            for key in &part.keys {
                if waiting.keys.get(key).is_some_and(sent) {
                    waiting.keys.remove(key);
                }
            }
            for tag in &part.tags {
                if waiting.tags.get(tag).is_some_and(sent) {
                    waiting.tags.remove(tag);
                }
            }
            if part.clear {
                waiting.clear = waiting.clear.filter(|number| !sent(number));
            }
            if waiting.len() == 0 {
                all.remove(&part.namespace);
            }
        }
        self.recount(&all);
        self.events.tell(EventKind::Recovery, || {
            let sent = part.keys.len() + part.tags.len() + usize::from(part.clear);
            Some(CacheEvent::Recovery { namespace: part.namespace.clone(), sent, pending: self.len() })
        });
    }
}
