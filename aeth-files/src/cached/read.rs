//! Reads: which state a blob has, and its pages.

use super::Shared;
use super::fetch::is_changed;
use super::known::{Known, Opener};
use super::pages::ObjectId;
use aeth_core::blob::{Blob, BlobStore, Capability, GetOptions, GetRange};
use aeth_core::{BlobPath, ByteStream, Error, ErrorKind, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// How often a read begins anew because the blob was replaced meanwhile.
const ATTEMPTS: usize = 32;

/// Where those who ask about one blob meet.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// How many requests were begun.
    begun: AtomicU64,
    /// The answer of the last one that ended, and its number.
    last: tokio::sync::Mutex<(u64, Option<Result<Arc<Known>>>)>,
}

/// A visit to a gate, which goes when the last visitor does.
struct Visit<'a> {
    shared: &'a Shared,
    path: &'a BlobPath,
    gate: Arc<Gate>,
}

impl<'a> Visit<'a> {
    fn new(shared: &'a Shared, path: &'a BlobPath) -> Self {
        let gate = Arc::clone(shared.gates.lock().entry(path.clone()).or_default());
        Self { shared, path, gate }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut gates = self.shared.gates.lock();
        // The map's and this one.
        if Arc::strong_count(&self.gate) <= 2 {
            gates.remove(self.path);
        }
    }
}

/// What a reader wants of a blob of which nothing is known.
#[derive(Debug, Clone)]
enum Want {
    /// Everything but its bytes.
    Head,
    /// These bytes, as far as there are so many.
    Bytes(Range<u64>),
    /// Its length first.
    Length,
}

impl Shared {
    pub(super) async fn get(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.check_claims(&options)?;
        let want = self.want(&options);
        // A read that never waits still gives other tasks their turn now and then.
        tokio::task::coop::consume_budget().await;
        for _ in 0..ATTEMPTS {
            let (known, _opener) = self.known(path, &want).await?;
            if known.object.is_none() {
                return self.inner.get_opts(path, options).await;
            }
            let named = |error: Error| error.with_key(path);
            options.check(known.meta.etag.as_ref(), known.meta.modified).map_err(named)?;
            let size = known.meta.size;
            let range = match &options.range {
                _ if options.head => 0..0,
                Some(range) => range.resolve(size).map_err(named)?,
                None => 0..size,
            };
            if range.is_empty() {
                return Ok(Blob::new(known.meta.clone(), range, stream::empty().boxed()));
            }
            let end = range.end.min(self.window_end(range.start));
            match self.fetcher.read(&known, range.start..end).await {
                Ok(first) => {
                    let body = self.body(&known, first, end..range.end);
                    return Ok(Blob::new(known.meta.clone(), range, body));
                }
                Err(error) if is_changed(&error) => self.index.changed(path),
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Busy, "the blob is replaced again and again")
            .with_operation("get")
            .with_component("cached")
            .with_key(path))
    }

    /// Refuses what the store below would refuse.
    fn check_claims(&self, options: &GetOptions) -> Result<()> {
        let conditional = options.if_match.is_some()
            || options.if_none_match.is_some()
            || options.if_modified_since.is_some()
            || options.if_unmodified_since.is_some();
        if conditional {
            self.caps.require(Capability::ConditionalGet)?;
        }
        if matches!(options.range, Some(GetRange::Suffix(_))) {
            self.caps.require(Capability::SuffixGet)?;
        }
        Ok(())
    }

    /// Where the first request for a range that starts here ends.
    fn window_end(&self, start: u64) -> u64 {
        let aligned = start - start % self.fetcher.page_size;
        aligned.saturating_add(self.window)
    }

    fn want(&self, options: &GetOptions) -> Want {
        let (start, end) = match &options.range {
            _ if options.head => return Want::Head,
            None => (0, u64::MAX),
            Some(GetRange::From(start)) => (*start, u64::MAX),
            Some(GetRange::Bounded(range)) if range.start < range.end => (range.start, range.end),
            _ => return Want::Length,
        };
        let numbers = self.fetcher.numbers(&(start..end.min(self.window_end(start))));
        let page_size = self.fetcher.page_size;
        Want::Bytes(numbers.start * page_size..numbers.end.saturating_mul(page_size))
    }

