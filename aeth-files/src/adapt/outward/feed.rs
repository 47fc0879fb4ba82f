//! Uploads in parts over a store that has none: one streamed put.

use super::AsObjectStore;
use super::store::put_result;
use crate::adapt::error::{Call, outer};
use aeth_core::blob::{self, BlobStore};
use aeth_core::{BlobPath, Body, Error, ErrorKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use object_store::{MultipartUpload, PutPayload, PutResult, Result as OuterResult, UploadPart};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A part that could be sent at once waits while this many bytes are queued before it.
const QUEUE: usize = 16 << 20;

/// The parts on their way from the caller to the put.
#[derive(Debug, Default)]
struct Feed {
    state: Mutex<State>,
    /// Wakes the put: a part has come, or no more will.
    came: Notify,
    /// Wakes callers: a part was taken.
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<usize, PutPayload>,
    queued: usize,
    /// The part that the put takes next.
    next: usize,
    /// How many parts there are, once the caller has completed.
    total: Option<usize>,
    aborted: bool,
    /// How the put has ended; what is sent after that is lost.
    over: Option<aeth_core::Result<()>>,
}

impl Feed {
    /// The next part, in order; `None` when there are no more.
    async fn take(&self) -> aeth_core::Result<Option<PutPayload>> {
        loop {
            let came = self.came.notified();
            {
                let mut state = self.state.lock();
                if state.aborted {
                    return Err(Error::other("the upload was aborted"));
                }
                let next = state.next;
                if let Some(part) = state.waiting.remove(&next) {
                    state.next += 1;
                    state.queued = state.queued.saturating_sub(part.content_length());
                    drop(state);
                    self.taken.notify_waiters();
                    return Ok(Some(part));
                }
                if state.total.is_some_and(|total| next >= total) {
                    return Ok(None);
                }
            }
            came.await;
        }
    }

    /// Queues a part. A part that is not the next one is taken at once: its bytes are in memory either way, and
    /// the part before it may only be sent after it.
    async fn give(&self, index: usize, part: PutPayload) -> aeth_core::Result<()> {
        let mut part = Some(part);
        loop {
            let taken = self.taken.notified();
            {
                let mut state = self.state.lock();
                // Only while the put has something to take will it make room.
                let wait = index > state.next
                    && state.queued >= QUEUE
                    && (state.next..index).all(|before| state.waiting.contains_key(&before));
                if let Some(end) = &state.over {
                    return end.clone();
                }
                if !wait {
                    if let Some(part) = part.take() {
                        state.queued += part.content_length();
                        state.waiting.insert(index, part);
                    }
                    drop(state);
                    self.came.notify_one();
                    return Ok(());
                }
            }
            taken.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.came.notify_one();
        self.taken.notify_waiters();
    }
}

/// One streamed put that takes its parts from a feed.
#[derive(Debug)]
pub(super) struct FedUpload {
    feed: Arc<Feed>,
    path: BlobPath,
    parts: usize,
    put: Option<JoinHandle<aeth_core::Result<blob::PutResult>>>,
}

impl FedUpload {
    pub(super) fn begin(store: &AsObjectStore, path: BlobPath, options: blob::PutOptions) -> Self {
        let feed = Arc::new(Feed::default());
        let source = (Arc::clone(&feed), VecDeque::new());
        let chunks =
            stream::try_unfold(source, |(feed, mut ready): (Arc<Feed>, VecDeque<Bytes>)| async move {
                loop {
                    if let Some(chunk) = ready.pop_front() {
                        return Ok(Some((chunk, (feed, ready))));
                    }
                    match feed.take().await? {
                        Some(part) => ready.extend(part),
                        None => return Ok(None),
                    }
                }
            });
        let body = Body::Once(chunks.boxed(), None);
        let (inner, target, ended) = (Arc::clone(&store.store), path.clone(), Arc::clone(&feed));
        let put = store.tasks.spawn(async move {
            let put = inner.put_opts(&target, body, options).await;
            ended.change(|state| {
                state.over = Some(put.as_ref().map(drop).map_err(Error::clone));
                state.waiting.clear();
            });
            put
        });
        Self { feed, path, parts: 0, put: Some(put) }
    }

    /// The outcome of the put.
    async fn join(&mut self) -> aeth_core::Result<blob::PutResult> {
        let Some(put) = self.put.as_mut() else {
            return Err(Error::new(ErrorKind::Closed, "the upload was completed or aborted before"));
        };
        let joined = put.await;
        self.put = None;
        joined.unwrap_or_else(|error| {
            Err(Error::other("the put behind the upload did not end").with_source(error))
        })
    }
}

#[async_trait]
impl MultipartUpload for FedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (feed, index, path) = (Arc::clone(&self.feed), self.parts, self.path.clone());
        self.parts += 1;
        Box::pin(
            async move { feed.give(index, data).await.map_err(|error| outer(error, Call::Write, &path)) },
        )
    }

    async fn complete(&mut self) -> OuterResult<PutResult> {
        let total = self.parts;
        let missing = {
            let state = self.feed.state.lock();
            state.over.is_none() && (state.next..total).any(|part| !state.waiting.contains_key(&part))
        };
        if missing {
            let error = Error::invalid("a part of the upload was not awaited")
                .with_remedy("await every future that `put_part` gave before completing, or abort");
            return Err(outer(error, Call::Write, &self.path));
        }
        self.feed.change(|state| state.total = Some(total));
        self.join().await.map(put_result).map_err(|error| outer(error, Call::Write, &self.path))
    }

    async fn abort(&mut self) -> OuterResult<()> {
        self.feed.change(|state| state.aborted = true);
        match self.put.is_some() {
            // The put fails because its body does, and has cleaned up when it returns.
            true => self.join().await.map_or(Ok(()), |_| {
                let error =
                    Error::new(ErrorKind::Precondition, "the upload was complete before it was aborted");
                Err(outer(error, Call::Write, &self.path))
            }),
            false => Ok(()),
        }
    }
}

impl Drop for FedUpload {
    fn drop(&mut self) {
        self.feed.change(|state| state.aborted = true);
    }
}
