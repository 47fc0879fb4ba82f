//! Uploads in parts.
//!
//! A ciphertext is sealed from its beginning to its end, so parts that arrive in any order cannot go into it. Each
//! is sealed as a blob of its own under [`PARTS`], with a note of what the upload was begun with; completing it
//! opens them one after the other and seals the whole, in bounded memory. That prefix is hidden from readers of
//! this layer.

use super::Encrypted;
use super::identity::check_attributes;
use super::object::shown;
use crate::upload::{check_number, check_parts, gone};
use aeth_core::blob::{
    Attributes, BlobStore, BlobStoreExt, BlobTags, Capability, Checksum, ETag, GetOptions, ListOptions, Part,
    PutMode, PutOptions, PutResult, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Error, Result};
use async_trait::async_trait;
use futures_util::{TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// The first segment of the paths of parts.
pub(super) const PARTS: &str = ".aeth-parts";
pub(super) const MAX_PARTS: u32 = 10_000;
const NOTE: &str = "note";
const ID_LEN: usize = 32;

/// What an upload was begun with.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    path: BlobPath,
    /// The mode, as two that exclude each other: the path must be free, or have this mark.
    create: bool,
    mark: Option<ETag>,
    attributes: Attributes,
    tags: BlobTags,
    crc32c: Option<u32>,
    crc64nvme: Option<u64>,
    sha256: Option<[u8; 32]>,
}

impl Note {
    fn new(path: &BlobPath, options: PutOptions) -> Result<Self> {
        let (create, mark) = match options.mode {
            PutMode::Overwrite => (false, None),
            PutMode::Create => (true, None),
            PutMode::Match(etag) => (false, Some(etag)),
            _ => return Err(Error::unsupported("this condition is not known here")),
        };
        let (mut crc32c, mut crc64nvme, mut sha256) = (None, None, None);
        match options.checksum {
            None => {}
            Some(Checksum::Crc32c(crc)) => crc32c = Some(crc),
            Some(Checksum::Crc64Nvme(crc)) => crc64nvme = Some(crc),
            Some(Checksum::Sha256(hash)) => sha256 = Some(hash),
            Some(_) => return Err(Error::unsupported("this checksum algorithm is not known here")),
        }
        let (attributes, tags) = (options.attributes, options.tags);
        Ok(Self { version: 1, path: path.clone(), create, mark, attributes, tags, crc32c, crc64nvme, sha256 })
    }

    fn options(self) -> PutOptions {
        let mut options = PutOptions::default().with_attributes(self.attributes).with_tags(self.tags);
        options.mode = match self.mark {
            Some(etag) => PutMode::Match(etag),
            None if self.create => PutMode::Create,
            None => PutMode::Overwrite,
        };
        options.checksum = (self.crc32c.map(Checksum::Crc32c))
            .or(self.crc64nvme.map(Checksum::Crc64Nvme))
            .or(self.sha256.map(Checksum::Sha256));
        options
    }
}

/// The handle of an upload.
#[derive(Debug)]
pub(super) struct SealedUpload {
    store: Encrypted,
    id: UploadId,
}

impl SealedUpload {
    pub(super) async fn begin(
        store: &Encrypted,
        path: &BlobPath,
        options: PutOptions,
    ) -> Result<Box<dyn Upload>> {
        check_attributes(&options.attributes).map_err(|error| shown(error, path))?;
        let upload = Self { store: store.clone(), id: UploadId::new(crate::random::hex::<16>()?) };
        let note = serde_json::to_vec(&Note::new(path, options)?)
            .map_err(|error| Error::other("the upload cannot be noted").with_source(error))?;
        store.put_sealed(&upload.place(NOTE)?, Body::from(note), PutOptions::default()).await?;
        Ok(Box::new(upload))
    }

    pub(super) async fn resume(store: &Encrypted, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        let upload = Self { store: store.clone(), id: id.clone() };
        match upload.note().await {
            Ok(note) if note.path == *path => Ok(Box::new(upload)),
            Ok(_) => Err(gone("encrypted").with_key(path)),
            Err(error) => Err(error.with_key(path)),
        }
    }

