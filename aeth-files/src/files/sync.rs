//! Directories of the host and prefixes of the store, made the same.

use super::tree::{Leaf, Tree, named, place};
use super::{Files, content_type_of};
use crate::blocking::blocking;
use aeth_core::blob::{
    Attributes, BlobMeta, BlobStore, Capability, Checksum, GetOptions, ListedSize, PutOptions,
};
use aeth_core::{BlobPath, Error, Result};
use crc_fast::CrcAlgorithm;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// When two files count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compare {
    /// When they have the same length, and the source is not newer than the target.
    #[default]
    SizeAndTime,
    /// When they have the same length.
    Size,
    /// When they have the same bytes. Both are read, but for blobs of which the store keeps a CRC-64/NVME.
    Content,
}

/// How a directory is synchronised.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncOptions {
    /// When two files count as the same; default by size and time.
    pub compare: Compare,
    /// Whether what the source does not have is deleted in the target; default false.
    pub delete: bool,
    /// How many files are compared and transferred at the same time; default 8.
    pub concurrency: usize,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self { compare: Compare::default(), delete: false, concurrency: 8 }
    }
}

impl SyncOptions {
    /// Sets when two files count as the same.
    #[must_use]
    pub fn with_compare(mut self, compare: Compare) -> Self {
        self.compare = compare;
        self
    }

    /// Sets whether what the source does not have is deleted in the target.
    #[must_use]
    pub fn with_delete(mut self, delete: bool) -> Self {
        self.delete = delete;
        self
    }

    /// Sets how many files are compared and transferred at the same time.
    #[must_use]
    pub fn with_concurrency(mut self, files: usize) -> Self {
        self.concurrency = files;
        self
    }
}

/// One thing that a synchronisation does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncAction {
    /// A file is transferred.
    Transfer {
        /// Its name below the directory and the prefix.
        name: BlobPath,
        /// Its length in bytes.
        size: u64,
    },
    /// A file that the source does not have is deleted in the target.
    Delete {
        /// Its name below the directory and the prefix.
        name: BlobPath,
    },
}

/// What a synchronisation will do, to be read before it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncPlan {
    /// What is done, in the order of names.
    pub actions: Vec<SyncAction>,
    /// How many files are the same already.
    pub same: u64,
    /// How many entries of the directory are left out: symbolic links, sockets and the like.
    pub skipped: u64,
    up: bool,
    dir: PathBuf,
    prefix: String,
    concurrency: usize,
}

/// What a synchronisation did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Synced {
    /// Files that were transferred.
    pub transferred: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were deleted.
    pub deleted: u64,
    /// What failed, by name, and why.
    pub failed: Vec<(BlobPath, Error)>,
}

