//! An upload that goes wrong.

use super::FaultPlan;
use super::bytes::flip_body;
use super::plan::{After, lost, torn};
use crate::blob::{Part, PutMode, PutResult, Upload, UploadId};
use crate::{Body, Result};
use async_trait::async_trait;

#[derive(Debug)]
pub(super) struct FaultyUpload {
    inner: Box<dyn Upload>,
    plan: FaultPlan,
}

impl FaultyUpload {
    pub(super) fn new(inner: Box<dyn Upload>, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upload for FaultyUpload {
    fn id(&self) -> UploadId {
        self.inner.id()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        match self.plan.enter("put_part").await? {
            After::Nothing => self.inner.put_part(number, body).await,
            After::Lost => {
                self.inner.put_part(number, body).await?;
                Err(lost("put_part"))
            }
            After::Torn => Err(torn("put_part")),
            After::Flip => self.inner.put_part(number, flip_body(&self.plan, body)).await,
        }
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        self.plan.around("list_parts", self.inner.list_parts()).await
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        self.plan.around("complete", self.inner.complete(parts, mode)).await
    }

    async fn abort(&self) -> Result<()> {
        self.plan.around("abort", self.inner.abort()).await
    }
}