    /// Where something of this upload is. An id of another form is that of no upload.
    fn place(&self, name: &str) -> Result<BlobPath> {
        let id = self.id.as_str();
        if id.len() != ID_LEN || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(gone("encrypted"));
        }
        Ok(BlobPath::new(format!("{PARTS}/{id}/{name}"))?)
    }

    fn part_place(&self, number: u32) -> Result<BlobPath> {
        self.place(&format!("{number:05}"))
    }

    async fn note(&self) -> Result<Note> {
        let note = match self.store.get_opened(&self.place(NOTE)?, GetOptions::default()).await {
            Ok(note) => note.bytes().await?,
            Err(error) if error.is_not_found() => return Err(gone("encrypted")),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&note).map_err(|error| {
            Error::corrupt("the note of the upload cannot be read")
                .with_component("encrypted")
                .with_source(error)
        })
    }

    /// The parts that are stored, in ascending order.
    async fn stored(&self) -> Result<Vec<Part>> {
        let prefix = format!("{PARTS}/{}/", self.id.as_str());
        let mut parts = Vec::new();
        let mut next = Some(ListOptions::prefix(prefix));
        while let Some(options) = next.take() {
            let page = self.store.list_all(options.clone()).await?;
            for meta in page.blobs {
                let Ok(number) = meta.path.file_name().parse() else { continue };
                // A listing that cannot tell the length is asked to look.
                let size = match self.store.caps.listed_size {
                    aeth_core::blob::ListedSize::Exact => meta.size,
                    _ => Box::pin(self.store.get_opened(&meta.path, GetOptions::head())).await?.meta.size,
                };
                let part = Part::new(number, size);
                parts.push(match meta.etag {
                    Some(etag) => part.with_etag(etag.as_str()),
                    None => part,
                });
            }
            next = page.next.map(|token| options.with_token(token));
        }
        Ok(parts)
    }
}

impl Encrypted {
    /// Removes the parts of uploads that nobody has touched for `age` by the store's own times, and says how many
    /// uploads they were. Such an upload is then no more.
    ///
    /// # Errors
    /// Those of the listing and of the deletes.
    ///
    /// # Cancel safety
    /// Cancel-safe; repeating the call completes it.
    pub async fn expire_uploads(&self, now: SystemTime, age: Duration) -> Result<u64> {
        crate::upload::expire(&self.inner, &format!("{PARTS}/"), now, age).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upload for SealedUpload {
    fn id(&self) -> UploadId {
        self.id.clone()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        check_number(number, MAX_PARTS)?;
        self.note().await?;
        let place = self.part_place(number)?;
        let put = self.store.put_sealed(&place, body, PutOptions::default()).await?;
        let size = match put.size {
            Some(size) => size,
            None => self.store.get_opened(&place, GetOptions::head()).await?.meta.size,
        };
        // An upload that ended meanwhile takes the part with it.
        if let Err(error) = self.note().await {
            self.store.inner.delete(&place).await?;
            return Err(error);
        }
        let part = Part::new(number, size);
        Ok(match put.etag {
            Some(etag) => part.with_etag(etag.as_str()),
            None => part,
        })
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        self.note().await?;
        self.stored().await
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        let note = self.note().await?;
        let stored = self.stored().await?;
        check_parts(parts, 1, |number| {
            let at = stored.binary_search_by_key(&number, |part| part.number).ok()?;
            stored.get(at).map(|part| (part.size, part.etag.clone()))
        })?;
        let pins = self.store.caps.has(Capability::ConditionalGet);
        let sources: Vec<Result<_>> = parts
            .iter()
            .map(|part| {
                let etag = part.etag.as_ref().filter(|_| pins).map(ETag::new);
                let options = GetOptions::default();
                let options = match etag {
                    Some(etag) => options.with_if_match(etag),
                    None => options,
                };
                Ok((self.part_place(part.number)?, options))
            })
            .collect();
        let store = self.store.clone();
        let body = stream::iter(sources)
            .and_then(move |(place, options)| {
                let store = store.clone();
                async move { Ok(store.get_opened(&place, options).await?.body) }
            })
            .try_flatten();
        let total = parts.iter().map(|part| part.size).sum();
        let path = note.path.clone();
        let mut options = note.options();
        if let Some(mode) = mode {
            options.mode = mode;
        }
        let result = self.store.put_sealed(&path, Body::once(body, Some(total)), options).await?;
        // What cannot be removed is hidden, and removed by an abort.
        if let Err(error) = self.abort().await {
            tracing::debug!(%error, "the parts of a completed upload stay");
        }
        Ok(result)
    }

    async fn abort(&self) -> Result<()> {
        let Ok(note) = self.place(NOTE) else { return Ok(()) };
        // The note first: without it the upload is no more.
        self.store.inner.delete(&note).await?;
        let parts = self.stored().await?;
        let places: Vec<BlobPath> =
            parts.iter().map(|part| self.part_place(part.number)).collect::<Result<_>>()?;
        for result in self.store.inner.delete_many(&places).await? {
            result?;
        }
        Ok(())
    }
}
