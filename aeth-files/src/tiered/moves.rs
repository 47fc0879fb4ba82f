//! Moving blobs between tiers.

use super::read::checked;
use super::stub::Stub;
use super::{Core, HOT, Tiered, placed};
use crate::checksum::Verifier;
use aeth_core::blob::{
    Attributes, BlobMeta, BlobStore, BlobStoreExt, Capability, Checksum, ETag, GetOptions, PutMode,
    PutOptions, PutResult,
};
use aeth_core::{BlobPath, Body, ByteStream, Error, ErrorKind, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use std::sync::Arc;

/// What became of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Done,
    /// It was there already.
    Already,
    /// It is not in the state that was asked for, or was written meanwhile.
    Changed,
}

impl Tiered {
    /// Moves a blob to a tier now, and says whether it was anywhere else.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a tier that there is not; `Busy` when the blob was written meanwhile; `Unsupported` for
    /// a path that is too long, and for a blob that is longer than the first tier's limit for conditional puts;
    /// `Corrupt` when the tier does not give back what was written to it; those of both tiers.
    ///
    /// # Cancel safety
    /// The blob is where it was or where it goes, whole in both cases.
    pub async fn move_to(&self, path: &BlobPath, tier: &str) -> Result<bool> {
        self.0.check(path)?;
        match self.0.move_to(path, tier, None).await? {
            Moved::Done => Ok(true),
            Moved::Already => Ok(false),
            Moved::Changed => {
                let gone = !self.0.hot.exists(path).await?;
                let error = if gone {
                    Error::not_found("there is no such blob")
                } else {
                    Error::new(ErrorKind::Busy, "the blob was written while it was moved")
                        .with_remedy("move it again")
                };
                Err(placed(error, path))
            }
        }
    }
}

impl Core {
    /// Moves a blob, of one state when that is given.
    pub(super) async fn move_to(&self, path: &BlobPath, to: &str, state: Option<&ETag>) -> Result<Moved> {
        self.tier(to)?;
        let _turn = self.turn(path).await;
        let (meta, stub) = match self.look(path).await {
            Err(error) if error.is_not_found() => return Ok(Moved::Changed),
            found => found?,
        };
        if state.is_some_and(|state| meta.etag.as_ref() != Some(state)) {
            return Ok(Moved::Changed);
        }
        let Some(etag) = meta.etag.clone() else {
            return Err(placed(Error::unsupported("the first tier gives the blob no mark"), path));
        };
        let from = stub.as_ref().map_or(HOT, |stub| stub.tier.as_str());
        if from == to {
            return Ok(Moved::Already);
        }
        let moved = match &stub {
            Some(stub) if to == HOT => self.recall(&meta, stub, etag).await,
            _ => self.send(&meta, stub.as_ref(), etag, to).await,
        };
        match moved {
            Ok(()) => Ok(Moved::Done),
            // What was there when the move began is not there any more.
            Err(error) if matches!(error.kind(), ErrorKind::Precondition | ErrorKind::NotFound) => {
                Ok(Moved::Changed)
            }
            Err(error) => Err(error),
        }
    }

    /// Copies the bytes to another tier and leaves a stub.
    async fn send(&self, meta: &BlobMeta, stub: Option<&Stub>, etag: ETag, to: &str) -> Result<()> {
        let path = &meta.path;
        let target = self.tier(to)?;
        let source = match stub {
            Some(stub) => {
                let blob = self.tier(&stub.tier)?.get(&stub.place).await?;
                checked(blob.body, stub.crc, path)?
            }
            None => {
                let options = GetOptions::default().with_if_match(etag.clone());
                self.hot.get_opts(path, options).await?.body
            }
        };
        let mut sent = Stub {
            tier: to.to_owned(),
            size: meta.size,
            modified: meta.modified,
            crc: 0,
            place: self.fresh_place(path)?,
        };
        let attributes = meta.attributes.clone().unwrap_or_default();
        // Before anything is sent: whether its note can be kept.
        sent.attributes(&attributes)?;
        let mut options = PutOptions::default();
        if target.capabilities().has(Capability::Attributes) {
            options.attributes = attributes.clone();
        }
        let (body, sum) = summed(source)?;
        let put = target.put_opts(&sent.place, Body::once(body, Some(meta.size)), options).await;
        let sum = sum.lock().take();
        let compared = match put {
            Ok(_) => self.compare(&sent, target, sum).await,
            Err(error) => Err(error),
        };
        sent.crc = match compared {
            Ok(crc) => crc,
            Err(error) => {
                self.drop_place(&sent).await;
                return Err(error);
            }
        };
        match self.put_stub(&sent, meta, &attributes, PutMode::Match(etag), path).await {
            Ok(_) => {
                if let Some(stub) = stub {
                    self.drop_place(stub).await;
                }
                Ok(())
            }
            Err(error) => {
                // Refused for sure; otherwise it may have taken effect, and a sweep sees to it.
                if matches!(error.kind(), ErrorKind::Precondition | ErrorKind::Invalid | ErrorKind::Denied) {
                    self.drop_place(&sent).await;
                }
                Err(error)
            }
        }
    }

