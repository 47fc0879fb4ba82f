//! Getting pages: from where they are kept, or from below, once for all who want them.

use super::known::Known;
use super::pages::{PageKey, Pages, TRAILER};
use super::statistics::Counters;
use aeth_core::blob::{Blob, BlobStore, GetOptions};
use aeth_core::{Error, ErrorKind, Result, Tasks};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::watch;

/// What became of a page that is fetched.
#[derive(Debug, Clone)]
enum Landing {
    Underway,
    Landed(Bytes),
    Failed(Error),
}

type Flights = Arc<Mutex<HashMap<PageKey, watch::Receiver<Landing>>>>;

/// Gets pages.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    pub(super) inner: Arc<dyn BlobStore>,
    pub(super) pages: Arc<dyn Pages>,
    pub(super) page_size: u64,
    pub(super) tasks: Tasks,
    pub(super) counters: Arc<Counters>,
    flights: Flights,
}

/// A page that this caller must fetch, and who waits for it. When it is dropped, nobody fetches it any more.
struct Claim {
    key: PageKey,
    number: u64,
    waiting: watch::Sender<Landing>,
    flights: Flights,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

/// The error of a blob that is not the one any more that was known.
fn changed(known: &Known) -> Error {
    Error::new(ErrorKind::Busy, "the blob was replaced while it was read")
        .with_operation("get")
        .with_component("cached")
        .with_key(&known.meta.path)
        .with_remedy("read it again")
}

/// True for the error of [`changed`].
pub(super) fn is_changed(error: &Error) -> bool {
    error.kind() == ErrorKind::Busy && error.component() == Some("cached")
}

impl Fetcher {
    pub(super) fn new(
        inner: Arc<dyn BlobStore>,
        pages: Arc<dyn Pages>,
        page_size: u64,
        tasks: Tasks,
        counters: Arc<Counters>,
    ) -> Self {
        Self { inner, pages, page_size, tasks, counters, flights: Flights::default() }
    }

    /// The numbers of the pages that a range of bytes touches.
    pub(super) fn numbers(&self, range: &Range<u64>) -> Range<u64> {
        range.start / self.page_size..range.end.div_ceil(self.page_size)
    }

    /// The offsets that a page has in its blob.
    fn offsets(&self, known: &Known, number: u64) -> Range<u64> {
        let start = number.saturating_mul(self.page_size);
        start..start.saturating_add(self.page_size).min(known.meta.size)
    }

    fn length(&self, known: &Known, number: u64) -> usize {
        let offsets = self.offsets(known, number);
        usize::try_from(offsets.end.saturating_sub(offsets.start)).unwrap_or(0)
    }

    /// The bytes of a range, page by page.
    pub(super) async fn read(&self, known: &Arc<Known>, range: Range<u64>) -> Result<Vec<Bytes>> {
        let Some(object) = known.object else { return Err(changed(known)) };
        let numbers = self.numbers(&range);
        let keys: Vec<PageKey> = numbers.clone().map(|number| PageKey::new(object, number)).collect();
        let mut found = self.look_up(known, numbers.clone(), &keys).await;
        let waits = if found.iter().all(Option::is_some) {
            Vec::new()
        } else {
            let missing = found.iter().filter(|page| page.is_none()).count() as u64;
            self.counters.misses.add(missing);
            self.depart(known, numbers.start, &keys, &mut found).await
        };
        self.counters.hits.add(found.iter().filter(|page| page.is_some()).count() as u64);
        for (at, mut wait) in waits {
            let landed = wait.wait_for(|landing| !matches!(landing, Landing::Underway)).await;
            let page = match landed.as_deref() {
                Ok(Landing::Landed(page)) => page.clone(),
                Ok(Landing::Failed(error)) => return Err(error.clone()),
                // The task that fetched it was ended with its owner.
                _ => return Err(Error::closed("the cache was closed").with_component("cached")),
            };
            if let Some(place) = found.get_mut(at) {
                *place = Some(page);
            }
        }
        let mut pages = Vec::with_capacity(found.len());
        for (number, page) in numbers.zip(found) {
            let Some(page) = page else { return Err(changed(known)) };
            let offsets = self.offsets(known, number);
            let cut =
                |at: u64| usize::try_from(at.clamp(offsets.start, offsets.end) - offsets.start).unwrap_or(0);
            pages.push(page.slice(cut(range.start)..cut(range.end)));
        }
        Ok(pages)
    }

    /// The pages that are kept, checked.
    async fn look_up(&self, known: &Known, numbers: Range<u64>, keys: &[PageKey]) -> Vec<Option<Bytes>> {
        let kept = self.pages.get_many(keys).await;
        let mut opened = Vec::with_capacity(keys.len());
        for ((key, number), page) in keys.iter().zip(numbers).zip(kept) {
            let page = page.and_then(|page| {
                let page = key.open(page, self.length(known, number));
                if page.is_none() {
                    self.counters.damaged.increment();
                }
                page
            });
            opened.push(page);
        }
        opened.resize(keys.len(), None);
        opened
    }

