//! A store in memory.

mod upload;

use crate::checksum::{Verifier, check_length};
use crate::page::{After, Query};
use aeth_core::blob::{
    Attributes, Blob, BlobMeta, BlobStore, BlobTags, Capabilities, Capability, Checksum, CopyAttributes,
    CopyMode, CopyOptions, ETag, GetOptions, ListOptions, Page, PresignOptions, PutMode, PutOptions,
    PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Clock, Error, ErrorKind, Result, SystemClock};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;
use upload::{MemoryUpload, Staged};

/// A store that keeps its blobs in memory: for tests, caches and small volatile data.
///
/// It has every capability but [`Presign`](Capability::Presign), [`Versions`](Capability::Versions),
/// [`Durable`](Capability::Durable) and [`MultiProcess`](Capability::MultiProcess). Cheap to clone; all clones
/// are the same store. A blob is one buffer, which readers share without copying.
///
/// ```
/// use aeth_core::blob::{BlobStore, BlobStoreExt};
/// use aeth_core::BlobPath;
/// use aeth_files::MemoryStore;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// let path = BlobPath::new("greeting")?;
/// store.put(&path, "hello").await?;
/// assert_eq!(store.get_bytes(&path).await?, "hello");
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<BlobPath, Entry>,
    uploads: HashMap<UploadId, Staged>,
    /// The mark that was given last.
    mark: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    bytes: Bytes,
    etag: ETag,
    modified: SystemTime,
    attributes: Attributes,
    tags: BlobTags,
    checksum: Option<Checksum>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(SystemClock::shared())
    }

    /// An empty store that takes the times of its blobs from `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { clock, state: RwLock::default() }))
    }

    /// How many blobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.state.read().blobs.len()
    }

    /// True when there is no blob.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entry(&self, bytes: Bytes, options: PutOptions) -> Entry {
        Entry {
            bytes,
            etag: ETag::new(""),
            modified: self.0.clock.now(),
            attributes: options.attributes,
            tags: options.tags,
            checksum: options.checksum,
        }
    }

    fn transfer(
        &self,
        from: &BlobPath,
        to: &BlobPath,
        options: CopyOptions,
        keep: bool,
    ) -> Result<PutResult> {
        let now = self.0.clock.now();
        let mut state = self.0.state.write();
        let source = state.blobs.get(from).ok_or_else(|| not_found(from))?.clone();
        if options.if_match.as_ref().is_some_and(|wanted| *wanted != source.etag) {
            return Err(precondition(from));
        }
        if options.mode == CopyMode::Create && state.blobs.contains_key(to) {
            return Err(exists(to));
        }
        if !keep && from == to {
            return Ok(PutResult::new(Some(source.etag)).with_size(source.bytes.len() as u64));
        }
        let attributes = match options.attributes {
            CopyAttributes::Replace(attributes) => attributes,
            _ => source.attributes,
        };
        let copy = Entry { attributes, modified: now, ..source };
        if !keep {
            state.blobs.remove(from);
        }
        Ok(state.insert(to, copy))
    }
}

impl State {
    /// Puts the entry at the path under a fresh mark.
    fn insert(&mut self, path: &BlobPath, mut entry: Entry) -> PutResult {
        self.mark += 1;
        entry.etag = ETag::new(format!("{:x}", self.mark));
        let result = PutResult::new(Some(entry.etag.clone())).with_size(entry.bytes.len() as u64);
        self.blobs.insert(path.clone(), entry);
        result
    }

    /// Checks a put's condition.
    fn check(&self, path: &BlobPath, mode: &PutMode) -> Result<()> {
        let current = self.blobs.get(path);
        match mode {
            PutMode::Create if current.is_some() => Err(exists(path)),
            PutMode::Match(wanted) if current.is_none_or(|entry| entry.etag != *wanted) => {
                Err(precondition(path))
            }
            PutMode::Overwrite | PutMode::Create | PutMode::Match(_) => Ok(()),
            _ => Err(Error::unsupported("this condition is not known here").with_key(path)),
        }
    }
}

