//! A policy over an upload.

use super::write;
use super::{CallKind, Guard, Repeat};
use crate::blob::{Part, PutMode, PutResult, Upload, UploadId};
use crate::{Body, Error, Result};
use async_trait::async_trait;
use parking_lot::Mutex;

#[derive(Debug)]
pub(super) struct PolicyUpload {
    inner: Box<dyn Upload>,
    guard: Guard,
}

impl PolicyUpload {
    pub(super) fn new(inner: Box<dyn Upload>, guard: Guard) -> Self {
        Self { inner, guard }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upload for PolicyUpload {
    fn id(&self) -> UploadId {
        self.inner.id()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        let repeat = if body.try_clone().is_some() { Repeat::Always } else { Repeat::Never };
        let extra = write::transfer_time(&body);
        let kind = CallKind::idempotent("put_part").with_repeat(repeat).with_extra(extra);
        let body = Mutex::new(Some(body));
        self.guard
            .call(kind, |_| {
                let again = {
                    let mut kept = body.lock();
                    kept.as_ref().and_then(Body::try_clone).or_else(|| kept.take())
                };
                Box::pin(async move {
                    let Some(body) = again else {
                        return Err(Error::other("the body was used up").with_operation("put_part"));
                    };
                    let limit = self.guard.policy().attempt_timeout;
                    let put = |body| self.inner.put_part(number, body);
                    write::watched(&**self.guard.clock(), limit, body, put).await
                })
            })
            .await
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        self.guard.call(CallKind::idempotent("list_parts"), |_| self.inner.list_parts()).await
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        self.guard.call(CallKind::once("complete"), |_| self.inner.complete(parts, mode.clone())).await
    }

    async fn abort(&self) -> Result<()> {
        self.guard.call(CallKind::idempotent("abort"), |_| self.inner.abort()).await
    }
}
