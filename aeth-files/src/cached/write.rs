//! Writes: what they make unknown.

use super::Shared;
use aeth_core::blob::{Part, PutMode, PutResult, Upload, UploadId};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use async_trait::async_trait;
use std::sync::Arc;

/// A write under way: what was known of its blobs is forgotten when it begins and when it ends, however it ends.
pub(super) struct Change {
    shared: Arc<Shared>,
    paths: Vec<BlobPath>,
    /// Whether it may still take effect after its end.
    open: bool,
}

impl Change {
    pub(super) fn begin(shared: &Arc<Shared>, paths: &[BlobPath]) -> Self {
        paths.iter().for_each(|path| shared.index.changed(path));
        Self { shared: Arc::clone(shared), paths: paths.to_vec(), open: true }
    }

    /// The write ended with a verdict: nothing of it will happen later.
    async fn settle(mut self) {
        self.open = false;
        let (shared, paths) = (Arc::clone(&self.shared), std::mem::take(&mut self.paths));
        paths.iter().for_each(|path| shared.index.changed(path));
        if let Some(peers) = shared.peers.clone() {
            // On a task of its own: a caller that goes must not leave the peers untold.
            let told = shared.tasks.spawn(async move { peers.tell(paths, false).await });
            drop(told.await);
        }
    }

    /// Runs a batch of writes.
    pub(super) async fn around_all<T>(
        self,
        write: impl Future<Output = Result<Vec<Result<T>>>> + Send,
    ) -> Result<Vec<Result<T>>> {
        let results = write.await;
        let all_final = match &results {
            Ok(each) => each.iter().filter_map(|result| result.as_ref().err()).all(is_final),
            Err(error) => is_final(error),
        };
        if all_final {
            self.settle().await;
        }
        results
    }

    /// Runs the write.
    pub(super) async fn around<T>(self, write: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let result = write.await;
        if result.as_ref().err().is_none_or(is_final) {
            self.settle().await;
        }
        result
    }
}

/// True for an error after which nothing of the write will happen.
fn is_final(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Other)
}

impl Drop for Change {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let now = self.shared.clock.monotonic();
        for path in &self.paths {
            // In this order: what is asked from now on is not remembered.
            self.shared.index.doubt(path, now);
            self.shared.index.changed(path);
        }
        if let Some(peers) = self.shared.peers.clone().filter(|_| !self.shared.tasks.is_closing()) {
            let paths = std::mem::take(&mut self.paths);
            if tokio::runtime::Handle::try_current().is_ok() {
                drop(self.shared.tasks.spawn(async move { peers.tell(paths, true).await }));
            }
        }
    }
}

/// An upload whose completion is a write.
#[derive(Debug)]
pub(super) struct CachedUpload {
    pub(super) inner: Box<dyn Upload>,
    pub(super) shared: Arc<Shared>,
    pub(super) path: BlobPath,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upload for CachedUpload {
    fn id(&self) -> UploadId {
        self.inner.id()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        self.inner.put_part(number, body).await
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        self.inner.list_parts().await
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        let change = Change::begin(&self.shared, std::slice::from_ref(&self.path));
        change.around(self.inner.complete(parts, mode)).await
    }

    async fn abort(&self) -> Result<()> {
        self.inner.abort().await
    }
}