impl Entry {
    fn meta(&self, path: &BlobPath, full: bool) -> BlobMeta {
        let mut meta = BlobMeta::new(path.clone(), self.bytes.len() as u64, self.modified);
        meta.etag = Some(self.etag.clone());
        if full {
            meta.attributes = Some(self.attributes.clone());
            meta.tags = Some(self.tags.clone());
            meta.checksum = self.checksum.clone();
        }
        meta
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

fn not_found(path: &BlobPath) -> Error {
    Error::not_found("there is no such blob").with_component("memory").with_key(path)
}

fn exists(path: &BlobPath) -> Error {
    Error::new(ErrorKind::AlreadyExists, "there is a blob already").with_component("memory").with_key(path)
}

fn precondition(path: &BlobPath) -> Error {
    Error::new(ErrorKind::Precondition, "the blob has another etag than the one demanded, or is missing")
        .with_component("memory")
        .with_key(path)
}

/// All bytes of a body, of the length that it states and the checksum that is demanded.
async fn collect(body: Body, checksum: Option<&Checksum>) -> Result<Bytes> {
    let stated = body.length();
    let mut verifier = Verifier::of(checksum)?;
    let bytes = body.collect(u64::MAX).await?;
    check_length(stated, bytes.len() as u64)?;
    if let Some(mut verifier) = verifier.take() {
        verifier.update(&bytes);
        verifier.finish()?;
    }
    Ok(bytes)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for MemoryStore {
    fn name(&self) -> Cow<'_, str> {
        "memory".into()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Capability::ALL)
            .without(Capability::PlainUploads)
            .without(Capability::Presign)
            .without(Capability::Versions)
            .without(Capability::Durable)
            .without(Capability::MultiProcess)
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        if options.version.is_some() {
            self.capabilities().require(Capability::Versions)?;
        }
        // A read that never waits still gives other tasks their turn now and then.
        tokio::task::coop::consume_budget().await;
        let entry = self.0.state.read().blobs.get(path).ok_or_else(|| not_found(path))?.clone();
        options.check(Some(&entry.etag), entry.modified).map_err(|error| error.with_key(path))?;
        let meta = entry.meta(path, true);
        if options.head {
            return Ok(Blob::new(meta, 0..0, stream::empty().boxed()));
        }
        let range = match &options.range {
            Some(range) => range.resolve(meta.size).map_err(|error| error.with_key(path))?,
            None => 0..meta.size,
        };
        // A blob in memory is never longer than `usize`.
        let bounds = usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0);
        let body = Body::Bytes(entry.bytes.slice(bounds)).into_stream();
        Ok(Blob::new(meta, range, body))
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        tokio::task::coop::consume_budget().await;
        let bytes = collect(body, options.checksum.as_ref()).await.map_err(|error| error.with_key(path))?;
        let mode = options.mode.clone();
        let entry = self.entry(bytes, options);
        let mut state = self.0.state.write();
        state.check(path, &mode)?;
        Ok(state.insert(path, entry))
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let mut state = self.0.state.write();
        Ok(paths
            .iter()
            .map(|path| {
                state.blobs.remove(path);
                Ok(())
            })
            .collect())
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.transfer(from, to, options, true)
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.transfer(from, to, options, false)
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        let query = Query::new(options)?;
        let state = self.0.state.read();
        let mut page = Page::default();
        let mut after = query.after.clone();
        let mut next = first(&state, &query.prefix, &after);
        while let Some((path, entry)) = next {
            if page.blobs.len() + page.prefixes.len() == query.limit {
                page.next = query.token(&after);
                break;
            }
            after = match query.group(path.as_str()) {
                Some(group) => {
                    page.prefixes.push(group.into());
                    After::Prefix(group.into())
                }
                None => {
                    page.blobs.push(entry.meta(path, false));
                    After::Path(path.as_str().into())
                }
            };
            next = first(&state, &query.prefix, &after);
        }
        Ok(page)
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        MemoryUpload::begin(self, path, options)
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        MemoryUpload::resume(self, path, id)
    }

    async fn presign(&self, _path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        self.capabilities().require(Capability::Presign)?;
        Err(Error::unsupported("a store in memory has no URLs"))
    }
}

/// The first blob of a listing that was not passed yet.
fn first<'a>(state: &'a State, prefix: &str, after: &After) -> Option<(&'a BlobPath, &'a Entry)> {
    let from = match after {
        After::Path(after) | After::Prefix(after) if after.as_str() > prefix => after.as_str(),
        _ => prefix,
    };
    let members = state.blobs.range::<str, _>((Bound::Included(from), Bound::Unbounded));
    members
        .take_while(|(path, _)| path.as_str().starts_with(prefix))
        .find(|(path, _)| !after.passed(path.as_str()))
}
