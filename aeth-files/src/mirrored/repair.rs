//! Bringing copies up to date: after reads that found an old one, after an outage, and all of them on request.

use super::Core;
use super::body::{SHORT, summed};
use super::location::{DEAD, Location, Replica, strip};
use super::write::{Writing, is_refusal, native_mode};
use aeth_core::blob::{
    Blob, BlobMeta, BlobStore, BlobStoreExt, Capability, GetOptions, ListOptions, PutMode, PutOptions,
};
use aeth_core::{BlobPath, Body, Error, Result, collect_stream};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How many copies are mended at the same time.
const AT_ONCE: usize = 8;

/// What a comparison of all locations did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Resynced {
    /// Blobs that were compared.
    pub checked: u64,
    /// Blobs of which at least one copy was brought up to date.
    pub repaired: u64,
    /// Blobs of which a copy could not be brought up to date.
    pub failed: u64,
}

impl Core {
    /// Brings a version to a location that has an older one, or a bad copy; true when that was necessary. `until` is
    /// how far the notes went before anything was looked at.
    pub(super) async fn bring(
        self: &Arc<Self>,
        at: usize,
        path: &BlobPath,
        current: &Replica,
        known: Option<Replica>,
        until: u64,
    ) -> Result<bool> {
        let Some(target) = self.locations.get(at) else { return Ok(false) };
        let spoiled = self.is_spoiled(at, path);
        let there = match known {
            Some(replica) => replica,
            None => target.look(path).await?,
        };
        let same = there.rank() == current.rank();
        if same && there.dead {
            // No bytes, so no bad ones.
            self.behind.done(at, path, until);
            return Ok(false);
        }
        if there.rank() > current.rank() || (same && !spoiled) {
            self.behind.caught_up(at, path, until);
            return Ok(false);
        }
        let mode = if target.swaps { native_mode(&there)? } else { PutMode::Overwrite };
        let mut failure = Error::unavailable("no location has the newest copy").with_component("mirrored");
        let mut sources: Vec<usize> = self.ranked(None).into_iter().filter(|source| *source != at).collect();
        // What is bad there must not become bad here: those that are in question come last, and must prove it.
        sources.sort_by_key(|source| self.is_spoiled(*source, path));
        for source in sources {
            // Boxed: it is rare, and its state is large.
            match Box::pin(self.bring_from(source, at, path, current, mode.clone())).await {
                Ok(()) => {
                    self.repairs.increment();
                    self.behind.done(at, path, until);
                    return Ok(true);
                }
                // Somebody else has written it there; the next look tells what.
                Err(error) if is_refusal(&error) && !error.is_not_found() => return Err(error),
                Err(error) => failure = error,
            }
        }
        // Nobody else has it. It may have been the reading that went wrong, and not the copy.
        if same && Box::pin(self.is_proven(at, path, current)).await {
            self.behind.done(at, path, until);
            return Ok(false);
        }
        Err(failure)
    }

    /// Whether the copy of a location has the bytes of which the checksum is known.
    async fn is_proven(&self, at: usize, path: &BlobPath, current: &Replica) -> bool {
        let Some(location) = self.locations.get(at) else { return false };
        let opened =
            location.call(Duration::ZERO, location.store.get_opts(path, GetOptions::default())).await;
        let Ok(blob) = opened else { return false };
        let replica = Replica::of(blob.meta.clone());
        let sum = replica.sum().filter(|_| replica.rank() == current.rank() && blob.meta.size <= SHORT);
        sum.is_some() && matches!(whole(location, blob, sum).await, Ok(Some(_)))
    }

    async fn bring_from(
        &self,
        from: usize,
        to: usize,
        path: &BlobPath,
        current: &Replica,
        mode: PutMode,
    ) -> Result<()> {
        let Some(source) = self.locations.get(from) else { return Err(Error::not_found("no location")) };
        let missing = || Error::not_found("the location has another version").with_component("mirrored");
        let bad = || Error::corrupt("the copy is bad").with_component(source.name.clone());
        let blob = source.call(Duration::ZERO, source.store.get_opts(path, GetOptions::default())).await?;
        let replica = Replica::of(blob.meta.clone());
        if replica.rank() != current.rank() {
            return Err(missing());
        }
        let size = blob.meta.size;
        let sum = replica.sum();
        if self.is_spoiled(from, path) && (size > SHORT || sum.is_none()) {
            return Err(bad());
        }
        let mut meta = blob.meta.clone();
        let body = if size > SHORT {
            Body::Once(blob.body, Some(size))
        } else {
            match whole(source, blob, sum).await? {
                Some(bytes) => Body::Bytes(bytes),
                None => {
                    self.behind.spoil(from, path);
                    return Err(bad());
                }
            }
        };
        if meta.tags.is_none() && self.caps.has(Capability::Tags) {
            // Engines give tags only when they are asked for them.
            meta.tags = source.call(Duration::ZERO, source.store.head(path)).await?.tags;
        }
        self.put_at(to, &copied(path, &replica, &meta), body, mode).await
    }

    /// Mends a path in the background.
    pub(super) fn repair_soon(self: &Arc<Self>, path: &BlobPath) {
        let Ok(slot) = Arc::clone(&self.repairing).try_acquire_owned() else { return };
        let (core, path) = (Arc::clone(self), path.clone());
        drop(self.tasks.spawn_until_closed(async move {
            let _slot = slot;
            if let Err(error) = Box::pin(core.repair(&path)).await {
                tracing::debug!(%error, "a copy could not be brought up to date");
            }
        }));
    }

