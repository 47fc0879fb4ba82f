//! Copying and renaming.

use super::ObjectStoreAdapter;
use super::put::delete;
use aeth_core::blob::{
    BlobStore, Capability, CopyAttributes, CopyMode, CopyOptions, GetOptions, PutMode, PutOptions, PutResult,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use object_store::RenameTargetMode;

impl ObjectStoreAdapter {
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
        if !plain || (options.mode == CopyMode::Create && !self.engine.copies_if_absent()) {
            return self.copy_through(from, to, options).await;
        }
        let mode = match options.mode {
            CopyMode::Create => object_store::CopyMode::Create,
            _ => object_store::CopyMode::Overwrite,
        };
        let (source, target) = (self.outer(from.as_str())?, self.outer(to.as_str())?);
        let request = object_store::CopyOptions::new().with_mode(mode);
        let copied = self.call(self.store.copy_opts(&source, &target, request)).await;
        copied.map(|()| PutResult::default()).map_err(|error| created(error, options.mode))
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
        let (source, target) = (self.outer(from.as_str())?, self.outer(to.as_str())?);
        if plain && self.capabilities().has(Capability::AtomicRename) {
            let mode = match options.mode {
                CopyMode::Create => RenameTargetMode::Create,
                _ => RenameTargetMode::Overwrite,
            };
            let request = object_store::RenameOptions::new().with_target_mode(mode);
            let renamed = self.call(self.store.rename_opts(&source, &target, request)).await;
            return renamed.map(|()| PutResult::default()).map_err(|error| created(error, options.mode));
        }
        let copied = self.copy(from, to, options).await?;
        if from != to {
            self.call(delete(&*self.store, source)).await?;
        }
        Ok(copied)
    }

    fn allow_copy(&self, options: &CopyOptions) -> Result<()> {
        let needs = [
            (options.mode == CopyMode::Create, Capability::CopyCreateOnly),
            (options.attributes != CopyAttributes::Keep, Capability::CopyReplace),
            (options.if_match.is_some(), Capability::ConditionalGet),
        ];
        let claims = self.capabilities();
        needs.into_iter().filter(|(needed, _)| *needed).try_for_each(|(_, needed)| claims.require(needed))
    }

    /// Engines refuse a copy of a blob onto itself, or make a new state of it; here it stays.
    async fn onto_itself(&self, path: &BlobPath, mode: CopyMode) -> Result<PutResult> {
        let meta = self.head_of(path).await?;
        if mode == CopyMode::Create {
            return Err(Error::new(ErrorKind::AlreadyExists, "there is a blob already"));
        }
        Ok(PutResult::new(meta.etag).with_size(meta.size))
    }

    /// Reads the source in one state and puts the target.
    async fn copy_through(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let mut read = GetOptions::default();
        read.if_match = options.if_match.map(Into::into);
        let blob = self.get(from, read).await?;
        let attributes = match options.attributes {
            CopyAttributes::Replace(attributes) => attributes,
            _ => blob.meta.attributes.unwrap_or_default(),
        };
        let mut write = PutOptions::default();
        if self.capabilities().has(Capability::Attributes) {
            write.attributes = attributes;
        }
        if options.mode == CopyMode::Create {
            write.mode = PutMode::Create;
        }
        self.put(to, Body::Once(blob.body, Some(blob.meta.size)), write).await
    }
}

fn created(error: Error, mode: CopyMode) -> Error {
    match (mode, error.kind()) {
        (CopyMode::Create, ErrorKind::Precondition) => {
            Error::new(ErrorKind::AlreadyExists, "there is a blob already").with_source(error)
        }
        _ => error,
    }
}
