//! Copying and renaming: a blob that is away gets a place of its own in its tier.

use super::moves::Moved;
use super::stub::Stub;
use super::write::check_attributes;
use super::{Core, placed};
use aeth_core::blob::{
    BlobMeta, BlobStore, BlobStoreExt, Capability, CopyAttributes, CopyMode, CopyOptions, PutMode, PutResult,
};
use aeth_core::{BlobPath, Error, ErrorKind, Result};

/// How often a source that is moved meanwhile is looked at again.
const TRIES: usize = 8;

impl Core {
    pub(super) async fn copy(
        &self,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        self.allow(&options)?;
        if let CopyAttributes::Replace(attributes) = &options.attributes {
            check_attributes(attributes, to)?;
        }
        for _ in 0..TRIES {
            let (meta, stub) = self.look(from).await?;
            let copied = match stub {
                Some(stub) => self.copy_away(&meta, &stub, to, &options).await,
                None => self.copy_here(&meta, to, options.clone()).await,
            };
            match copied {
                Ok(Some(result)) => return Ok(result),
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        let error = Error::new(ErrorKind::Busy, "the blob was moved again and again while it was copied");
        Err(placed(error, from).with_remedy("copy it again"))
    }

    pub(super) async fn rename(
        &self,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        self.allow(&options)?;
        if let CopyAttributes::Replace(attributes) = &options.attributes {
            check_attributes(attributes, to)?;
        }
        if from == to {
            return self.copy(from, to, options).await;
        }
        // No move of the source in this process comes between.
        let _turn = self.turn(from).await;
        let (_, stub) = self.look(from).await?;
        // With new attributes a stub that was meanwhile put there must not be taken for the blob.
        let plain = options.attributes == CopyAttributes::Keep;
        if stub.is_none() && plain {
            let renamed = self.hot.rename_opts(from, to, options).await?;
            return Ok(self.own_place(to).await?.unwrap_or(renamed));
        }
        let copied = self.copy(from, to, options).await?;
        let deleted = self.delete(std::slice::from_ref(from)).await?;
        deleted.into_iter().collect::<Result<Vec<()>>>()?;
        Ok(copied)
    }

    fn allow(&self, options: &CopyOptions) -> Result<()> {
        if options.mode == CopyMode::Create {
            self.caps.require(Capability::CopyCreateOnly)?;
        }
        if options.attributes != CopyAttributes::Keep {
            self.caps.require(Capability::CopyReplace)?;
        }
        Ok(())
    }

    /// Copies a blob of the first tier; `None` when it was moved meanwhile.
    async fn copy_here(
        &self,
        meta: &BlobMeta,
        to: &BlobPath,
        mut options: CopyOptions,
    ) -> Result<Option<PutResult>> {
        let demanded = options.if_match.is_some();
        if options.attributes != CopyAttributes::Keep && !demanded {
            // The new attributes would make a blob of a stub.
            options.if_match.clone_from(&meta.etag);
        }
        let held = options.if_match.is_some();
        match self.hot.copy_opts(&meta.path, to, options).await {
            Ok(result) if held => Ok(Some(result)),
            Ok(result) => Ok(Some(self.own_place(to).await?.unwrap_or(result))),
            Err(error) if !demanded && held && error.kind() == ErrorKind::Precondition => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Copies a blob of another tier within it; `None` when it was moved meanwhile.
    async fn copy_away(
        &self,
        meta: &BlobMeta,
        stub: &Stub,
        to: &BlobPath,
        options: &CopyOptions,
    ) -> Result<Option<PutResult>> {
        if options.if_match.is_some() && options.if_match != meta.etag {
            let error =
                Error::new(ErrorKind::Precondition, "the blob has another mark than the one demanded");
            return Err(placed(error, &meta.path));
        }
        let own = meta.attributes.clone().unwrap_or_default();
        let attributes = match &options.attributes {
            CopyAttributes::Replace(attributes) => attributes.clone(),
            _ => own,
        };
        if meta.path == *to {
            return self.onto_itself(meta, stub, options).await;
        }
        let tier = self.tier(&stub.tier)?;
        let copy = Stub { place: self.fresh_place(to)?, ..stub.clone() };
        copy.attributes(&attributes)?;
        match tier.copy(&stub.place, &copy.place).await {
            Err(error) if error.is_not_found() => return Ok(None),
            copied => copied?,
        };
        let mode = if options.mode == CopyMode::Create { PutMode::Create } else { PutMode::Overwrite };
        let put = self.put_stub(&copy, meta, &attributes, mode, to).await;
        if put.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
            self.drop_place(&copy).await;
        }
        Ok(Some(known(put?, stub)))
    }

    async fn onto_itself(
        &self,
        meta: &BlobMeta,
        stub: &Stub,
        options: &CopyOptions,
    ) -> Result<Option<PutResult>> {
        if options.mode == CopyMode::Create {
            let error = Error::new(ErrorKind::AlreadyExists, "there is a blob already");
            return Err(placed(error, &meta.path));
        }
        match (&options.attributes, &meta.etag) {
            (CopyAttributes::Replace(attributes), Some(etag)) => {
                let mode = PutMode::Match(etag.clone());
                match self.put_stub(stub, meta, attributes, mode, &meta.path).await {
                    Ok(put) => Ok(Some(known(put, stub))),
                    Err(error) if options.if_match.is_none() && error.kind() == ErrorKind::Precondition => {
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            }
            _ => Ok(Some(PutResult::new(meta.etag.clone()).with_size(meta.size))),
        }
    }

    /// Gives a stub that came here by a copy or rename that a move raced with a place of its own.
    async fn own_place(&self, path: &BlobPath) -> Result<Option<PutResult>> {
        let (meta, stub) = match self.look(path).await {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found?,
        };
        match stub {
            Some(stub) if self.blob_of(&stub.place).as_ref() != Some(path) => self.rehome(&meta, &stub).await,
            _ => Ok(None),
        }
    }

    /// Copies the bytes of a stub to a place named after it; `None` when it was written meanwhile.
    pub(super) async fn rehome(&self, meta: &BlobMeta, stub: &Stub) -> Result<Option<PutResult>> {
        let Some(etag) = meta.etag.clone() else { return Ok(None) };
        let home = Stub { place: self.fresh_place(&meta.path)?, ..stub.clone() };
        self.tier(&stub.tier)?.copy(&stub.place, &home.place).await?;
        let attributes = meta.attributes.clone().unwrap_or_default();
        match self.put_stub(&home, meta, &attributes, PutMode::Match(etag), &meta.path).await {
            Ok(put) => Ok(Some(known(put, &home))),
            Err(error) if error.kind() == ErrorKind::Precondition => {
                self.drop_place(&home).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The result of putting a stub, as one of putting the blob.
fn known(mut put: PutResult, stub: &Stub) -> PutResult {
    put.size = Some(stub.size);
    put.version = None;
    put
}

impl From<Moved> for crate::lifecycle::Outcome {
    fn from(moved: Moved) -> Self {
        match moved {
            Moved::Done => Self::Done,
            Moved::Already | Moved::Changed => Self::Changed,
        }
    }
}