    /// What is remembered of a blob, if it is new enough and has what is wanted.
    fn remembered(&self, path: &BlobPath, want: &Want) -> Option<Arc<Known>> {
        let known = self.index.get(path, self.clock.monotonic(), self.revalidate_after)?;
        (known.full || !matches!(want, Want::Head)).then_some(known)
    }

    /// The state of a blob, and who its first bytes came to when they came with the answer.
    ///
    /// An answer is shared by all who came before it was asked for, and by nobody who came later: a write that was
    /// acknowledged before a read began is in what the read gets.
    async fn known(&self, path: &BlobPath, want: &Want) -> Result<(Arc<Known>, Option<Opener>)> {
        if let Some(known) = self.remembered(path, want) {
            return Ok((known, None));
        }
        let visit = Visit::new(self, path);
        let seen = visit.gate.begun.load(SeqCst);
        let mut last = visit.gate.last.lock().await;
        if let Some(known) = self.remembered(path, want) {
            return Ok((known, None));
        }
        match &*last {
            (number, Some(Ok(known))) if *number > seen && (known.full || !matches!(want, Want::Head)) => {
                return Ok((Arc::clone(known), None));
            }
            (number, Some(Err(error))) if *number > seen => return Err(error.clone()),
            _ => {}
        }
        let number = visit.gate.begun.fetch_add(1, SeqCst) + 1;
        let asked = self.ask(path, want).await;
        *last = (number, Some(asked.as_ref().map(|(known, _)| Arc::clone(known)).map_err(Error::clone)));
        asked
    }

    async fn ask(&self, path: &BlobPath, want: &Want) -> Result<(Arc<Known>, Option<Opener>)> {
        let generation = self.index.generation(path);
        let checked = self.clock.monotonic();
        // One request instead of two for the first read of a blob.
        let (blob, full) = match want {
            Want::Bytes(range) if !self.index.has(path) => {
                self.counters.requests.increment();
                let options = GetOptions::default().with_range(range.clone());
                match self.inner.get_opts(path, options).await {
                    // It may be shorter than where the range starts, or empty.
                    Err(error) if error.kind() == ErrorKind::Invalid => (self.head(path).await?, true),
                    blob => (blob?, false),
                }
            }
            _ => (self.head(path).await?, true),
        };
        let meta = blob.meta.clone();
        let object = meta.etag.as_ref().map(|etag| ObjectId::new(path, etag, self.fetcher.page_size));
        let opened = Mutex::new((!full).then_some(blob));
        let known = Arc::new(Known { meta, object, full, checked, opened });
        let opener = (!full).then(|| Opener(Arc::clone(&known)));
        self.index.remember(path, generation, self.clock.monotonic(), &known);
        Ok((known, opener))
    }

    async fn head(&self, path: &BlobPath) -> Result<Blob> {
        self.counters.heads.increment();
        self.inner.get_opts(path, GetOptions::head()).await
    }

    /// The first pages and then the rest, window by window, one ahead of the reader.
    fn body(&self, known: &Arc<Known>, first: Vec<Bytes>, rest: Range<u64>) -> ByteStream {
        let first = stream::iter(first.into_iter().map(Ok));
        if rest.is_empty() {
            return first.boxed();
        }
        let (fetcher, known, window) = (self.fetcher.clone(), Arc::clone(known), self.window);
        let windows = stream::unfold(rest, move |rest| async move {
            if rest.is_empty() {
                return None;
            }
            let end = rest.end.min(rest.start.saturating_add(window));
            Some((rest.start..end, end..rest.end))
        });
        let rest = windows
            .map(move |window| {
                let (fetcher, known) = (fetcher.clone(), Arc::clone(&known));
                async move { fetcher.read(&known, window).await }
            })
            .buffered(2)
            .map_ok(|pages| stream::iter(pages.into_iter().map(Ok)))
            .try_flatten();
        first.chain(rest).boxed()
    }
}
