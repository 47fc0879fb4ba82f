//! A layer that slows down.

use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, Page, Part,
    PresignOptions, PutMode, PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, ByteStream, Clock, Error, ErrorKind, Result, Retry, SystemClock};
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// How much may pass in a second. `None`, the default: as much as there is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Calls that read, in a second.
    pub reads: Option<f64>,
    /// Calls that write, delete, copy or rename, in a second; a batch of deletes counts each path.
    pub writes: Option<f64>,
    /// Bytes of bodies read, in a second.
    pub bytes_down: Option<f64>,
    /// Bytes of bodies written, in a second.
    pub bytes_up: Option<f64>,
    /// For how long what was not used is saved up; default 1 s.
    pub burst: Duration,
    /// How long a call may wait for its turn before it fails with `Busy`; default 30 s.
    pub patience: Duration,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            reads: None,
            writes: None,
            bytes_down: None,
            bytes_up: None,
            burst: Duration::from_secs(1),
            patience: Duration::from_secs(30),
        }
    }
}

impl RateLimits {
    /// Limits calls that read, in a second.
    #[must_use]
    pub fn with_reads(mut self, calls: f64) -> Self {
        self.reads = Some(calls);
        self
    }

    /// Limits calls that write, in a second.
    #[must_use]
    pub fn with_writes(mut self, calls: f64) -> Self {
        self.writes = Some(calls);
        self
    }

    /// Limits bytes read, in a second.
    #[must_use]
    pub fn with_bytes_down(mut self, bytes: f64) -> Self {
        self.bytes_down = Some(bytes);
        self
    }

    /// Limits bytes written, in a second.
    #[must_use]
    pub fn with_bytes_up(mut self, bytes: f64) -> Self {
        self.bytes_up = Some(bytes);
        self
    }

    /// Sets for how long what was not used is saved up.
    #[must_use]
    pub fn with_burst(mut self, burst: Duration) -> Self {
        self.burst = burst;
        self
    }

    /// Sets how long a call may wait for its turn.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// A bucket into which `rate` tokens fall each second. Who takes more than there are is in debt, and waits until it
/// is paid: so a chunk larger than the bucket passes, and the rate holds.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    most: f64,
    state: Mutex<(f64, Duration)>,
}

impl Bucket {
    fn new(rate: f64, burst: Duration, now: Duration) -> Self {
        let rate = if rate.is_finite() { rate.max(f64::MIN_POSITIVE) } else { f64::MAX };
        let most = (rate * burst.as_secs_f64()).max(1.0);
        Self { rate, most, state: Mutex::new((most, now)) }
    }

    /// Takes tokens unless that would mean waiting for longer than `patience`, and says for how long to wait.
    fn take(&self, tokens: f64, now: Duration, patience: Duration) -> Result<Duration, Duration> {
        let mut state = self.state.lock();
        let (level, then) = *state;
        let level = (level + now.saturating_sub(then).as_secs_f64() * self.rate).min(self.most);
        let after = level - tokens;
        // The debt that was there before is what has to be waited for.
        let wait = (-level / self.rate).max(0.0);
        let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
        if wait > patience {
            *state = (level, now);
            return Err(wait);
        }
        *state = (after, now);
        Ok(wait)
    }
}

#[derive(Debug)]
struct Shared {
    limits: RateLimits,
    reads: Option<Bucket>,
    writes: Option<Bucket>,
    down: Option<Bucket>,
    up: Option<Bucket>,
    clock: Arc<dyn Clock>,
}

impl Shared {
    async fn pass(&self, bucket: Option<&Bucket>, tokens: f64) -> Result<()> {
        let Some(bucket) = bucket else { return Ok(()) };
        match bucket.take(tokens, self.clock.monotonic(), self.limits.patience) {
            Ok(Duration::ZERO) => Ok(()),
            Ok(wait) => {
                self.clock.sleep(wait).await;
                Ok(())
            }
            Err(wait) => Err(Error::new(ErrorKind::Busy, "the rate limit is reached")
                .with_component("rate-limited")
                .with_retry(Retry::After(wait.saturating_sub(self.limits.patience)))
                .with_remedy("ask less often, or raise the limit")),
        }
    }
}

