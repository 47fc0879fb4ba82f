//! Many blobs at once.

use super::{Files, IntoPath};
use crate::blocking::join;
use aeth_core::blob::{BlobMeta, BlobStore, BlobStoreExt, ListOptions, Page};
use aeth_core::{BlobPath, Error, Result};
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinSet;
use tracing::Instrument;

/// What a survey found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Survey {
    /// How many blobs there are.
    pub objects: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

impl Files {
    /// All blobs whose path starts with `prefix` (compared byte by byte: end it with `/` to mean a directory),
    /// in ascending order, page by page as the stream is read. It ends after its first error.
    #[must_use]
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<BlobMeta>> {
        let store = Arc::clone(self.store());
        let first = ListOptions::prefix(prefix);
        stream::try_unfold((Some(first), VecDeque::new()), move |(mut next, mut ready)| {
            let store = Arc::clone(&store);
            async move {
                loop {
                    if let Some(meta) = ready.pop_front() {
                        return Ok(Some((meta, (next, ready))));
                    }
                    let Some(options) = next.take() else { return Ok(None) };
                    let page = store.list_page(options.clone()).await?;
                    ready.extend(page.blobs);
                    next = page.next.map(|token| options.with_token(token));
                }
            }
        })
        .boxed()
    }

    /// One page of a listing, as a directory would show it: the blobs directly below `prefix` and the prefixes of
    /// those further down.
    ///
    /// # Errors
    /// Those of [`BlobStore::list_page`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.store().list_page(options).await
    }

    /// Calls `visit` for all blobs under a prefix, for up to `concurrency` at the same time, until one fails.
    ///
    /// # Errors
    /// The first one, of the listing or of a visit.
    ///
    /// # Cancel safety
    /// Visits that were begun are dropped.
    pub async fn for_each<F, Fut>(&self, prefix: &str, concurrency: usize, visit: F) -> Result<()>
    where
        F: Fn(BlobMeta) -> Fut + Send + Sync,
        Fut: Future<Output = Result<()>> + Send,
    {
        let visit = &visit;
        self.list(prefix)
            .try_for_each_concurrent(Some(concurrency.max(1)), move |meta| async move { visit(meta).await })
            .await
    }

    /// Reads blobs into memory, up to `concurrency` at the same time: one result for each path, in order. On a
    /// runtime of several threads, several read: what is in memory is read without waiting, and then one thread
    /// alone is the limit.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn get_many<P: IntoPath>(
        &self,
        paths: impl IntoIterator<Item = P, IntoIter: Send> + Send,
        concurrency: usize,
    ) -> Vec<Result<Bytes>> {
        let paths: Vec<Result<BlobPath>> = paths.into_iter().map(IntoPath::into_path).collect();
        let lanes = lanes(paths.len(), concurrency);
        if lanes <= 1 {
            return read_all(Arc::clone(self.store()), paths, concurrency).await;
        }
        let (length, share) = (paths.len().div_ceil(lanes), concurrency.div_ceil(lanes));
        // What was begun ends with this call: the set aborts its tasks when it is dropped.
        let mut running = JoinSet::new();
        let mut counts = Vec::with_capacity(lanes);
        let mut left = paths.into_iter();
        loop {
            let chunk: Vec<_> = left.by_ref().take(length).collect();
            if chunk.is_empty() {
                break;
            }
            let lane = counts.len();
            counts.push(chunk.len());
            let store = Arc::clone(self.store());
            let read = async move { (lane, read_all(store, chunk, share).await) };
            running.spawn(read.in_current_span());
        }
        let mut read: Vec<Option<Vec<Result<Bytes>>>> = counts.iter().map(|_| None).collect();
        let mut broken = Error::closed("the runtime is gone");
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok((lane, results)) => read[lane] = Some(results),
                Err(error) => broken = join::<()>(Err(error)).err().unwrap_or(broken),
            }
        }
        let of_lane = |(results, count): (Option<Vec<_>>, usize)| {
            results.unwrap_or_else(|| (0..count).map(|_| Err(broken.clone())).collect())
        };
        read.into_iter().zip(counts).flat_map(of_lane).collect()
    }

    /// Deletes all blobs under a prefix and says how many there were. Those that are written meanwhile may stay.
    ///
    /// # Errors
    /// The first one; some blobs may be gone then.
    ///
    /// # Cancel safety
    /// Any subset of the blobs may be gone; repeating the call completes it.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u64> {
        let mut deleted = 0;
        let mut batches = self.list(prefix).try_chunks(1_000);
        while let Some(batch) = batches.next().await {
            let paths: Vec<BlobPath> =
                batch.map_err(|error| error.1)?.into_iter().map(|meta| meta.path).collect();
            for result in self.store().delete_many(&paths).await? {
                result?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Counts all blobs, which costs a listing of the store. The metrics show what the last survey found.
    ///
    /// # Errors
    /// Those of [`BlobStore::list_page`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn survey(&self) -> Result<Survey> {
        let mut survey = Survey::default();
        let mut blobs = self.list("");
        while let Some(meta) = blobs.try_next().await? {
            survey.objects += 1;
            survey.bytes += meta.size;
        }
        self.0.metered.instruments().surveyed(survey.objects, survey.bytes);
        Ok(survey)
    }

    pub(super) fn survey_in_background(&self, interval: Duration) {
        // The task holds what it needs, not the tasks that hold it.
        let files = Arc::downgrade(&self.0);
        let clock = Arc::clone(&self.0.clock);
        drop(self.0.tasks.spawn_until_closed(async move {
            while let Some(inner) = files.upgrade() {
                let surveyed: Result<Survey, Error> = Self(inner).survey().await;
                if let Err(error) = surveyed {
                    tracing::debug!(%error, "the blobs could not be counted");
                }
                clock.sleep(interval).await;
            }
        }));
    }
}

/// The fewest blobs that are worth a task of their own.
const LANE: usize = 16;

/// How many tasks read so many blobs.
fn lanes(paths: usize, concurrency: usize) -> usize {
    let several =
        Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if !several {
        return 1;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    threads.min(concurrency).min(paths / LANE)
}

async fn read_all(
    store: Arc<dyn BlobStore>,
    paths: Vec<Result<BlobPath>>,
    concurrency: usize,
) -> Vec<Result<Bytes>> {
    let store = &*store;
    stream::iter(paths)
        .map(|path| async move { store.get_bytes(&path?).await })
        .buffered(concurrency.max(1))
        .collect()
        .await
}