impl Files {
    /// Plans to make the blobs below `prefix` the same as the files below a directory. Nothing is changed.
    ///
    /// # Errors
    /// Those of the directory and of the listing; `Invalid` for a prefix that does not end in `/` and is not empty.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn plan_sync_up(
        &self,
        dir: impl AsRef<Path> + Send,
        prefix: &str,
        options: &SyncOptions,
    ) -> Result<SyncPlan> {
        self.plan(dir.as_ref().to_path_buf(), prefix, options, true).await
    }

    /// Plans to make the files below a directory the same as the blobs below `prefix`. Nothing is changed.
    ///
    /// # Errors
    /// As [`plan_sync_up`](Self::plan_sync_up).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn plan_sync_down(
        &self,
        prefix: &str,
        dir: impl AsRef<Path> + Send,
        options: &SyncOptions,
    ) -> Result<SyncPlan> {
        self.plan(dir.as_ref().to_path_buf(), prefix, options, false).await
    }

    async fn plan(&self, dir: PathBuf, prefix: &str, options: &SyncOptions, up: bool) -> Result<SyncPlan> {
        if !prefix.is_empty() && !prefix.ends_with('/') {
            return Err(Error::invalid("a prefix to synchronise must end in `/`")
                .with_component("files")
                .with_key(prefix));
        }
        let tree = {
            let dir = dir.clone();
            blocking(move || Tree::read(&dir)).await?
        };
        let mut blobs: BTreeMap<BlobPath, BlobMeta> = BTreeMap::new();
        let mut listed = self.list(prefix);
        while let Some(meta) = listed.try_next().await? {
            let rest = meta.path.as_str().get(prefix.len()..).unwrap_or_default();
            if let Ok(name) = BlobPath::new(rest) {
                blobs.insert(name, meta);
            }
        }
        let (leaves, exact) = (&tree.leaves, self.store().capabilities().listed_size == ListedSize::Exact);
        let names: Vec<BlobPath> =
            if up { leaves.keys().cloned().collect() } else { blobs.keys().cloned().collect() };
        let (blobs_of, compare) = (&blobs, options.compare);
        let compared = stream::iter(names).map(|name| async move {
            let (leaf, blob) = (leaves.get(&name), blobs_of.get(&name));
            let same = match (leaf, blob) {
                (Some(leaf), Some(blob)) => self.is_same(leaf, blob, compare, up, exact).await?,
                _ => false,
            };
            let size = if up { leaf.map_or(0, |leaf| leaf.size) } else { blob.map_or(0, |blob| blob.size) };
            Ok::<_, Error>((!same).then_some(SyncAction::Transfer { name, size }))
        });
        let mut compared = compared.buffered(options.concurrency.max(1));
        let (mut actions, mut same) = (Vec::new(), 0);
        while let Some(action) = compared.try_next().await? {
            same += u64::from(action.is_none());
            actions.extend(action);
        }
        drop(compared);
        if options.delete {
            let extra: Vec<BlobPath> = match up {
                true => blobs.keys().filter(|name| !leaves.contains_key(*name)).cloned().collect(),
                false => leaves.keys().filter(|name| !blobs.contains_key(*name)).cloned().collect(),
            };
            actions.extend(extra.into_iter().map(|name| SyncAction::Delete { name }));
        }
        let (skipped, prefix, concurrency) = (tree.skipped, prefix.to_owned(), options.concurrency.max(1));
        Ok(SyncPlan { actions, same, skipped, up, dir, prefix, concurrency })
    }

    async fn is_same(
        &self,
        leaf: &Leaf,
        blob: &BlobMeta,
        compare: Compare,
        up: bool,
        exact: bool,
    ) -> Result<bool> {
        // A listing that cannot tell the length is asked to look.
        let size = if exact { blob.size } else { self.head(&blob.path).await?.size };
        if size != leaf.size {
            return Ok(false);
        }
        Ok(match compare {
            Compare::Size => true,
            Compare::SizeAndTime if up => leaf.modified <= blob.modified,
            Compare::SizeAndTime => blob.modified <= leaf.modified,
            Compare::Content => self.sum_of_blob(&blob.path).await? == sum_of_file(leaf.file.clone()).await?,
        })
    }

    async fn sum_of_blob(&self, path: &BlobPath) -> Result<u64> {
        if let Some(Checksum::Crc64Nvme(sum)) = self.head(path).await?.checksum {
            return Ok(sum);
        }
        let mut body = self.store().get_opts(path, GetOptions::default()).await?.body;
        let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme);
        while let Some(chunk) = body.try_next().await? {
            digest.update(&chunk);
        }
        Ok(digest.finalize())
    }

    /// Does what a plan says, and goes on after failures, which are in the report. A blob appears whole or not at all,
    /// and so does a file.
    ///
    /// # Cancel safety
    /// Some of it may be done; planning again finds what is left.
    pub async fn apply_sync(&self, plan: &SyncPlan) -> Synced {
        let work = stream::iter(plan.actions.iter().cloned()).map(|action| async move {
            match action {
                SyncAction::Transfer { name, .. } => {
                    let done =
                        if plan.up { self.send(plan, &name).await } else { self.fetch(plan, &name).await };
                    (name, done.map(Some))
                }
                SyncAction::Delete { name } => {
                    let done = if plan.up {
                        self.remove_blob(plan, &name).await
                    } else {
                        remove_file(plan, &name).await
                    };
                    (name, done.map(|()| None))
                }
            }
        });
        let mut work = work.buffer_unordered(plan.concurrency);
        let mut report = Synced::default();
        while let Some((name, done)) = work.next().await {
            match done {
                Ok(Some(bytes)) => {
                    report.transferred += 1;
                    report.bytes += bytes;
                }
                Ok(None) => report.deleted += 1,
                Err(error) => report.failed.push((name, error)),
            }
        }
        report.failed.sort_by(|a, b| a.0.cmp(&b.0));
        report
    }

    async fn send(&self, plan: &SyncPlan, name: &BlobPath) -> Result<u64> {
        let (root, relative) = (plan.dir.clone(), name.clone());
        let file = blocking(move || place(&root, &relative)).await?;
        let mut options = PutOptions::default();
        if self.store().capabilities().has(Capability::Attributes)
            && let Some(content_type) = content_type_of(name.as_str())
        {
            options.attributes = Attributes::default().with_content_type(content_type);
        }
        let put = self.put_file_with(blob_path(plan, name)?, file, options, None).await?;
        Ok(put.size.unwrap_or(0))
    }

    async fn fetch(&self, plan: &SyncPlan, name: &BlobPath) -> Result<u64> {
        let (root, relative) = (plan.dir.clone(), name.clone());
        let file = blocking(move || {
            let file = place(&root, &relative)?;
            let above = file.parent().unwrap_or(&root);
            std::fs::create_dir_all(above).map_err(|error| named(error, above))?;
            Ok(file)
        })
        .await?;
        let meta = self.get_to_file(blob_path(plan, name)?, &file).await?;
        blocking(move || {
            // The time of the blob, so that the next comparison finds them the same.
            let opened =
                std::fs::File::options().write(true).open(&file).map_err(|error| named(error, &file))?;
            opened.set_modified(meta.modified).map_err(|error| named(error, &file))
        })
        .await?;
        Ok(meta.size)
    }

    async fn remove_blob(&self, plan: &SyncPlan, name: &BlobPath) -> Result<()> {
        self.delete(blob_path(plan, name)?).await
    }
}

async fn remove_file(plan: &SyncPlan, name: &BlobPath) -> Result<()> {
    let (root, relative) = (plan.dir.clone(), name.clone());
    blocking(move || {
        let file = place(&root, &relative)?;
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(named(error, &file)),
            _ => Ok(()),
        }
    })
    .await
}

fn blob_path(plan: &SyncPlan, name: &BlobPath) -> Result<BlobPath> {
    Ok(BlobPath::new(format!("{}{name}", plan.prefix))?)
}

async fn sum_of_file(file: PathBuf) -> Result<u64> {
    blocking(move || {
        let shown = |error| named(error, &file);
        let mut opened = std::fs::File::open(&file).map_err(shown)?;
        let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match opened.read(&mut buffer).map_err(shown)? {
                0 => return Ok(digest.finalize()),
                read => digest.update(buffer.get(..read).unwrap_or_default()),
            }
        }
    })
    .await
}
