//! The blobs of a store.

use super::entry::{FileSource, VirtualFile};
use crate::Id;
use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::{BlobPath, ByteStream, Error, Result};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::sync::Arc;

/// The blobs of a store or of a prefix of it, as files: what the store gives is what is backed up, so blobs of
/// an encrypted store are backed up as plaintext (and sealed by the repository). A blob whose size, time and
/// `ETag` did not change since the parent snapshot is not read again.
///
/// The path of the file is the path of the blob, as it is; [`BlobPath::decode`] is not applied, so that a
/// restore puts each blob back where it was.
#[derive(Debug, Clone)]
pub struct BlobSource {
    store: Arc<dyn BlobStore>,
    prefix: Option<BlobPath>,
}

impl BlobSource {
    /// All blobs of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self { store, prefix: None }
    }

    /// Only blobs below `prefix`, which their paths in the snapshot do not repeat.
    #[must_use]
    pub fn prefix(mut self, prefix: BlobPath) -> Self {
        self.prefix = Some(prefix);
        self
    }
}

#[async_trait]
impl FileSource for BlobSource {
    fn list(&self) -> BoxStream<'_, Result<VirtualFile>> {
        let prefix = self.prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let files = self.store.list(Some(prefix.as_str()).filter(|prefix| !prefix.is_empty()));
        let file = move |meta: aeth_core::blob::BlobMeta| {
            let path = meta.path.as_str();
            let path = path.strip_prefix(prefix.as_str()).unwrap_or(path);
            let mut file = VirtualFile::new(path, meta.modified).size(meta.size);
            if let Some(etag) = &meta.etag {
                let mut first = [0; 8];
                first.copy_from_slice(&Id::of(etag.as_str().as_bytes()).as_bytes()[..8]);
                file = file.fingerprint(u64::from_le_bytes(first));
            }
            file
        };
        files.map(move |meta| meta.map(&file)).boxed()
    }

    async fn open(&self, file: &VirtualFile) -> Result<ByteStream> {
        let path = String::from_utf8_lossy(&file.path);
        let path = match &self.prefix {
            Some(prefix) => prefix.join(&*path),
            None => BlobPath::new(&*path),
        };
        let blob = self.store.get(&path.map_err(Error::from)?).await?;
        Ok(blob.body)
    }
}
