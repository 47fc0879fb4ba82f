//! A policy over a blob store.

use super::resume::resuming;
use super::upload::PolicyUpload;
use super::write::{self, MARK};
use super::{CallKind, Guard, Policy, Repeat};
use crate::blob::{
    Blob, BlobMeta, BlobStore, BlobStoreExt, Capabilities, Capability, CopyMode, CopyOptions, GetOptions,
    ListOptions, Page, PresignOptions, PutMode, PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use crate::{BlobPath, Body, Clock, Error, ErrorKind, Result, Retry};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::sync::Arc;

/// A [`BlobStore`] over another one whose calls are made under a [`Policy`].
///
/// - Reads are repeated, and hedged when the policy says so. A body that breaks off or stalls is taken up where
///   it ended, under the mark of the state that it began with (where the store does ranges and conditions).
/// - Puts are repeated when their body can be read again. Listings, deletes and overwriting copies are repeated;
///   renames, creating copies and the completion of uploads only when they were refused, because they may have
///   taken effect.
/// - A conditional put may find its own blob in the way, when the answer of an earlier attempt was lost. It then
///   recognises it by a random mark in the caller's metadata (`aeth-put`), which this wrapper adds to conditional
///   puts and takes off on reads. On a store without attributes such a put is not repeated, and fails with what
///   it failed with: comparing the bytes would take another writer's equal bytes for its own.
#[derive(Debug, Clone)]
pub struct PolicyStore {
    inner: Arc<dyn BlobStore>,
    guard: Guard,
}

impl PolicyStore {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: impl BlobStore, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        let guard = Guard::new(inner.name().into_owned(), policy, clock);
        Self { inner: Arc::new(inner), guard }
    }

    /// The guard: breaker state and metrics.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The put of an earlier attempt, if it is what is there now.
    async fn own_put(&self, path: &BlobPath, mark: &str, refusal: Error) -> Result<PutResult> {
        match self.inner.head(path).await {
            Ok(meta) if write::mark_of(&meta) == Some(mark) => {
                let mut put = PutResult::new(meta.etag).with_size(meta.size);
                put.version = meta.version;
                Ok(put)
            }
            Err(error) if error.retry().is_worthwhile() => Err(error),
            _ => Err(refusal),
        }
    }
}

fn unmark(meta: &mut BlobMeta) {
    if let Some(attributes) = &mut meta.attributes {
        attributes.user.remove(MARK);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for PolicyStore {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        let attempt = |_| self.inner.get_opts(path, options.clone());
        let mut blob = self.guard.call(CallKind::read("get"), attempt).await?;
        unmark(&mut blob.meta);
        if options.head {
            return Ok(blob);
        }
        Ok(resuming(Arc::clone(&self.inner), self.guard.clone(), blob, options.version))
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        let conditional = options.mode != PutMode::Overwrite;
        let again = body.try_clone().is_some();
        let mut options = options;
        let mut mark = None;
        if conditional && again && self.capabilities().has(Capability::Attributes) {
            let made = format!("{:032x}", fastrand::u128(..));
            options.attributes.user.insert(MARK.to_owned(), made.clone());
            mark = Some(made);
        }
        let repeat = match (again, conditional, &mark) {
            (false, ..) => Repeat::Never,
            (true, true, None) => Repeat::IfRefused,
            _ => Repeat::Always,
        };
        let extra = write::transfer_time(&body);
        let kind = CallKind::idempotent("put").with_repeat(repeat).with_extra(extra);
        let body = Mutex::new(Some(body));
        self.guard
            .call(kind, |number| {
                let again = {
                    let mut kept = body.lock();
                    kept.as_ref().and_then(Body::try_clone).or_else(|| kept.take())
                };
                let (options, mark) = (options.clone(), mark.as_deref());
                Box::pin(async move {
                    let Some(body) = again else {
                        return Err(Error::other("the body was used up").with_operation("put"));
                    };
                    let limit = self.guard.policy().attempt_timeout;
                    let put = write::watched(&**self.guard.clock(), limit, body, |body| {
                        self.inner.put_opts(path, body, options)
                    });
                    match (put.await, mark) {
                        (Err(refusal), Some(mark))
                            if number > 1
                                && matches!(
                                    refusal.kind(),
                                    ErrorKind::AlreadyExists | ErrorKind::Precondition
                                ) =>
                        {
                            self.own_put(path, mark, refusal).await
                        }
                        (put, _) => put,
                    }
                })
            })
            .await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        // What is still to be deleted after an attempt that did a part.
        let results: Mutex<Vec<Option<Result<()>>>> = Mutex::new(vec![None; paths.len()]);
        let done = self
            .guard
            .call(CallKind::idempotent("delete"), |_| {
                let results = &results;
                Box::pin(async move {
                    let transient = |result: &Option<Result<()>>| match result {
                        None => true,
                        Some(Ok(())) => false,
                        Some(Err(error)) => error.retry().is_worthwhile(),
                    };
                    let left: Vec<usize> = {
                        let results = results.lock();
                        (0..paths.len()).filter(|i| results.get(*i).is_none_or(transient)).collect()
                    };
                    let asked: Vec<BlobPath> = left.iter().filter_map(|i| paths.get(*i).cloned()).collect();
                    let answers = self.inner.delete_many(&asked).await?;
                    let mut failed = None;
                    let mut results = results.lock();
                    for (i, answer) in left.into_iter().zip(answers) {
                        if let Err(error) = &answer {
                            failed =
                                Some(error.clone()).filter(|error| error.retry().is_worthwhile()).or(failed);
                        }
                        if let Some(result) = results.get_mut(i) {
                            *result = Some(answer);
                        }
                    }
                    failed.map_or(Ok(()), Err)
                })
            })
            .await;
        let results = results.into_inner();
        match done {
            Err(error) if results.iter().all(Option::is_none) && !paths.is_empty() => Err(error),
            done => {
                let missing = || done.clone().err().unwrap_or_else(|| Error::other("not tried"));
                let exhausted = |error: Error| match error.retry() {
                    Retry::After(_) => error.with_retry(Retry::Exhausted),
                    _ => error,
                };
                let settled =
                    |result: Option<Result<()>>| result.unwrap_or_else(|| Err(missing())).map_err(exhausted);
                Ok(results.into_iter().map(settled).collect())
            }
        }
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let kind = match options.mode {
            CopyMode::Overwrite => CallKind::idempotent("copy"),
            CopyMode::Create => CallKind::once("copy"),
        };
        self.guard.call(kind, |_| self.inner.copy_opts(from, to, options.clone())).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let kind = CallKind::once("rename");
        self.guard.call(kind, |_| self.inner.rename_opts(from, to, options.clone())).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        let kind = CallKind::idempotent("list");
        self.guard.call(kind, |_| self.inner.list_page(options.clone())).await
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        let kind = CallKind::idempotent("begin_upload");
        let upload = self.guard.call(kind, |_| self.inner.begin_upload(path, options.clone())).await?;
        Ok(Box::new(PolicyUpload::new(upload, self.guard.clone())))
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        let kind = CallKind::idempotent("resume_upload");
        let upload = self.guard.call(kind, |_| self.inner.resume_upload(path, id)).await?;
        Ok(Box::new(PolicyUpload::new(upload, self.guard.clone())))
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        let kind = CallKind::idempotent("presign");
        self.guard.call(kind, |_| self.inner.presign(path, options.clone())).await
    }
}
