//! Reading everything, to find what went bad.

use super::Checksummed;
use aeth_core::blob::{BlobStore, BlobStoreExt, GetOptions};
use aeth_core::{BlobPath, ErrorKind, Result};
use futures_util::{StreamExt, TryStreamExt};

/// What a scrub found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Scrubbed {
    /// Blobs that were read.
    pub checked: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs without a checksum, which were read and could not be checked.
    pub unsummed: u64,
    /// Blobs that are damaged.
    pub damaged: Vec<BlobPath>,
    /// Blobs that could not be read for another reason.
    pub failed: Vec<BlobPath>,
}

impl Checksummed {
    /// Reads all blobs whose path starts with `prefix`, up to `concurrency` at the same time, and says which are not
    /// what was written. It changes nothing.
    ///
    /// # Errors
    /// Those of the listing.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn scrub(&self, prefix: &str, concurrency: usize) -> Result<Scrubbed> {
        let reads = self.list(Some(prefix)).map_ok(|meta| async move {
            let read = self.scrub_one(&meta.path).await;
            Ok((meta.path, read))
        });
        let mut reads = reads.try_buffer_unordered(concurrency.max(1));
        let mut report = Scrubbed::default();
        while let Some((path, read)) = reads.try_next().await? {
            match read {
                Ok((bytes, summed)) => {
                    report.checked += 1;
                    report.bytes += bytes;
                    report.unsummed += u64::from(!summed);
                }
                // It went meanwhile.
                Err(error) if error.is_not_found() => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    report.checked += 1;
                    report.damaged.push(path);
                }
                Err(_) => report.failed.push(path),
            }
        }
        report.damaged.sort_unstable();
        report.failed.sort_unstable();
        Ok(report)
    }

    async fn scrub_one(&self, path: &BlobPath) -> Result<(u64, bool)> {
        let blob = self.front.get_opts(path, GetOptions::default()).await?;
        let summed = blob.meta.checksum.is_some();
        let (mut body, mut read) = (blob.body, 0);
        while let Some(chunk) = body.next().await {
            read += chunk?.len() as u64;
        }
        Ok((read, summed))
    }
}
