//! Copying and renaming sealed blobs.

use super::Encrypted;
use super::identity::{check_attributes, strip};
use super::object::{plain_len, shown};
use aeth_core::blob::{
    BlobMeta, BlobStoreExt, Capability, CopyAttributes, CopyMode, CopyOptions, GetOptions, PutMode,
    PutOptions, PutResult,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};

/// How often a move begins anew because its source was replaced meanwhile.
const ATTEMPTS: usize = 32;

/// What is done with the sealed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Copy,
    Rename,
}

impl Encrypted {
    pub(super) async fn transfer(
        &self,
        how: Move,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        if let CopyAttributes::Replace(attributes) = &options.attributes {
            check_attributes(attributes).map_err(|error| shown(error, from))?;
            self.caps.require(Capability::CopyReplace)?;
        }
        if options.mode == CopyMode::Create {
            self.caps.require(Capability::CopyCreateOnly)?;
        }
        self.opened.remove(to);
        if self.rebinds {
            return self.rebind(how, from, to, options).await;
        }
        if from == to && how == Move::Rename {
            return self.inner.rename_opts(from, to, options).await;
        }
        let result = self.reseal(from, to, &options).await?;
        if how == Move::Rename {
            self.inner.delete(from).await?;
        }
        Ok(result)
    }

    /// Moves no byte: the copy is the same object, bound to its new path by new attributes.
    async fn rebind(
        &self,
        how: Move,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        let keyset = self.keyset();
        for _ in 0..ATTEMPTS {
            let meta = self.inner.head(from).await?;
            check_source(&meta, &options)?;
            let (_, identity) = self.identity(&keyset, &meta).map_err(|error| shown(error, from))?;
            let Some(identity) = identity else {
                return Err(shown(Error::corrupt("the blob has no seal"), from));
            };
            let size = Self::segment_size(&keyset, Some(&identity));
            let mut attributes = match &options.attributes {
                CopyAttributes::Replace(attributes) => attributes.clone(),
                _ => meta.attributes.clone().unwrap_or_default(),
            };
            strip(&mut attributes);
            identity.moved(&keyset, to).write(&mut attributes);
            let mut below = options.clone().with_attributes(CopyAttributes::Replace(attributes));
            // The binding is that of the state just looked at.
            below.if_match.clone_from(&meta.etag);
            let done = match how {
                Move::Copy => self.inner.copy_opts(from, to, below).await,
                Move::Rename => self.inner.rename_opts(from, to, below).await,
            };
            match done {
                Err(error) if error.kind() == ErrorKind::Precondition && options.if_match.is_none() => {}
                Err(error) => return Err(error),
                Ok(mut result) => {
                    result.size =
                        result.size.zip(size).and_then(|(sealed, size)| plain_len(size, sealed).ok());
                    return Ok(result);
                }
            }
        }
        Err(shown(Error::new(ErrorKind::Busy, "the blob is replaced again and again"), from))
    }

    /// Opens the source and seals it anew.
    async fn reseal(&self, from: &BlobPath, to: &BlobPath, options: &CopyOptions) -> Result<PutResult> {
        let get = match &options.if_match {
            Some(etag) => GetOptions::default().with_if_match(etag.clone()),
            None => GetOptions::default(),
        };
        let blob = self.get_opened(from, get).await?;
        let mut put = PutOptions::default();
        put.mode = match options.mode {
            CopyMode::Create => PutMode::Create,
            _ => PutMode::Overwrite,
        };
        put.attributes = match &options.attributes {
            CopyAttributes::Replace(attributes) => attributes.clone(),
            _ => blob.meta.attributes.unwrap_or_default(),
        };
        put.tags = blob.meta.tags.unwrap_or_default();
        self.put_sealed(to, Body::once(blob.body, Some(blob.meta.size)), put).await
    }
}

fn check_source(meta: &BlobMeta, options: &CopyOptions) -> Result<()> {
    if options.if_match.is_some() && options.if_match != meta.etag {
        let error = Error::new(ErrorKind::Precondition, "the blob has another etag than the one demanded");
        return Err(shown(error, &meta.path));
    }
    Ok(())
}
