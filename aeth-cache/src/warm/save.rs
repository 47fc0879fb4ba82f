//! Saving what is hot.

use super::file::{Header, Writer};
use super::{KEYS, VALUES, VISIT};
use crate::caches::Shared;
use crate::l1::{L1Key, Slot};
use crate::space::{Space, Stamp};
use aeth_core::{ClockExt, Error, Result};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An entry of the first level, and the state of its key before it was read.
pub(crate) struct Kept {
    space: Arc<Space>,
    key: L1Key,
    slot: Slot,
    stamp: Stamp,
    heat: u16,
}

impl Shared {
    /// Begins to save the keys from time to time, at the first call that has a runtime.
    pub(crate) fn save_often(self: &Arc<Self>) {
        let Some(warmth) = &self.warmth else { return };
        if warmth.saving.load(Ordering::Acquire)
            || tokio::runtime::Handle::try_current().is_err()
            || warmth.saving.swap(true, Ordering::AcqRel)
        {
            return;
        }
        // A weak reference: caches that nobody holds any more need not be saved.
        let weak = Arc::downgrade(self);
        let (clock, every) = (Arc::clone(self.coarse.clock()), warmth.options.every);
        drop(self.tasks.spawn_until_closed(async move {
            loop {
                clock.sleep(every).await;
                let Some(shared) = weak.upgrade() else { return };
                if let Err(error) = shared.save_keys().await {
                    tracing::warn!(%error, "the hot keys of the cache could not be saved");
                }
                shared.heat.cool();
            }
        }));
    }

    /// Everything in the first level that could be of use after a restart, the hottest first.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        let mut kept = Vec::new();
        for space in self.spaces() {
            if space.codec.id().is_none() {
                continue;
            }
            // Each stamp before its slot: what changes in between shows when they are compared again.
            let keys: Vec<L1Key> = self.l1.entries(space.id).into_iter().map(|(key, _)| key).collect();
            for key in keys {
                let stamp = space.stamp(key.hash());
                if let Some(slot) = self.l1.get(&key.as_ref()).filter(|slot| space.may_return(slot)) {
                    let heat = self.heat.of(key.hash());
                    kept.push(Kept { space: Arc::clone(&space), key, slot, stamp, heat });
                }
            }
        }
        kept.sort_by_key(|kept| std::cmp::Reverse(kept.heat));
        kept
    }

    fn header(&self, clean: bool) -> Header {
        Header { clean, instance: self.instance, saved: self.coarse.clock().unix_millis() }
    }

    fn write_keys(&self, kept: &[Kept], most: usize) -> Bytes {
        let mut writer = Writer::keys(self.header(true));
        for kept in kept.iter().take(most) {
            writer.key(&kept.space.name, kept.key.bytes());
        }
        writer.finish()
    }

    /// The values, as far as nothing has changed since they were collected.
    pub(crate) fn write_values(&self, kept: &[Kept], bytes: u64, clean: bool) -> Bytes {
        let header = self.header(clean);
        let now = self.coarse.exact_now();
        let mut writer = Writer::values(header);
        for Kept { space, key, slot, stamp, .. } in kept {
            if writer.len() as u64 >= bytes {
                break;
            }
            if self.l1.generation(key.hash()) != stamp.generation {
                continue;
            }
            let state = (stamp.generation.number(), stamp.epochs.clears(), stamp.tag_epoch);
            match space.entry_of_slot(key.bytes(), slot, stamp.epochs, (now, header.saved)) {
                Ok(entry) => writer.value(&space.name, key.bytes(), state, &entry),
                Err(error) => tracing::debug!(namespace = %space.name, %error, "a value was not saved"),
            }
        }
        writer.finish()
    }

    /// Saves the keys. Gives how many there are.
    pub(crate) async fn save_keys(self: &Arc<Self>) -> Result<usize> {
        let Some(warmth) = &self.warmth else { return Ok(0) };
        let (shared, most) = (Arc::clone(self), warmth.options.keys);
        let (count, bytes) = self
            .compute(move || {
                let kept = shared.kept();
                (kept.len().min(most), shared.write_keys(&kept, most))
            })
            .await?;
        let saved = warmth.options.place.save(&self.tasks, KEYS, bytes);
        self.coarse.clock().timeout(VISIT, saved).await??;
        Ok(count)
    }

    /// Saves keys and values at close. `clean` says that no change can come any more.
    pub(crate) async fn save_all(self: &Arc<Self>, kept: Vec<Kept>, clean: bool) -> Result<()> {
        let Some(warmth) = &self.warmth else { return Ok(()) };
        let options = &warmth.options;
        let (shared, most, most_bytes) = (Arc::clone(self), options.keys, options.bytes);
        let values = options.values && clean;
        let (keys, values) = self
            .compute(move || {
                let values = values.then(|| shared.write_values(&kept, most_bytes, true));
                (shared.write_keys(&kept, most), values)
            })
            .await?;
        let saved = async {
            options.place.save(&self.tasks, KEYS, keys).await?;
            match values {
                Some(values) => options.place.save(&self.tasks, VALUES, values).await,
                None => options.place.remove(&self.tasks, VALUES).await,
            }
        };
        self.coarse.clock().timeout(VISIT, saved).await?
    }

    /// Work for a processor, on a thread that may block.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let done = self.tasks.spawn_blocking(work).await;
        done.map_err(|error| {
            Error::other("the work on the warmth of the cache ended early").with_source(error)
        })
    }
}
