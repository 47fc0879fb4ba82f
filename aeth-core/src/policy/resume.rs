//! Bodies that go on after a failure.

use super::{CallKind, Guard};
use crate::blob::{Blob, BlobStore, Capability, ETag, ETagMatch, GetOptions, GetRange};
use crate::{BlobPath, ByteStream, ClockExt, Error, Result, Retry};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::ops::Range;
use std::sync::Arc;

/// Where the bytes come from.
struct Source {
    store: Arc<dyn BlobStore>,
    guard: Guard,
    path: BlobPath,
    etag: Option<ETag>,
    version: Option<String>,
}

struct Reading {
    source: Source,
    at: u64,
    end: u64,
    body: Option<ByteStream>,
    /// Failures since the last chunk.
    failures: u32,
}

/// The blob with a body that fails when it stalls, and that is taken up where it ended when it fails transiently.
pub(super) fn resuming(store: Arc<dyn BlobStore>, guard: Guard, blob: Blob, version: Option<String>) -> Blob {
    let Blob { meta, range, body, .. } = blob;
    let claims = store.capabilities();
    let resumable = claims.has(Capability::RangeGet) && claims.has(Capability::ConditionalGet);
    let etag = meta.etag.clone().filter(|_| resumable);
    let source = Source { store, guard, path: meta.path.clone(), etag, version };
    let reading = Reading { source, at: range.start, end: range.end, body: Some(body), failures: 0 };
    let chunks = stream::try_unfold(reading, |mut reading| async move {
        Ok(reading.next().await?.map(|chunk| (chunk, reading)))
    });
    Blob::new(meta, range, chunks.into_stream().boxed())
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.source.reopen(self.at..self.end).await?,
            };
            let chunk = match self.source.guard.policy().attempt_timeout {
                None => body.next().await,
                Some(limit) => match self.source.guard.clock().timeout(limit, body.next()).await {
                    Ok(chunk) => chunk,
                    Err(error) => Some(Err(error.with_operation("get").with_key(&self.source.path))),
                },
            };
            let error = match chunk {
                Some(Ok(chunk)) => {
                    self.at += chunk.len() as u64;
                    self.failures = 0;
                    self.body = Some(body);
                    return Ok(Some(chunk));
                }
                None if self.at >= self.end => return Ok(None),
                None => Error::unavailable(format!("the body ended at {} of {}", self.at, self.end))
                    .with_operation("get")
                    .with_key(&self.source.path),
                Some(Err(error)) => error,
            };
            if !error.retry().is_worthwhile() {
                return Err(error);
            }
            self.failures += 1;
            let attempts = self.source.guard.policy().retries.attempts;
            if self.source.etag.is_none() || self.failures >= attempts || self.at >= self.end {
                return Err(error.with_retry(Retry::Exhausted));
            }
        }
    }
}

impl Source {
    /// Opens the rest, of the same state of the blob.
    async fn reopen(&self, rest: Range<u64>) -> Result<ByteStream> {
        let mut options = GetOptions::default().with_range(GetRange::Bounded(rest));
        options.if_match = self.etag.clone().map(ETagMatch::from);
        options.version.clone_from(&self.version);
        let attempt = |_| self.store.get_opts(&self.path, options.clone());
        Ok(self.guard.call(CallKind::read("get"), attempt).await?.body)
    }
}
