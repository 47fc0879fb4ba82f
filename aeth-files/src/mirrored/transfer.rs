//! Copying and renaming, and removing the marks of deleted blobs.

use super::Core;
use aeth_core::blob::{
    Blob, BlobStore, Capability, CopyAttributes, CopyMode, CopyOptions, GetOptions, ListOptions, PutMode,
    PutOptions, PutResult,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

impl Core {
    fn check_copy(&self, options: &CopyOptions) -> Result<()> {
        if options.mode == CopyMode::Create {
            self.caps.require(Capability::CopyCreateOnly)?;
        }
        if matches!(options.attributes, CopyAttributes::Replace(_)) {
            self.caps.require(Capability::CopyReplace)?;
        }
        Ok(())
    }

    /// The source of a copy, when it is the one demanded.
    async fn source(self: &Arc<Self>, from: &BlobPath, options: &CopyOptions, head: bool) -> Result<Blob> {
        let mut get = if head { GetOptions::head() } else { GetOptions::default() };
        get.if_match = options.if_match.clone().map(Into::into);
        self.get(from, get).await
    }

    pub(super) async fn copy(
        self: &Arc<Self>,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        self.check_copy(&options)?;
        let blob = self.source(from, &options, false).await?;
        let mut tags = blob.meta.tags;
        if tags.is_none() && self.caps.has(Capability::Tags) {
            tags = self.source(from, &options, true).await?.meta.tags;
        }
        let mut put = PutOptions::default().with_tags(tags.unwrap_or_default());
        put.mode = match options.mode {
            CopyMode::Create => PutMode::Create,
            _ => PutMode::Overwrite,
        };
        put.attributes = match options.attributes {
            CopyAttributes::Replace(attributes) => attributes,
            _ => blob.meta.attributes.unwrap_or_default(),
        };
        Box::pin(self.put(to, Body::once(blob.body, Some(blob.meta.size)), put)).await
    }

    pub(super) async fn rename(
        self: &Arc<Self>,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        if from == to {
            self.check_copy(&options)?;
            let blob = self.source(from, &options, true).await?;
            if options.mode == CopyMode::Create {
                return Err(Error::new(ErrorKind::AlreadyExists, "there is a blob already")
                    .with_component("mirrored")
                    .with_key(to));
            }
            return Ok(PutResult::new(blob.meta.etag).with_size(blob.meta.size));
        }
        let put = Box::pin(self.copy(from, to, options)).await?;
        self.delete(from).await?;
        Ok(put)
    }

    pub(super) async fn purge(self: &Arc<Self>, age: Duration) -> Result<u64> {
        let mut purged = 0;
        let Some(first) = self.locations.first() else { return Ok(0) };
        let mut next = Some(ListOptions::default());
        while let Some(options) = next.take() {
            let page = first.call(Duration::ZERO, first.store.list_page(options.clone())).await?;
            for meta in page.blobs.iter().filter(|meta| meta.size == 0) {
                let replica = first.look(&meta.path).await?;
                let now = self.clock.now();
                let old = |time| now.duration_since(time).is_ok_and(|since| since >= age);
                let old = replica.version.time().is_some_and(old);
                if replica.dead && replica.meta.is_some() && old {
                    self.bury(&meta.path).await;
                    purged += u64::from(first.look(&meta.path).await?.meta.is_none());
                }
            }
            next = page.next.map(|token| options.with_token(token));
        }
        Ok(purged)
    }
}
