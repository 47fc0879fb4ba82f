//! Copying and renaming.

use super::OpendalAdapter;
use aeth_core::blob::{
    Capability, CopyAttributes, CopyMode, CopyOptions, GetOptions, PutMode, PutOptions, PutResult,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};

impl OpendalAdapter {
    pub(super) async fn copy(
        &self,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        self.allow_copy(&options)?;
        let plain = options.attributes == CopyAttributes::Keep && options.if_match.is_none();
        if from == to && (plain || options.mode == CopyMode::Create) {
            return self.onto_itself(from, options.mode).await;
        }
        let native = plain && self.theirs.copy && !self.staged && options.mode == CopyMode::Overwrite;
        if native {
            let (source, target) = (self.place(from)?, self.place(to)?);
            let found = self.find(source).await?;
            self.call(self.operator.copy(source, target)).await?;
            return Ok(PutResult::default().with_size(found.content_length()));
        }
        Box::pin(self.copy_through(from, to, options)).await
    }

    pub(super) async fn rename(
        &self,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        self.allow_copy(&options)?;
        let plain = options.attributes == CopyAttributes::Keep && options.if_match.is_none();
        if from == to && plain {
            return self.onto_itself(from, options.mode).await;
        }
        if plain && self.claims.has(Capability::AtomicRename) {
            let (source, target) = (self.place(from)?, self.place(to)?);
            let found = self.find(source).await?;
            self.publish(source, target, options.mode == CopyMode::Create).await?;
            return Ok(PutResult::default().with_size(found.content_length()));
        }
        let copied = Box::pin(self.copy(from, to, options)).await?;
        if from != to {
            self.delete_one(from).await?;
        }
        Ok(copied)
    }

    fn allow_copy(&self, options: &CopyOptions) -> Result<()> {
        let needs = [
            (options.mode == CopyMode::Create, Capability::CopyCreateOnly),
            (options.attributes != CopyAttributes::Keep, Capability::CopyReplace),
            (options.if_match.is_some(), Capability::ConditionalGet),
        ];
        let needs = needs.into_iter().filter(|(needed, _)| *needed);
        needs.map(|(_, needed)| needed).try_for_each(|needed| self.claims.require(needed))
    }

    /// Services refuse a copy of a blob onto itself, or empty it; here it stays.
    async fn onto_itself(&self, path: &BlobPath, mode: CopyMode) -> Result<PutResult> {
        let meta = self.meta(path.clone(), &self.find(self.place(path)?).await?);
        if mode == CopyMode::Create {
            return Err(Error::new(ErrorKind::AlreadyExists, "there is a blob already"));
        }
        Ok(PutResult::new(meta.etag).with_size(meta.size))
    }

    /// Reads the source in one state and puts the target.
    async fn copy_through(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let mut read = GetOptions::default();
        read.if_match = options.if_match.map(Into::into);
        let blob = Box::pin(self.get(from, read)).await?;
        let attributes = match options.attributes {
            CopyAttributes::Replace(attributes) => attributes,
            _ => blob.meta.attributes.unwrap_or_default(),
        };
        let mut write = PutOptions::default();
        if self.claims.has(Capability::Attributes) {
            write.attributes = attributes;
        }
        if options.mode == CopyMode::Create {
            write.mode = PutMode::Create;
        }
        Box::pin(self.put(to, Body::Once(blob.body, Some(blob.meta.size)), write)).await
    }
}
