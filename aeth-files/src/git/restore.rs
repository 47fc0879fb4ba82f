//! Versions back into a store.

use super::error::COMPONENT;
use super::read::ArchiveEntry;
use super::{GitArchive, RestoreOptions};
use aeth_core::blob::{BlobStore, BlobStoreExt, Capability, PutOptions};
use aeth_core::{BlobPath, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;

/// What a restore did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The blobs that were written.
    pub written: Vec<BlobPath>,
    /// Their length in bytes.
    pub bytes: u64,
    /// The blobs that were deleted.
    pub deleted: Vec<BlobPath>,
    /// How many blobs lost their attributes, because the store keeps none.
    pub without_attributes: u64,
}

impl GitArchive {
    /// Writes the blobs of a version into a store below a directory (the empty text: at its root), each all or
    /// nothing, and deletes what the version does not have when that is asked for.
    ///
    /// # Errors
    /// `NotFound` for the version or a large blob; `Corrupt`, and then the blob in the store is as it was;
    /// `Invalid` when a path grows too long; those of the store. Some blobs may be written then: repeating the
    /// call completes it.
    ///
    /// # Cancel safety
    /// Any subset of the blobs may be written; repeating the call completes it.
    pub async fn restore(
        &self,
        revision: &str,
        target: &dyn BlobStore,
        prefix: &str,
        options: RestoreOptions,
    ) -> Result<Restored> {
        let restored = self.write_back(revision, target, prefix, &options).await;
        restored.map_err(|error| error.with_operation("restore").with_component(COMPONENT))
    }

    async fn write_back(
        &self,
        revision: &str,
        target: &dyn BlobStore,
        prefix: &str,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        let prefix = prefix.trim_end_matches('/');
        let only = options.only.as_deref().unwrap_or_default();
        let place = |path: &str| match prefix {
            "" => BlobPath::new(path),
            prefix => BlobPath::new(format!("{prefix}/{path}")),
        };
        let mut wanted = Vec::new();
        for entry in self.entries(revision).await? {
            if entry.path.as_str().starts_with(only) {
                wanted.push((place(entry.path.as_str())?, entry));
            }
        }
        let keeps = target.capabilities().has(Capability::Attributes);
        let mut restored = Restored {
            written: wanted.iter().map(|(path, _)| path.clone()).collect(),
            bytes: wanted.iter().map(|(_, entry)| entry.size).sum(),
            without_attributes: wanted
                .iter()
                .filter(|(_, entry)| !keeps && !entry.attributes.is_empty())
                .count() as u64,
            ..Restored::default()
        };
        if options.delete {
            let below = if prefix.is_empty() { only.to_owned() } else { format!("{prefix}/{only}") };
            let kept: BTreeSet<&BlobPath> = wanted.iter().map(|(path, _)| path).collect();
            let mut there = target.list(Some(&below));
            while let Some(meta) = there.try_next().await? {
                if !kept.contains(&meta.path) {
                    restored.deleted.push(meta.path);
                }
            }
        }
        if options.dry_run {
            return Ok(restored);
        }
        stream::iter(wanted)
            .map(Ok)
            .try_for_each_concurrent(self.0.options.concurrency, |(path, entry)| async move {
                self.write_one(target, &path, entry, keeps).await
            })
            .await?;
        for batch in restored.deleted.chunks(1_000) {
            target.delete_many(batch).await?.into_iter().collect::<Result<()>>()?;
        }
        Ok(restored)
    }

    async fn write_one(
        &self,
        target: &dyn BlobStore,
        path: &BlobPath,
        entry: ArchiveEntry,
        keeps: bool,
    ) -> Result<()> {
        let body = self.body(&entry).await?;
        let attributes = if keeps { entry.attributes } else { Default::default() };
        target.put_opts(path, body, PutOptions::default().with_attributes(attributes)).await.map(drop)
    }
}
