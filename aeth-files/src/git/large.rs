//! Blobs that are kept out of git.

use super::GitArchive;
use super::error::COMPONENT;
use super::pointer::Pointer;
use crate::checksum::Verifier;
use aeth_core::blob::{BlobMeta, BlobStore, BlobStoreExt, Capability, Checksum, GetOptions, PutOptions};
use aeth_core::{Body, ByteStream, Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

impl GitArchive {
    /// Keeps a large blob of a store and gives its pointer; `None` when it was deleted or changed meanwhile.
    ///
    /// It is read twice, so that one that is kept already is not written again and a broken write leaves nothing.
    pub(super) async fn keep(
        &self,
        source: &dyn BlobStore,
        meta: &BlobMeta,
        body: ByteStream,
    ) -> Result<Option<Pointer>> {
        let (mut digest, mut size, mut body) = (Sha256::new(), 0, body);
        while let Some(chunk) = body.try_next().await? {
            size += chunk.len() as u64;
            digest.update(&chunk);
        }
        let pointer = Pointer { sha256: digest.finalize().into(), size };
        if self.is_kept(&pointer).await? {
            return Ok(Some(pointer));
        }
        let options = match &meta.etag {
            Some(etag) if source.capabilities().has(Capability::ConditionalGet) => {
                GetOptions::default().with_if_match(etag.clone())
            }
            _ => GetOptions::default(),
        };
        let again = match source.get_opts(&meta.path, options).await {
            Ok(blob) => blob,
            Err(error) if changed(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if again.meta.size != size {
            return Ok(None);
        }
        match self.write(&pointer, Body::Once(verified(again.body, &pointer)?, Some(size))).await {
            Ok(()) => Ok(Some(pointer)),
            Err(error) if error.kind() == aeth_core::ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps bytes that are at hand.
    pub(super) async fn keep_bytes(&self, bytes: Bytes) -> Result<Pointer> {
        let pointer = Pointer { sha256: Sha256::digest(&bytes).into(), size: bytes.len() as u64 };
        if !self.is_kept(&pointer).await? {
            self.write(&pointer, Body::Bytes(bytes)).await?;
        }
        Ok(pointer)
    }

    pub(super) async fn is_kept(&self, pointer: &Pointer) -> Result<bool> {
        match self.0.large.head(&pointer.path()?).await {
            Ok(meta) => Ok(meta.size == pointer.size),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, pointer: &Pointer, body: Body) -> Result<()> {
        let large = &self.0.large;
        let options = match large.capabilities().has(Capability::Checksums) {
            true => PutOptions::default().with_checksum(Checksum::Sha256(pointer.sha256)),
            false => PutOptions::default(),
        };
        large.put_opts(&pointer.path()?, body, options).await.map(drop)
    }

    /// The bytes of a large blob, which are checked: the stream fails at its end when they are others.
    pub(super) async fn open_large(&self, pointer: &Pointer) -> Result<ByteStream> {
        let opened = self.0.large.get(&pointer.path()?).await;
        let blob = opened.map_err(|error| {
            let remedy = "copy the store of the large blobs along with the repository";
            if error.is_not_found() { error.with_remedy(remedy) } else { error }
        })?;
        verified(blob.body, pointer)
    }
}

/// True when a blob is no more what it was.
pub(super) fn changed(error: &Error) -> bool {
    error.is_not_found() || error.kind() == aeth_core::ErrorKind::Precondition
}

/// A stream that fails at its end unless its bytes are those that the pointer names.
fn verified(body: ByteStream, pointer: &Pointer) -> Result<ByteStream> {
    let (verifier, size) = (Verifier::new(Checksum::Sha256(pointer.sha256))?, pointer.size);
    let wrong = || {
        Error::corrupt("a large blob does not have the content that its pointer names")
            .with_component(COMPONENT)
    };
    Ok(stream::try_unfold((body, Some(verifier), 0_u64), move |(mut body, verifier, done)| async move {
        let Some(mut verifier) = verifier else { return Ok(None) };
        if let Some(chunk) = body.try_next().await? {
            verifier.update(&chunk);
            let done = done + chunk.len() as u64;
            return Ok(Some((chunk, (body, Some(verifier), done))));
        }
        if done != size {
            return Err(wrong());
        }
        verifier.finish().map_err(|_| wrong())?;
        Ok(None)
    })
    .boxed())
}
