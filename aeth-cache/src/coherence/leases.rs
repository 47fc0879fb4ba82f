//! Waiting for a lease of another process to end.
//!
//! Tiers that tell ([`TierCapability::LeaseEvents`]) wake who waits; who waits looks again by itself after a while
//! all the same, because a message may be lost.

use super::News;
use super::listen::{Gone, next};
use crate::caches::Shared;
use aeth_core::cache::{CacheTier, Invalidation, TierCapability};
use futures_core::stream::BoxStream;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// Those who wait for keys of one stripe are woken together and look again; few wait at a time.
const STRIPES: usize = 512;

#[derive(Default)]
struct Stripe {
    ends: AtomicU64,
    changed: Notify,
}

/// Who waits for what.
pub(crate) struct Leases {
    stripes: Box<[Stripe]>,
    told: bool,
    listening: AtomicBool,
}

/// How many leases of a stripe had ended when somebody looked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen(u64);

impl Leases {
    /// `told` says whether the tier whose leases count tells when they end.
    pub(crate) fn new(told: bool) -> Self {
        let stripes = (0..STRIPES).map(|_| Stripe::default()).collect();
        Self { stripes, told, listening: AtomicBool::new(false) }
    }

    /// Whether the ends of leases are told.
    pub(crate) fn are_told(&self) -> bool {
        self.told
    }

    fn stripe(&self, hash: u64) -> &Stripe {
        &self.stripes[usize::try_from((hash >> 36) % STRIPES as u64).unwrap_or(0)]
    }

    /// To be taken before the tier is asked: an end that comes right after its answer is not missed then.
    pub(crate) fn seen(&self, hash: u64) -> Seen {
        Seen(self.stripe(hash).ends.load(Ordering::Acquire))
    }

    /// Waits until a lease of the stripe has ended since.
    pub(crate) async fn ended(&self, hash: u64, seen: Seen) {
        let stripe = self.stripe(hash);
        loop {
            let changed = stripe.changed.notified();
            tokio::pin!(changed);
            // Before looking, so that no end is missed in between.
            changed.as_mut().enable();
            if stripe.ends.load(Ordering::Acquire) != seen.0 {
                return;
            }
            changed.await;
        }
    }

    fn end(&self, hash: u64) {
        let stripe = self.stripe(hash);
        stripe.ends.fetch_add(1, Ordering::AcqRel);
        stripe.changed.notify_waiters();
    }

    fn end_all(&self) {
        for stripe in &self.stripes {
            stripe.ends.fetch_add(1, Ordering::AcqRel);
            stripe.changed.notify_waiters();
        }
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("told", &self.told).finish_non_exhaustive()
    }
}

impl Shared {
    /// Begins to listen to what the tiers tell, at the first call that has a runtime.
    pub(crate) fn listen_to_tiers(self: &Arc<Self>) {
        if self.leases.listening.load(Ordering::Acquire)
            || tokio::runtime::Handle::try_current().is_err()
            || self.leases.listening.swap(true, Ordering::AcqRel)
        {
            return;
        }
        for tier in self.parts() {
            let changes = tier.capabilities().has(TierCapability::Push);
            if let Some(events) = tier.invalidations() {
                drop(self.tasks.spawn_until_closed(run(
                    Arc::downgrade(self),
                    events,
                    changes,
                    self.gone.clone(),
                )));
            }
        }
    }

    /// The lower tiers, each by itself.
    pub(super) fn parts(&self) -> Vec<&Arc<dyn CacheTier>> {
        match &self.stack {
            Some(stack) => stack.parts().iter().collect(),
            None => self.lower.iter().collect(),
        }
    }
}

/// Follows one tier until the caches or the tier are gone.
async fn run(
    weak: Weak<Shared>,
    mut events: BoxStream<'static, Invalidation>,
    changes: bool,
    mut gone: Gone,
) {
    while let Some(event) = next(&mut events, &mut gone).await {
        let Some(shared) = weak.upgrade() else { return };
        match event {
            Invalidation::LeaseEnded(name, key) => {
                if let Some(space) = shared.space(&name) {
                    shared.leases.end(space.key(key.as_bytes()).hash);
                }
            }
            Invalidation::Key(name, key) => {
                if let Some(space) = shared.space(&name) {
                    shared.leases.end(space.key(key.as_bytes()).hash);
                    space.hear(&News::Keys(name, vec![key]));
                }
            }
            Invalidation::Tag(name, tag) => {
                if let Some(space) = shared.space(&name) {
                    space.hear(&News::Tags(name, vec![tag]));
                }
            }
            Invalidation::Namespace(name) => {
                shared.leases.end_all();
                if let Some(space) = shared.space(&name) {
                    space.hear(&News::All(name));
                }
            }
            _ => {
                shared.leases.end_all();
                if changes {
                    shared.spaces().iter().for_each(|space| space.mark_gap());
                }
            }
        }
    }
}
