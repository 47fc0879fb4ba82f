//! Putting blobs back into a store.

use super::target;
use crate::browse::TreeEntry;
use crate::format::NodeKind;
use crate::progress::{Progress, SkipList, Skipped, Watch};
use crate::repo::{LockGuard, Repository, SnapshotEntry};
use aeth_core::blob::{BlobStore, PutOptions};
use aeth_core::{BlobPath, Body, ByteStream, Error, Reopen, Result};
use futures_util::{StreamExt, TryStreamExt};

/// Blobs that are put at once.
const PARALLEL: usize = 8;

/// What putting blobs back did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BlobRestoreReport {
    /// Blobs put.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What could not be put back, and why; the first 10,000.
    pub skipped: Vec<Skipped>,
    /// How many could not be put back.
    pub skipped_total: u64,
}

impl Repository {
    /// Puts the files below `at` of a snapshot, as a [`BlobSource`](crate::BlobSource) put them there, back into
    /// `store`, each at its path. What is there already is replaced; other blobs stay. Several are put at once,
    /// each read piece by piece, so memory does not grow with their sizes.
    ///
    /// # Errors
    /// `NotFound` when the snapshot has nothing at `at`; `Busy` when the repository is locked exclusively;
    /// `Corrupt` when a tree cannot be read. What concerns one blob only stands in the report.
    ///
    /// # Cancel safety
    /// Cancel-safe: blobs that were put stay.
    pub async fn restore_blobs(
        &self,
        snapshot: &SnapshotEntry,
        at: &str,
        store: &dyn BlobStore,
        progress: &Progress,
    ) -> Result<BlobRestoreReport> {
        self.shared.revive_unless_writing().await;
        let lock = LockGuard::for_reading(&self.shared).await?;
        let result = self.put_blobs(snapshot, at, store, progress).await;
        lock.release().await;
        result
    }

    async fn put_blobs(
        &self,
        snapshot: &SnapshotEntry,
        at: &str,
        store: &dyn BlobStore,
        progress: &Progress,
    ) -> Result<BlobRestoreReport> {
        self.shared.reload_index().await?;
        let (skipped, watch) = (SkipList::default(), Watch::default());
        let prefix = at.trim_end_matches('/').len() + 1;
        let mut puts = self
            .entries(snapshot, at)
            .try_filter(|entry| std::future::ready(entry.node.kind == NodeKind::File))
            .map_ok(|entry| async move {
                progress.found(entry.node.size);
                let put = self.put_blob(&entry, prefix, store).await;
                Ok((entry, put))
            })
            .try_buffer_unordered(PARALLEL)
            .boxed();
        let mut report = BlobRestoreReport::default();
        while let Some((entry, put)) = puts.try_next().await? {
            match put {
                Ok(()) => {
                    report.blobs += 1;
                    // A hostile tree may claim any size.
                    report.bytes = report.bytes.saturating_add(entry.node.size);
                    progress.file_done();
                    progress.bytes_done(entry.node.size);
                }
                Err(error) => skipped.add(&entry.path, error, progress, &watch),
            }
        }
        report.skipped = skipped.take();
        report.skipped_total = skipped.total();
        Ok(report)
    }

    async fn put_blob(&self, entry: &TreeEntry, prefix: usize, store: &dyn BlobStore) -> Result<()> {
        // A name with a slash in it would be taken for a path: the file would go to where another belongs.
        target::check_name(&entry.node.name)?;
        let name = entry.path.get(prefix..).and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(|| Error::invalid("the name is not that of a blob"))?;
        let path = BlobPath::new(name)?;
        let body = Body::reopenable(FileBody { repository: self.clone(), entry: entry.clone() });
        store.put_opts(&path, body, PutOptions::default()).await.map(drop)
    }
}

/// A file of a snapshot as a body that can be read again when a put is repeated.
#[derive(Debug)]
struct FileBody {
    repository: Repository,
    entry: TreeEntry,
}

impl Reopen for FileBody {
    fn open(&self) -> ByteStream {
        self.repository.content(&self.entry.node)
    }

    fn len(&self) -> Option<u64> {
        Some(self.entry.node.size)
    }
}
