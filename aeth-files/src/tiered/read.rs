//! Reading, wherever the bytes are.

use super::stub::{STUB_LEN, Stub};
use super::{Core, Tiered, hidden, placed};
use crate::checksum::Verifier;
use aeth_core::blob::{
    Blob, BlobMeta, BlobStore, Capability, Checksum, GetOptions, GetRange, ListOptions, Page,
};
use aeth_core::{BlobPath, ByteStream, Error, ErrorKind, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::sync::{Arc, Weak};

/// How often a blob that is moved under a reader's feet is looked for.
const TRIES: usize = 8;

/// How many stubs of a page are looked at at the same time.
const HEADS: usize = 16;

impl Core {
    /// Opens a blob; with the stub when its bytes came from another tier.
    pub(super) async fn get(&self, path: &BlobPath, options: GetOptions) -> Result<(Blob, Option<Stub>)> {
        if options.version.is_some() {
            self.caps.require(Capability::Versions).map_err(|error| placed(error, path))?;
        }
        let mut missing = None;
        for _ in 0..TRIES {
            let (meta, stub) = match self.front(path, &options).await? {
                Front::Here(blob) => return Ok((blob, None)),
                Front::Away(meta, stub) => (meta, stub),
            };
            if options.head {
                return Ok((Blob::new(meta, 0..0, stream::empty().boxed()), Some(stub)));
            }
            match self.away(&meta, &stub, options.range.as_ref()).await {
                // It came back, was moved on or replaced since.
                Err(error) if error.is_not_found() => missing = Some((stub, error)),
                blob => return Ok((blob?, Some(stub))),
            }
        }
        let (tier, source) =
            missing.map_or_else(|| (String::new(), None), |(stub, error)| (stub.tier, Some(error)));
        let error =
            Error::corrupt(format!("the tier {tier:?} does not have the bytes that were moved to it"))
                .with_remedy("look for them there, or restore the blob from a backup");
        let error = placed(error, path);
        Err(source.map_or(error.clone(), |source| error.with_source(source)))
    }

    /// Asks the first tier.
    async fn front(&self, path: &BlobPath, options: &GetOptions) -> Result<Front> {
        let refused = match self.hot.get_opts(path, options.clone()).await {
            Ok(mut blob) => match Stub::take(&mut blob.meta)? {
                None => return Ok(Front::Here(blob)),
                Some(stub) => {
                    options.check(blob.meta.etag.as_ref(), blob.meta.modified)?;
                    return Ok(Front::Away(blob.meta, stub));
                }
            },
            Err(error) => error,
        };
        // A range or a time was compared with those of a stub, perhaps.
        let by_range = refused.kind() == ErrorKind::Invalid && options.range.is_some();
        let by_time = refused.kind() == ErrorKind::Precondition
            && (options.if_modified_since.is_some() || options.if_unmodified_since.is_some());
        if !by_range && !by_time {
            return Err(refused);
        }
        match self.look(path).await? {
            (_, None) => Err(refused),
            (meta, Some(stub)) => {
                options.check(meta.etag.as_ref(), meta.modified)?;
                Ok(Front::Away(meta, stub))
            }
        }
    }

    /// Opens the bytes of a blob in another tier.
    async fn away(&self, meta: &BlobMeta, stub: &Stub, range: Option<&GetRange>) -> Result<Blob> {
        let wanted = match range {
            Some(range) => range.resolve(stub.size).map_err(|error| placed(error, &meta.path))?,
            None => 0..stub.size,
        };
        if wanted.is_empty() {
            return Ok(Blob::new(meta.clone(), wanted, stream::empty().boxed()));
        }
        let whole = wanted == (0..stub.size);
        let mut options = GetOptions::default();
        if !whole {
            options.range = Some(wanted.clone().into());
        }
        let blob = self.tier(&stub.tier)?.get_opts(&stub.place, options).await?;
        if blob.meta.size != stub.size {
            let error = Error::corrupt(format!(
                "the tier {:?} has {} bytes where {} were moved to",
                stub.tier, blob.meta.size, stub.size
            ));
            return Err(placed(error.with_remedy("restore the blob from a backup"), &meta.path));
        }
        let body = if whole { checked(blob.body, stub.crc, &meta.path)? } else { blob.body };
        Ok(Blob::new(meta.clone(), wanted, body))
    }

    /// One page, with the sizes and times of the blobs and not of their stubs.
    pub(super) async fn list(&self, mut options: ListOptions) -> Result<Page> {
        loop {
            let mut page = self.hot.list_page(options.clone()).await?;
            page.blobs.retain(|meta| !hidden(meta.path.as_str()));
            page.prefixes.retain(|prefix| !hidden(prefix));
            // A page of nothing but hidden entries is none.
            if let Some(token) = page.next.take_if(|_| page.blobs.is_empty() && page.prefixes.is_empty()) {
                options.token = Some(token);
                continue;
            }
            page.blobs = stream::iter(page.blobs)
                .map(|meta| self.seen(meta))
                .buffered(HEADS)
                .try_filter_map(|seen| std::future::ready(Ok(seen.map(|(meta, _)| meta))))
                .try_collect()
                .await?;
            return Ok(page);
        }
    }

    /// A listed entry as it is; `None` when it went meanwhile.
    pub(super) async fn seen(&self, listed: BlobMeta) -> Result<Option<(BlobMeta, Option<Stub>)>> {
        if listed.size != STUB_LEN {
            return Ok(Some((listed, None)));
        }
        match self.look(&listed.path).await {
            Ok((mut meta, stub)) => {
                // As listings show it.
                meta.attributes = listed.attributes;
                meta.tags = listed.tags;
                if stub.is_some() {
                    meta.checksum = None;
                }
                Ok(Some((meta, stub)))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What the first tier has.
enum Front {
    Here(Blob),
    Away(BlobMeta, Stub),
}

/// The bytes, and an error at their end when they are not the ones that were moved.
pub(super) fn checked(body: ByteStream, crc: u64, path: &BlobPath) -> Result<ByteStream> {
    let verifier = Verifier::new(Checksum::Crc64Nvme(crc))?;
    let path = path.clone();
    let start = (body, Some(verifier));
    let chunks = stream::try_unfold(start, move |(mut body, mut verifier)| {
        let path = path.clone();
        async move {
            match body.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    if let Some(verifier) = &mut verifier {
                        verifier.update(&chunk);
                    }
                    Ok(Some((chunk, (body, verifier))))
                }
                None => match verifier.map(Verifier::finish) {
                    Some(Err(_)) => {
                        let error = Error::corrupt("the bytes are not the ones that were moved")
                            .with_remedy("restore the blob from a backup");
                        Err(placed(error, &path))
                    }
                    _ => Ok(None),
                },
            }
        }
    });
    Ok(chunks.boxed())
}

impl Tiered {
    /// Brings a blob that was read back to the first tier in the background, when that was asked for.
    pub(super) fn recall_later(&self, path: &BlobPath, stub: &Stub) {
        let Some(options) = self.0.recall else { return };
        if stub.size > options.at_most || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        {
            let mut recalling = self.0.recalling.lock();
            if recalling.len() >= options.concurrency || !recalling.insert(path.clone()) {
                return;
            }
        }
        let recalling = Recalling { core: Arc::downgrade(&self.0), path: path.clone() };
        drop(self.0.tasks.spawn_until_closed(async move {
            let Some(core) = recalling.core.upgrade() else { return };
            if let Err(error) = core.move_to(&recalling.path, super::HOT, None).await {
                tracing::debug!(%error, "a blob that was read could not be brought back");
            }
        }));
    }
}

/// A recall under way, which ends when this is dropped.
struct Recalling {
    core: Weak<Core>,
    path: BlobPath,
}

impl Drop for Recalling {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.recalling.lock().remove(&self.path);
        }
    }
}
