//! The past: which versions there are, how they are read and restored, and when they go.

use super::place::{OldVersion, PREFIX, place};
use super::{Inside, Versioned};
use aeth_core::blob::{Blob, BlobMeta, BlobStore, BlobStoreExt, CopyOptions, GetOptions, PutResult};
use aeth_core::{BlobPath, Error, Result};
use futures_util::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Which old versions are kept; one is when any of these says so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// So many of each blob, the latest; default 0.
    pub last: usize,
    /// Those that were replaced less long ago than this; default 30 days.
    pub within: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { last: 0, within: Duration::from_secs(30 * 24 * 3_600) }
    }
}

impl Retention {
    /// Keeps so many of each blob.
    #[must_use]
    pub fn with_last(mut self, versions: usize) -> Self {
        self.last = versions;
        self
    }

    /// Keeps those that were replaced less long ago than this.
    #[must_use]
    pub fn with_within(mut self, age: Duration) -> Self {
        self.within = age;
        self
    }
}

/// What a restore of a prefix did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RestoredAt {
    /// Blobs that were brought back.
    pub restored: u64,
    /// Blobs that did not exist at the time, and were deleted.
    pub deleted: u64,
    /// Blobs that are what they were.
    pub unchanged: u64,
}

impl Inside {
    /// The old versions below a prefix of paths, in the order of their places.
    async fn old(&self, prefix: &str) -> Result<Vec<OldVersion>> {
        let mut versions = Vec::new();
        let mut listed = self.inner.list(Some(&format!("{PREFIX}/{prefix}")));
        while let Some(meta) = listed.try_next().await? {
            versions.extend(OldVersion::parse(&meta.path, meta.size));
        }
        Ok(versions)
    }

    pub(super) async fn get_version(
        &self,
        path: &BlobPath,
        id: &str,
        mut options: GetOptions,
    ) -> Result<Blob> {
        let missing =
            || Error::not_found("there is no such version").with_component("versioned").with_key(path);
        if !super::place::is_id(id) {
            return Err(missing());
        }
        options.version = None;
        let mut blob = match self.inner.get_opts(&place(path, id)?, options).await {
            Err(error) if error.is_not_found() => return Err(missing()),
            blob => blob?,
        };
        let old = OldVersion::parse(&blob.meta.path, blob.meta.size);
        blob.meta.path = path.clone();
        blob.meta.version = Some(id.to_owned());
        if let Some(old) = old {
            blob.meta.modified = old.written;
        }
        Ok(blob)
    }
}

impl Versioned {
    /// The old versions of a blob, in the order in which they were replaced.
    ///
    /// # Errors
    /// Those of the listing.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn versions(&self, path: &BlobPath) -> Result<Vec<OldVersion>> {
        let mut versions = self.inside.old(&format!("{path}/")).await?;
        versions.retain(|version| version.path == *path);
        Ok(versions)
    }

    /// Opens a blob as it was at a time.
    ///
    /// # Errors
    /// `NotFound` when it did not exist then, or the version is not kept any more; those of a get.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn get_at(&self, path: &BlobPath, time: SystemTime) -> Result<Blob> {
        let versions = self.versions(path).await?;
        if let Some(version) = versions.iter().rev().find(|version| version.was_current_at(time)) {
            return self.inside.get_version(path, &version.id, GetOptions::default()).await;
        }
        let blob = self.front.get_opts(path, GetOptions::default()).await?;
        if blob.meta.modified <= time {
            return Ok(blob);
        }
        Err(Error::not_found("the blob did not exist at that time")
            .with_component("versioned")
            .with_key(path))
    }

    /// Makes an old version the current one; what is current becomes an old version. No byte moves through this
    /// process where the store below copies by itself.
    ///
    /// # Errors
    /// `NotFound` when there is no such version; those of a copy.
    ///
    /// # Cancel safety
    /// The blob is old or new.
    pub async fn restore(&self, path: &BlobPath, id: &str) -> Result<PutResult> {
        if !super::place::is_id(id) {
            return Err(Error::not_found("there is no such version")
                .with_component("versioned")
                .with_key(path));
        }
        self.inside.copy(&place(path, id)?, path, CopyOptions::default()).await.map_err(|error| {
            if error.is_not_found() { error.with_remedy("list the versions that are kept") } else { error }
        })
    }

    /// Makes all blobs whose path starts with `prefix` what they were at a time. What is current becomes old versions,
    /// so that it can be undone.
    ///
    /// # Errors
    /// The first one; some blobs may be restored then, and calling it again completes it.
    ///
    /// # Cancel safety
    /// Some blobs may be restored; calling it again completes it.
    pub async fn restore_at(&self, prefix: &str, time: SystemTime) -> Result<RestoredAt> {
        let mut report = RestoredAt::default();
        let mut then: BTreeMap<BlobPath, String> = BTreeMap::new();
        for version in self.inside.old(prefix).await? {
            if version.was_current_at(time) {
                then.insert(version.path, version.id);
            }
        }
        let current: Vec<BlobMeta> = self.front.list(Some(prefix)).try_collect().await?;
        for meta in current {
            if then.contains_key(&meta.path) {
                continue;
            }
            if meta.modified <= time {
                report.unchanged += 1;
            } else {
                self.inside.delete(&meta.path).await?;
                report.deleted += 1;
            }
        }
        for (path, id) in then {
            self.restore(&path, &id).await?;
            report.restored += 1;
        }
        Ok(report)
    }

    /// Removes old versions that are not to be kept any more, and says how many.
    ///
    /// # Errors
    /// Those of the listing and of the deletes.
    ///
    /// # Cancel safety
    /// Cancel-safe; calling it again completes it.
    pub async fn prune(&self, retention: &Retention) -> Result<u64> {
        let now = self.inside.clock.now();
        let mut of_each: BTreeMap<BlobPath, Vec<OldVersion>> = BTreeMap::new();
        for version in self.inside.old("").await? {
            of_each.entry(version.path.clone()).or_default().push(version);
        }
        let mut gone = Vec::new();
        for versions in of_each.into_values() {
            let old = versions.len().saturating_sub(retention.last);
            for version in versions.into_iter().take(old) {
                let age = now.duration_since(version.replaced).unwrap_or_default();
                if age >= retention.within {
                    gone.push(place(&version.path, &version.id)?);
                }
            }
        }
        let batches = futures_util::stream::iter(gone.chunks(1_000));
        let mut batches = batches.then(|batch| self.inside.inner.delete_many(batch));
        while let Some(results) = batches.try_next().await? {
            results.into_iter().collect::<Result<Vec<()>>>()?;
        }
        Ok(gone.len() as u64)
    }
}