/// A layer that lets only so many calls and bytes pass in a second. Whoever exceeds a limit waits, in turn; who would
/// wait for longer than [`RateLimits::patience`] fails with `Busy`, and nothing is done. Presigned URLs are refused,
/// because they would lead around it.
///
/// Cheap to clone; clones share the limits.
#[derive(Debug, Clone)]
pub struct RateLimited {
    inner: Arc<dyn BlobStore>,
    name: Arc<str>,
    shared: Arc<Shared>,
}

impl RateLimited {
    /// Limits what passes to and from `store`.
    #[must_use]
    pub fn new(store: impl BlobStore, limits: RateLimits) -> Self {
        Self::with_clock(store, limits, SystemClock::shared())
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(store: impl BlobStore, limits: RateLimits, clock: Arc<dyn Clock>) -> Self {
        let now = clock.monotonic();
        let bucket = |rate: Option<f64>| rate.map(|rate| Bucket::new(rate, limits.burst, now));
        let shared = Shared {
            reads: bucket(limits.reads),
            writes: bucket(limits.writes),
            down: bucket(limits.bytes_down),
            up: bucket(limits.bytes_up),
            limits,
            clock,
        };
        let name = format!("rate-limited({})", store.name()).into();
        Self { inner: Arc::new(store), name, shared: Arc::new(shared) }
    }

    async fn reading(&self) -> Result<()> {
        self.shared.pass(self.shared.reads.as_ref(), 1.0).await
    }

    async fn writing(&self) -> Result<()> {
        self.shared.pass(self.shared.writes.as_ref(), 1.0).await
    }

    fn up(&self, body: Body) -> Body {
        if self.shared.up.is_none() {
            return body;
        }
        let (shared, length) = (Arc::clone(&self.shared), body.length());
        Body::Once(slowed(body.into_stream(), shared, true), length)
    }

    fn upload(&self, upload: Box<dyn Upload>) -> Box<dyn Upload> {
        Box::new(LimitedUpload { upload, store: self.clone() })
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn slowed(body: ByteStream, shared: Arc<Shared>, up: bool) -> ByteStream {
    stream::unfold((Some(body), shared), move |(body, shared)| async move {
        let mut body = body?;
        match body.next().await? {
            Ok(chunk) => {
                let bucket = if up { shared.up.as_ref() } else { shared.down.as_ref() };
                match shared.pass(bucket, chunk.len() as f64).await {
                    Ok(()) => Some((Ok(chunk), (Some(body), shared))),
                    Err(error) => Some((Err(error), (None, shared))),
                }
            }
            Err(error) => Some((Err(error), (None, shared))),
        }
    })
    .boxed()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for RateLimited {
    fn name(&self) -> Cow<'_, str> {
        (*self.name).into()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities().without(Capability::Presign)
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.reading().await?;
        let mut blob = self.inner.get_opts(path, options).await?;
        if self.shared.down.is_some() {
            blob.body = slowed(blob.body, Arc::clone(&self.shared), false);
        }
        Ok(blob)
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.writing().await?;
        self.inner.put_opts(path, self.up(body), options).await
    }

    #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        self.shared.pass(self.shared.writes.as_ref(), paths.len() as f64).await?;
        self.inner.delete_many(paths).await
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.writing().await?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.writing().await?;
        self.inner.rename_opts(from, to, options).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.reading().await?;
        self.inner.list_page(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        self.writing().await?;
        Ok(self.upload(self.inner.begin_upload(path, options).await?))
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        self.reading().await?;
        Ok(self.upload(self.inner.resume_upload(path, id).await?))
    }

    async fn presign(&self, path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(Error::unsupported("a URL would lead around the limits")
            .with_component("rate-limited")
            .with_key(path))
    }
}

#[derive(Debug)]
struct LimitedUpload {
    upload: Box<dyn Upload>,
    store: RateLimited,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upload for LimitedUpload {
    fn id(&self) -> UploadId {
        self.upload.id()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        self.store.writing().await?;
        self.upload.put_part(number, self.store.up(body)).await
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        self.store.reading().await?;
        self.upload.list_parts().await
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        self.store.writing().await?;
        self.upload.complete(parts, mode).await
    }

    async fn abort(&self) -> Result<()> {
        // Always let through: it frees what is held.
        self.upload.abort().await
    }
}