    /// Brings all copies of a blob up to date; true when one was not.
    pub(super) async fn repair(self: &Arc<Self>, path: &BlobPath) -> Result<bool> {
        let _shared = self.share(path).await;
        let until = self.behind.last();
        let looks = self.locations.iter().map(|location| location.look(path));
        let looks = futures_util::future::join_all(looks).await;
        let mut failure = None;
        let mut seen = Vec::with_capacity(looks.len());
        for (at, look) in looks.into_iter().enumerate() {
            match look {
                Ok(replica) => seen.push((at, replica)),
                Err(error) => failure = Some(error),
            }
        }
        if seen.len() < self.read_quorum {
            return Err(failure.unwrap_or_else(|| Error::unavailable("too few locations answer")));
        }
        let (current, _) = self.sound(path, &seen).await;
        let mut repaired = false;
        for (at, replica) in seen {
            match self.bring(at, path, &current, Some(replica), until).await {
                Ok(brought) => repaired |= brought,
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(repaired), Err)
    }

    /// Works off the journal, once: what a location still lacks afterwards could not be brought to it. Unless `all`
    /// is set, locations that failed a moment ago are left alone.
    pub(super) async fn drain(self: &Arc<Self>, all: bool) -> u64 {
        let mut after = None;
        let mut mended = 0;
        loop {
            let batch = self.behind.paths(after.as_ref(), 256);
            let Some(last) = batch.last() else { return mended };
            after = Some(last.clone());
            let paths: std::collections::BTreeSet<BlobPath> = batch
                .into_iter()
                .filter(|(at, _)| {
                    all || self.locations.get(*at).is_some_and(|location| !location.is_suspended())
                })
                .map(|(_, path)| path)
                .collect();
            let repairs = stream::iter(paths).map(|path| async move { Box::pin(self.repair(&path)).await });
            mended += repairs
                .buffer_unordered(AT_ONCE)
                .filter(|done| std::future::ready(done.is_ok()))
                .count()
                .await as u64;
        }
    }

    /// Works off the journal whenever there is something in it, until the owner of the tasks closes them.
    pub(super) async fn drain_always(core: std::sync::Weak<Self>) {
        loop {
            let Some(strong) = core.upgrade() else { return };
            let (clock, every) = (Arc::clone(&strong.clock), strong.drain_every);
            if !strong.behind.is_empty() {
                strong.drain(false).await;
            }
            drop(strong);
            clock.sleep(every).await;
        }
    }

    /// Compares all locations, blob by blob.
    pub(super) async fn resync(self: &Arc<Self>) -> Result<Resynced> {
        let mut report = Resynced::default();
        let mut after: Option<String> = None;
        loop {
            let mut options = ListOptions::default();
            options.start_after.clone_from(&after);
            let mut union: BTreeMap<BlobPath, ()> = BTreeMap::new();
            let mut horizon: Option<BlobPath> = None;
            for location in &self.locations {
                let page = location.call(Duration::ZERO, location.store.list_page(options.clone())).await?;
                let last = page.blobs.last().map(|meta| meta.path.clone());
                if let (Some(_), Some(last)) = (&page.next, last) {
                    horizon = Some(horizon.map_or(last.clone(), |horizon| horizon.min(last)));
                }
                union.extend(page.blobs.into_iter().map(|meta| (meta.path, ())));
            }
            if let Some(horizon) = &horizon {
                union.retain(|path, ()| path <= horizon);
            }
            let repairs =
                stream::iter(union.into_keys()).map(|path| async move { Box::pin(self.repair(&path)).await });
            let mut repairs = repairs.buffer_unordered(AT_ONCE);
            while let Some(repaired) = repairs.next().await {
                report.checked += 1;
                match repaired {
                    Ok(repaired) => report.repaired += u64::from(repaired),
                    Err(_) => report.failed += 1,
                }
            }
            match horizon {
                Some(horizon) => after = Some(horizon.as_str().to_owned()),
                None => return Ok(report),
            }
        }
    }
}

/// The bytes of a short copy; nothing when they are not what its length and its checksum, if it has one, say.
async fn whole(location: &Location, blob: Blob, sum: Option<u64>) -> Result<Option<Bytes>> {
    let bytes = location.call(Duration::ZERO, collect_stream(blob.body, SHORT)).await?;
    let good = bytes.len() as u64 == blob.meta.size && sum.is_none_or(|sum| sum == summed(&bytes));
    Ok(Some(bytes).filter(|_| good))
}

/// The write that makes the same copy elsewhere.
fn copied(path: &BlobPath, replica: &Replica, meta: &BlobMeta) -> Writing {
    let mut attributes = meta.attributes.clone().unwrap_or_default();
    strip(&mut attributes);
    let mut options = PutOptions::default().with_attributes(attributes);
    options.tags = meta.tags.clone().unwrap_or_default();
    let mut writing = Writing::new(path, replica.version, options, replica.sum());
    if replica.dead {
        writing.options.attributes.user.insert(DEAD.to_owned(), "1".to_owned());
    }
    writing
}