    /// Sends for the pages that are missing and nobody has sent for, and says what to wait for.
    async fn depart(
        &self,
        known: &Arc<Known>,
        first: u64,
        keys: &[PageKey],
        found: &mut [Option<Bytes>],
    ) -> Vec<(usize, watch::Receiver<Landing>)> {
        let mut waits = Vec::new();
        let mut claims = Vec::new();
        {
            let mut flights = self.flights.lock();
            for (at, key) in keys.iter().enumerate().filter(|(at, _)| matches!(found.get(*at), Some(None))) {
                match flights.entry(*key) {
                    Entry::Occupied(flight) => waits.push((at, flight.get().clone())),
                    Entry::Vacant(place) => {
                        let (waiting, wait) = watch::channel(Landing::Underway);
                        place.insert(wait.clone());
                        let number = first.saturating_add(at as u64);
                        claims.push(Claim { key: *key, number, waiting, flights: Arc::clone(&self.flights) });
                        waits.push((at, wait));
                    }
                }
            }
        }
        if claims.is_empty() {
            return waits;
        }
        // Somebody may have landed them between the look-up and the claim.
        let again: Vec<PageKey> = claims.iter().map(|claim| claim.key).collect();
        let numbers: Vec<u64> = claims.iter().map(|claim| claim.number).collect();
        let kept = self.pages.get_many(&again).await;
        let mut left = Vec::with_capacity(claims.len());
        for ((claim, number), page) in claims.into_iter().zip(numbers).zip(kept) {
            match page.and_then(|page| claim.key.open(page, self.length(known, number))) {
                Some(page) => drop(claim.waiting.send(Landing::Landed(page))),
                None => left.push(claim),
            }
        }
        let mut run: Vec<Claim> = Vec::new();
        for claim in left {
            if run.last().is_some_and(|last| last.number + 1 != claim.number) {
                self.launch(known, std::mem::take(&mut run));
            }
            run.push(claim);
        }
        self.launch(known, run);
        waits
    }

    /// Fetches a run of pages in one request, on a task of its own: a reader that goes leaves it to the others.
    fn launch(&self, known: &Arc<Known>, run: Vec<Claim>) {
        if run.is_empty() {
            return;
        }
        let (fetcher, known) = (self.clone(), Arc::clone(known));
        drop(self.tasks.spawn_until_closed(async move {
            let mut run = run.into_iter();
            if let Err(error) = fetcher.fetch(&known, &mut run).await {
                for claim in run {
                    claim.waiting.send_replace(Landing::Failed(error.clone()));
                }
            }
        }));
    }

    async fn fetch(&self, known: &Known, run: &mut std::vec::IntoIter<Claim>) -> Result<()> {
        let (Some(first), Some(last)) = (run.as_slice().first(), run.as_slice().last()) else {
            return Ok(());
        };
        let range = self.offsets(known, first.number).start..self.offsets(known, last.number).end;
        let fits = |blob: &mut Blob| blob.range.start == range.start && blob.range.end >= range.end;
        let opened = known.opened.lock().take_if(fits);
        let mut blob = match opened {
            Some(blob) => blob,
            None => self.open(known, range).await?,
        };
        let (mut chunk, mut read) = (Bytes::new(), 0);
        while let Some(claim) = run.as_slice().first() {
            let length = self.length(known, claim.number);
            // Never grown: a page that is kept would keep up to twice its bytes.
            let mut page = BytesMut::with_capacity(length + TRAILER);
            loop {
                page.extend_from_slice(&chunk.split_to(chunk.len().min(length - page.len())));
                if page.len() == length {
                    break;
                }
                let Some(next) = blob.body.next().await else {
                    return Err(Error::unavailable("the body ended before its end")
                        .with_operation("get")
                        .with_component("cached")
                        .with_key(&known.meta.path));
                };
                chunk = next?;
                read += chunk.len() as u64;
            }
            let Some(claim) = run.next() else { break };
            let kept = claim.key.seal(page);
            self.pages.put(claim.key, kept.clone()).await;
            claim.waiting.send_replace(Landing::Landed(kept.slice(..length)));
        }
        self.counters.fetched.add(read);
        Ok(())
    }

    /// Opens a range of the very state that is known.
    async fn open(&self, known: &Known, range: Range<u64>) -> Result<Blob> {
        self.counters.requests.increment();
        let options = GetOptions::default().with_range(range.clone());
        let blob = match self.inner.get_opts(&known.meta.path, options).await {
            Ok(blob) => blob,
            // It went, or became shorter than it was.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
                return Err(changed(known).with_source(error));
            }
            Err(error) => return Err(error),
        };
        if blob.meta.etag != known.meta.etag || blob.range != range {
            return Err(changed(known));
        }
        Ok(blob)
    }
}