    /// The checksum of what was sent, when the tier has it.
    async fn compare(&self, sent: &Stub, target: &Arc<dyn BlobStore>, sum: Option<u64>) -> Result<u64> {
        let wrong = |what: &'static str| {
            placed(Error::corrupt(what), &sent.place)
                .with_remedy("move it again; the blob stays where it was, and the tier needs a look")
        };
        let crc = sum.ok_or_else(|| wrong("the tier took less than the blob"))?;
        if !self.verify {
            let meta = target.head(&sent.place).await.map_err(lost)?;
            let whole = meta.size == sent.size;
            return if whole { Ok(crc) } else { Err(wrong("the tier has another length than was sent")) };
        }
        let mut verifier = Verifier::new(Checksum::Crc64Nvme(crc))?;
        let mut body = target.get(&sent.place).await.map_err(lost)?.body;
        while let Some(chunk) = body.try_next().await? {
            verifier.update(&chunk);
        }
        verifier.finish().map_err(|_| wrong("the tier gives back other bytes than were sent"))?;
        Ok(crc)
    }

    pub(super) async fn put_stub(
        &self,
        stub: &Stub,
        meta: &BlobMeta,
        attributes: &Attributes,
        mode: PutMode,
        path: &BlobPath,
    ) -> Result<PutResult> {
        let mut options = PutOptions::default().with_mode(mode);
        options.attributes = stub.attributes(attributes)?;
        options.tags = meta.tags.clone().unwrap_or_default();
        self.hot.put_opts(path, stub.body().into(), options).await
    }

    /// Brings the bytes back to the first tier.
    async fn recall(&self, meta: &BlobMeta, stub: &Stub, etag: ETag) -> Result<()> {
        let limit = self.hot.capabilities().max_conditional_put;
        if limit.is_some_and(|limit| stub.size > limit) {
            let error = Error::unsupported(format!(
                "the first tier takes no more than {} bytes under a condition",
                limit.unwrap_or_default()
            ));
            return Err(placed(error, &meta.path)
                .with_remedy("raise the limit of its adapter, or leave the blob in its tier"));
        }
        let blob = self.tier(&stub.tier)?.get(&stub.place).await?;
        let body = checked(blob.body, stub.crc, &meta.path)?;
        let mut options = PutOptions::if_match(etag);
        options.attributes = meta.attributes.clone().unwrap_or_default();
        options.tags = meta.tags.clone().unwrap_or_default();
        self.hot.put_opts(&meta.path, Body::once(body, Some(stub.size)), options).await?;
        self.drop_place(stub).await;
        Ok(())
    }
}

/// A blob that was just written and cannot be found is not a blob that somebody deleted.
fn lost(error: Error) -> Error {
    if !error.is_not_found() {
        return error;
    }
    Error::corrupt("the tier does not have what was just written to it")
        .with_component("tiered")
        .with_source(error)
        .with_remedy("look at the tier; the blob stays where it was")
}

/// The bytes, and where their CRC-64/NVME will be when all have passed.
fn summed(body: ByteStream) -> Result<(ByteStream, Arc<Mutex<Option<u64>>>)> {
    let sum = Arc::new(Mutex::new(None));
    let verifier = Verifier::like(&Checksum::Crc64Nvme(0))?;
    let start = (body, Some(verifier), Arc::clone(&sum));
    let chunks = stream::try_unfold(start, |(mut body, mut verifier, sum)| async move {
        match body.next().await {
            Some(chunk) => {
                let chunk = chunk?;
                if let Some(verifier) = &mut verifier {
                    verifier.update(&chunk);
                }
                Ok(Some((chunk, (body, verifier, sum))))
            }
            None => {
                if let Some(Checksum::Crc64Nvme(crc)) = verifier.take().map(Verifier::sum) {
                    *sum.lock() = Some(crc);
                }
                Ok(None)
            }
        }
    });
    Ok((chunks.boxed(), sum))
}
