//! What several tests share.
#![allow(dead_code, reason = "not every test uses all of it")]

use aeth_core::blob::{
    Attributes, Blob, BlobStore, Capabilities, Capability, CopyAttributes, CopyMode, CopyOptions, GetOptions,
    GetRange, ListOptions, Page, PresignOptions, PutMode, PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Result};
use async_trait::async_trait;
use std::borrow::Cow;

/// A store that does not have some of the capabilities of another, and refuses what needs them.
#[derive(Debug)]
pub(crate) struct Without<S> {
    inner: S,
    claims: Capabilities,
}

impl<S: BlobStore> Without<S> {
    pub(crate) fn new(inner: S, lacking: &[Capability]) -> Self {
        let claims = lacking.iter().fold(inner.capabilities(), |claims, lost| claims.without(*lost));
        Self { inner, claims }
    }

    fn need(&self, when: bool, capability: Capability) -> Result<()> {
        if when { self.claims.require(capability) } else { Ok(()) }
    }

    fn check_put(&self, options: &PutOptions) -> Result<()> {
        self.need(matches!(options.mode, PutMode::Create), Capability::CreateOnly)?;
        self.need(matches!(options.mode, PutMode::Match(_)), Capability::CompareAndSwap)?;
        self.need(!options.attributes.is_empty(), Capability::Attributes)?;
        self.need(!options.tags.is_empty(), Capability::Tags)?;
        self.need(options.checksum.is_some(), Capability::Checksums)
    }

    fn check_copy(&self, options: &CopyOptions) -> Result<()> {
        self.need(options.mode == CopyMode::Create, Capability::CopyCreateOnly)?;
        self.need(matches!(options.attributes, CopyAttributes::Replace(_)), Capability::CopyReplace)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: BlobStore> BlobStore for Without<S> {
    fn name(&self) -> Cow<'_, str> {
        format!("without({})", self.inner.name()).into()
    }

    fn capabilities(&self) -> Capabilities {
        self.claims.clone()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        let conditional = options.if_match.is_some()
            || options.if_none_match.is_some()
            || options.if_modified_since.is_some()
            || options.if_unmodified_since.is_some();
        self.need(conditional, Capability::ConditionalGet)?;
        self.need(matches!(options.range, Some(GetRange::Suffix(_))), Capability::SuffixGet)?;
        self.need(
            matches!(options.range, Some(GetRange::Bounded(_) | GetRange::From(_))),
            Capability::RangeGet,
        )?;
        let mut blob = self.inner.get_opts(path, options).await?;
        if !self.claims.has(Capability::Attributes) {
            blob.meta.attributes = Some(Attributes::default());
        }
        Ok(blob)
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.check_put(&options)?;
        self.inner.put_opts(path, body, options).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        self.inner.delete_many(paths).await
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.check_copy(&options)?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.check_copy(&options)?;
        self.inner.rename_opts(from, to, options).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.need(options.start_after.is_some(), Capability::ListStartAfter)?;
        self.inner.list_page(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        self.claims.require(Capability::Uploads)?;
        self.check_put(&options)?;
        self.inner.begin_upload(path, options).await
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        self.claims.require(Capability::ResumeUploads)?;
        self.inner.resume_upload(path, id).await
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.claims.require(Capability::Presign)?;
        self.inner.presign(path, options).await
    }
}

/// The counters of a source, summed over their labels.
#[derive(Debug, Default)]
pub(crate) struct Sums(std::collections::BTreeMap<&'static str, u64>);

impl Sums {
    pub(crate) fn of(source: &impl aeth_core::observe::MetricsSource) -> Self {
        let mut sums = Self::default();
        source.collect(&mut sums);
        sums
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.find(name).unwrap_or_else(|| panic!("there is no metric {name}"))
    }

    pub(crate) fn find(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }
}

impl aeth_core::observe::Collector for Sums {
    fn counter(
        &mut self,
        descriptor: &aeth_core::observe::Descriptor,
        _labels: &[aeth_core::observe::Label<'_>],
        value: u64,
    ) {
        *self.0.entry(descriptor.name).or_default() += value;
    }

    fn gauge(
        &mut self,
        descriptor: &aeth_core::observe::Descriptor,
        _labels: &[aeth_core::observe::Label<'_>],
        value: f64,
    ) {
        *self.0.entry(descriptor.name).or_default() += value as u64;
    }

    fn histogram(
        &mut self,
        descriptor: &aeth_core::observe::Descriptor,
        _labels: &[aeth_core::observe::Label<'_>],
        value: &aeth_core::observe::HistogramSnapshot,
    ) {
        *self.0.entry(descriptor.name).or_default() += value.count();
    }
}
