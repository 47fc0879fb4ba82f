//! A blob store in memory.

use super::store_upload::RefUpload;
use aeth_core::blob::{
    Attributes, Blob, BlobMeta, BlobStore, BlobTags, Capabilities, Capability, Checksum, CopyAttributes,
    CopyMode, CopyOptions, ETag, GetOptions, GetRange, ListOptions, Page, PresignOptions, PutMode,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result, async_trait};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// One way in which a store can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    ByteLost,
    LargeIsCut,
    LengthIgnored,
    PutTorn,
    PutVisible,
    AttributesSurvive,
    ChecksumIgnored,
    CreateOverwrites,
    CreateRaces,
    MatchCreates,
    SwapRaces,
    ConditionEarly,
    MissingIsEmpty,
    HeadHasBody,
    MarkIsSize,
    NoneMatchIgnored,
    TimeIgnored,
    ReadMixes,
    RangeOffByOne,
    RangeOutsideEmpty,
    SuffixFromStart,
    RangeLosesBoundary,
    LanguageLost,
    TagsLost,
    DeleteByPrefix,
    DeleteMissingFails,
    DeleteLeavesAttributes,
    DeleteOneRequest,
    CopyDropsAttributes,
    CopyOfNothing,
    CopySelfEmpties,
    CopyCreateOverwrites,
    CopyCreateRaces,
    CopyMerges,
    CopyMarkIgnored,
    RenameKeepsSource,
    RenameSelfDeletes,
    RenameCreateOverwrites,
    RenameInTwoSteps,
    ListBySegments,
    PrefixBySegments,
    GroupsRepeat,
    StartAfterIncluded,
    ListedSizeWrong,
    ListOfNothingFails,
    ListLags,
    PagesOverlap,
    TokenUnchecked,
    TokenIsOffset,
    CaseFolded,
    ControlMangled,
    ChildReplacesParent,
    PartsByArrival,
    UploadVisible,
    UploadForgetsOptions,
    ResumeForgets,
    AbortKeeps,
    UploadConditionIgnored,
    PartsUnchecked,
    PartTorn,
    PlainPartsByArrival,
    PlainGapsJoined,
    NameChanges,
    ClaimTooSmall,
    LargeConditionIgnored,
    PresignForever,
    WritesInPlace,
    SharedScratch,
    DropCommits,
    DropLosesOld,
    NoMarks,
}

#[derive(Debug, Clone)]
pub struct Stored {
    pub bytes: Bytes,
    pub attributes: Attributes,
    pub tags: BlobTags,
    pub etag: ETag,
    pub modified: SystemTime,
}

#[derive(Debug, Default)]
pub struct State {
    pub blobs: BTreeMap<String, Stored>,
    pub left: BTreeMap<String, Attributes>,
    pub uploads: BTreeMap<String, super::store_upload::Pending>,
    pub scratch: BytesMut,
    pub before: Option<BTreeMap<String, Stored>>,
}

/// A blob store in memory, correct unless a flaw is switched on.
#[derive(Debug, Clone)]
pub struct RefStore {
    pub flaw: Option<Flaw>,
    pub state: Arc<Mutex<State>>,
    pub claims: Capabilities,
    counter: Arc<AtomicU64>,
}

impl RefStore {
    pub fn new() -> Self {
        let claims = Capability::ALL
            .into_iter()
            .filter(|c| !matches!(c, Capability::Durable | Capability::Versions | Capability::PlainUploads));
        Self { flaw: None, state: Arc::default(), claims: Capabilities::new(claims), counter: Arc::default() }
    }

    /// The second form, whose uploads go no further than those of the engines of clouds: it leaves out what
    /// `PlainUploads` leaves out, so that the laws of full uploads are skipped for it and those of plain ones are not.
    pub fn plain() -> Self {
        let claims = Self::new().claims.without(Capability::Uploads).without(Capability::ResumeUploads);
        Self::claiming(claims.with(Capability::PlainUploads))
    }

    pub fn is_plain(&self) -> bool {
        self.claims.has(Capability::PlainUploads)
    }

    pub fn flawed(flaw: Flaw) -> Self {
        let form = match flaw {
            Flaw::PlainPartsByArrival | Flaw::PlainGapsJoined => Self::plain(),
            _ => Self::new(),
        };
        let mut store = Self { flaw: Some(flaw), ..form };
        match flaw {
            Flaw::ClaimTooSmall => store.claims = store.claims.without(Capability::CreateOnly),
            Flaw::LargeConditionIgnored => store.claims.max_conditional_put = Some(1 << 20),
            _ => {}
        }
        store
    }

    pub fn claiming(claims: Capabilities) -> Self {
        Self { claims, ..Self::new() }
    }

    pub fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// The name under which a path is kept.
    pub fn name_of(&self, path: &BlobPath) -> String {
        let text = path.as_str();
        if self.has(Flaw::CaseFolded) {
            return text.to_lowercase();
        }
        if self.has(Flaw::ControlMangled) {
            return text.replace(char::is_control, "?");
        }
        text.to_owned()
    }

    fn next_etag(&self, bytes: &Bytes) -> ETag {
        if self.has(Flaw::MarkIsSize) {
            return ETag::new(bytes.len().to_string());
        }
        ETag::new(format!("\"{}\"", self.counter.fetch_add(1, Ordering::SeqCst)))
    }

    fn meta(&self, path: &BlobPath, stored: &Stored) -> BlobMeta {
        let mut meta = BlobMeta::new(path.clone(), stored.bytes.len() as u64, stored.modified);
        meta.etag = (!self.has(Flaw::NoMarks)).then(|| stored.etag.clone());
        meta.attributes = Some(stored.attributes.clone());
        meta.tags = Some(if self.has(Flaw::TagsLost) { BlobTags::new() } else { stored.tags.clone() });
        meta
    }

    fn require(&self, needed: &[(bool, Capability)]) -> Result<()> {
        for (needs, capability) in needed {
            let silent = self.has(Flaw::ClaimTooSmall) && *capability == Capability::CreateOnly;
            if *needs && !silent {
                self.claims.require(*capability)?;
            }
        }
        Ok(())
    }

    /// Checks a condition against what is there.
    pub fn allows(&self, state: &State, name: &str, mode: &PutMode) -> Result<()> {
        let there = state.blobs.get(name);
        match mode {
            PutMode::Create if there.is_some() && !self.has(Flaw::CreateOverwrites) => {
                Err(Error::new(ErrorKind::AlreadyExists, "there is a blob"))
            }
            PutMode::Match(etag) => match there {
                Some(stored) if stored.etag == *etag => Ok(()),
                None if self.has(Flaw::MatchCreates) => Ok(()),
                _ => Err(Error::new(ErrorKind::Precondition, "another mark")),
            },
            _ => Ok(()),
        }
    }

    pub fn commit(&self, state: &mut State, name: &str, bytes: Bytes, options: &PutOptions) -> PutResult {
        let mut attributes = options.attributes.clone();
        if self.has(Flaw::LanguageLost) {
            attributes.content_language = None;
        }
        if self.has(Flaw::AttributesSurvive)
            && attributes.is_empty()
            && let Some(old) = state.blobs.get(name)
        {
            attributes = old.attributes.clone();
        }
        if let Some(left) = state.left.remove(name) {
            attributes = left;
        }
        if self.has(Flaw::ListLags) {
            state.before = Some(state.blobs.clone());
        }
        if self.has(Flaw::ChildReplacesParent) {
            state.blobs.retain(|other, _| !name.starts_with(&format!("{other}/")));
        }
        let bytes = match self.flaw {
            Some(Flaw::ByteLost) if bytes.len() == 65_537 => bytes.slice(..65_536),
            Some(Flaw::LargeIsCut) => bytes.slice(..bytes.len().min(8 << 20)),
            _ => bytes,
        };
        let etag = self.next_etag(&bytes);
        let size = bytes.len() as u64;
        let stored = Stored {
            bytes,
            attributes,
            tags: options.tags.clone(),
            etag: etag.clone(),
            modified: SystemTime::now(),
        };
        state.blobs.insert(name.to_owned(), stored);
        PutResult::new((!self.has(Flaw::NoMarks)).then_some(etag)).with_size(size)
    }

    /// Reads a body, with its length checked.
    pub async fn read(&self, name: &str, body: Body) -> Result<Bytes> {
        let stated = body.length();
        let mut stream = body.into_stream();
        let mut bytes = BytesMut::new();
        let mut guard = DropCommits { store: self, name, bytes: Bytes::new() };
        while let Some(chunk) = stream.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    if self.has(Flaw::PutTorn) {
                        let torn = bytes.freeze();
                        self.commit(&mut self.state.lock(), name, torn, &PutOptions::default());
                    }
                    guard.name = "";
                    return Err(error);
                }
            };
            bytes.extend_from_slice(&chunk);
            if self.has(Flaw::WritesInPlace) {
                let so_far = bytes.clone().freeze();
                self.commit(&mut self.state.lock(), name, so_far, &PutOptions::default());
            }
            if self.has(Flaw::SharedScratch) {
                self.state.lock().scratch = bytes.clone();
                tokio::task::yield_now().await;
                bytes = self.state.lock().scratch.clone();
            }
            if self.has(Flaw::DropCommits) {
                guard.bytes = bytes.clone().freeze();
            }
            if self.has(Flaw::DropLosesOld) {
                self.state.lock().blobs.remove(name);
            }
        }
        guard.name = "";
        let wrong = stated.is_some_and(|stated| stated != bytes.len() as u64);
        if wrong && !self.has(Flaw::LengthIgnored) {
            return Err(Error::corrupt("the body has another length than it states"));
        }
        Ok(bytes.freeze())
    }

    fn copy_of(&self, state: &State, from: &str, options: &CopyOptions) -> Result<Stored> {
        let source = match state.blobs.get(from) {
            Some(source) => source.clone(),
            None if self.has(Flaw::CopyOfNothing) => Stored {
                bytes: Bytes::new(),
                attributes: Attributes::default(),
                tags: BlobTags::new(),
                etag: ETag::new("0"),
                modified: SystemTime::now(),
            },
            None => return Err(Error::not_found("no such blob")),
        };
        let wrong = options.if_match.as_ref().is_some_and(|etag| *etag != source.etag);
        if wrong && !self.has(Flaw::CopyMarkIgnored) {
            return Err(Error::new(ErrorKind::Precondition, "the source has another mark"));
        }
        let mut copy = source;
        match &options.attributes {
            CopyAttributes::Replace(attributes) if self.has(Flaw::CopyMerges) => {
                copy.attributes.user.extend(attributes.user.clone());
            }
            CopyAttributes::Replace(attributes) => copy.attributes = attributes.clone(),
            _ if self.has(Flaw::CopyDropsAttributes) => copy.attributes = Attributes::default(),
            _ => {}
        }
        Ok(copy)
    }

    fn place(&self, state: &mut State, to: &str, copy: Stored) -> PutResult {
        if self.has(Flaw::ListLags) {
            state.before = Some(state.blobs.clone());
        }
        let etag = self.next_etag(&copy.bytes);
        let result = PutResult::new(Some(etag.clone()));
        state.blobs.insert(to.to_owned(), Stored { etag, modified: SystemTime::now(), ..copy });
        result
    }

    fn resolve(&self, range: Option<&GetRange>, size: u64) -> Result<std::ops::Range<u64>> {
        let Some(range) = range else {
            return Ok(0..size);
        };
        match (self.flaw, range) {
            (Some(Flaw::SuffixFromStart), GetRange::Suffix(length)) => return Ok(0..*length.min(&size)),
            (Some(Flaw::RangeOutsideEmpty), _) if range.resolve(size).is_err() => return Ok(0..0),
            (Some(Flaw::RangeOffByOne), GetRange::Bounded(bounds)) if bounds.end < size => {
                return GetRange::Bounded(bounds.start..bounds.end + 1).resolve(size);
            }
            _ => {}
        }
        range.resolve(size)
    }
}

struct DropCommits<'a> {
    store: &'a RefStore,
    name: &'a str,
    bytes: Bytes,
}

impl Drop for DropCommits<'_> {
    fn drop(&mut self) {
        if self.store.has(Flaw::DropCommits) && !self.name.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            self.store.commit(&mut self.store.state.lock(), self.name, bytes, &PutOptions::default());
        }
    }
}

#[async_trait]
impl BlobStore for RefStore {
    fn name(&self) -> Cow<'_, str> {
        if self.has(Flaw::NameChanges) {
            return format!("store-{}", self.counter.load(Ordering::SeqCst)).into();
        }
        "reference".into()
    }

    fn capabilities(&self) -> Capabilities {
        self.claims.clone()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        let conditional = options.if_match.is_some()
            || options.if_none_match.is_some()
            || options.if_modified_since.is_some()
            || options.if_unmodified_since.is_some();
        let suffix = matches!(options.range, Some(GetRange::Suffix(_)));
        self.require(&[
            (options.range.is_some() && !suffix, Capability::RangeGet),
            (suffix, Capability::SuffixGet),
            (conditional, Capability::ConditionalGet),
            (options.version.is_some(), Capability::Versions),
        ])?;
        let name = self.name_of(path);
        let stored = self.state.lock().blobs.get(&name).cloned();
        let Some(stored) = stored else {
            if self.has(Flaw::MissingIsEmpty) {
                let meta = BlobMeta::new(path.clone(), 0, SystemTime::now());
                return Ok(Blob::new(meta, 0..0, stream::empty().boxed()));
            }
            return Err(Error::not_found("no such blob").with_key(path));
        };
        let mut checked = options.clone();
        if self.has(Flaw::NoneMatchIgnored) {
            checked.if_none_match = None;
        }
        if self.has(Flaw::TimeIgnored) {
            checked.if_modified_since = None;
            checked.if_unmodified_since = None;
        }
        checked.check(Some(&stored.etag), stored.modified)?;
        let meta = self.meta(path, &stored);
        if options.head && !self.has(Flaw::HeadHasBody) {
            return Ok(Blob::new(meta, 0..0, stream::empty().boxed()));
        }
        let range = self.resolve(options.range.as_ref(), meta.size)?;
        let mut bytes = stored.bytes.slice(range.start as usize..range.end as usize);
        let boundary = 1 << 20;
        if self.has(Flaw::RangeLosesBoundary) && range.start < boundary && range.end > boundary {
            bytes = stored.bytes.slice(range.start as usize..range.end as usize - 1);
        }
        let (state, mixes) = (Arc::clone(&self.state), self.has(Flaw::ReadMixes));
        let chunks = stream::unfold((bytes, range.start as usize), move |(mut rest, at)| {
            let (state, name) = (Arc::clone(&state), name.clone());
            async move {
                if rest.is_empty() {
                    return None;
                }
                let mut chunk = rest.split_to(rest.len().min(30_000));
                if mixes {
                    let now = state.lock().blobs.get(&name).map(|stored| stored.bytes.clone());
                    chunk = now
                        .and_then(|now| now.get(at..at + chunk.len()).map(Bytes::copy_from_slice))
                        .unwrap_or(chunk);
                }
                let next = at + chunk.len();
                Some((Ok(chunk), (rest, next)))
            }
        });
        Ok(Blob::new(meta, range, chunks.boxed()))
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.require(&[
            (options.mode == PutMode::Create, Capability::CreateOnly),
            (matches!(options.mode, PutMode::Match(_)), Capability::CompareAndSwap),
            (!options.attributes.is_empty(), Capability::Attributes),
            (!options.tags.is_empty(), Capability::Tags),
            (options.checksum.is_some(), Capability::Checksums),
        ])?;
        let name = self.name_of(path);
        let early = self.has(Flaw::ConditionEarly);
        if early {
            self.allows(&self.state.lock(), &name, &options.mode)?;
        }
        if self.has(Flaw::PutVisible) {
            let mut state = self.state.lock();
            if !state.blobs.contains_key(&name) {
                self.commit(&mut state, &name, Bytes::new(), &PutOptions::default());
            }
        }
        let bytes = self.read(&name, body).await?;
        match &options.checksum {
            Some(Checksum::Crc32c(sum))
                if crc32c::crc32c(&bytes) != *sum && !self.has(Flaw::ChecksumIgnored) =>
            {
                return Err(Error::corrupt("the bytes have another checksum"));
            }
            Some(Checksum::Crc32c(_)) | None => {}
            Some(_) => return Err(Error::unsupported("an unknown kind of checksum")),
        }
        let large = self.has(Flaw::LargeConditionIgnored) && bytes.len() > 1 << 20;
        let races = match &options.mode {
            PutMode::Create => self.has(Flaw::CreateRaces),
            PutMode::Match(_) => self.has(Flaw::SwapRaces),
            _ => false,
        };
        if races {
            self.allows(&self.state.lock(), &name, &options.mode)?;
            tokio::task::yield_now().await;
        }
        let mut state = self.state.lock();
        if !early && !races && !large {
            self.allows(&state, &name, &options.mode)?;
        }
        Ok(self.commit(&mut state, &name, bytes, &options))
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let mut state = self.state.lock();
        if self.has(Flaw::ListLags) {
            state.before = Some(state.blobs.clone());
        }
        let mut results = Vec::new();
        for (i, path) in paths.iter().enumerate() {
            let name = self.name_of(path);
            if self.has(Flaw::DeleteOneRequest) && i >= 1000 {
                results.push(Ok(()));
                continue;
            }
            if self.has(Flaw::DeleteByPrefix) {
                state.blobs.retain(|other, _| !other.starts_with(&name));
            }
            let gone = state.blobs.remove(&name);
            if self.has(Flaw::DeleteLeavesAttributes)
                && let Some(gone) = &gone
            {
                state.left.insert(name, gone.attributes.clone());
            }
            let fails = gone.is_none() && self.has(Flaw::DeleteMissingFails);
            results.push(if fails { Err(Error::not_found("no such blob")) } else { Ok(()) });
        }
        Ok(results)
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let replaces = matches!(options.attributes, CopyAttributes::Replace(_));
        let creates = options.mode == CopyMode::Create;
        self.require(&[(creates, Capability::CopyCreateOnly), (replaces, Capability::CopyReplace)])?;
        let (from, to) = (self.name_of(from), self.name_of(to));
        let refused =
            |state: &State| creates && state.blobs.contains_key(&to) && !self.has(Flaw::CopyCreateOverwrites);
        let exists = || Error::new(ErrorKind::AlreadyExists, "there is a blob");
        if self.has(Flaw::CopyCreateRaces) {
            let taken = refused(&self.state.lock());
            if taken {
                return Err(exists());
            }
            tokio::task::yield_now().await;
        }
        let mut state = self.state.lock();
        if !self.has(Flaw::CopyCreateRaces) && refused(&state) {
            return Err(exists());
        }
        let mut copy = self.copy_of(&state, &from, &options)?;
        if self.has(Flaw::CopySelfEmpties) && from == to {
            copy.bytes = Bytes::new();
        }
        Ok(self.place(&mut state, &to, copy))
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let creates = options.mode == CopyMode::Create;
        self.require(&[(creates, Capability::CopyCreateOnly)])?;
        let (from, to) = (self.name_of(from), self.name_of(to));
        let result = {
            let mut state = self.state.lock();
            let copy = self.copy_of(&state, &from, &options)?;
            if from == to && !self.has(Flaw::RenameSelfDeletes) {
                return Ok(PutResult::new(Some(copy.etag)));
            }
            if creates && state.blobs.contains_key(&to) && !self.has(Flaw::RenameCreateOverwrites) {
                return Err(Error::new(ErrorKind::AlreadyExists, "there is a blob"));
            }
            let result = self.place(&mut state, &to, copy);
            if self.has(Flaw::RenameKeepsSource) {
                return Ok(result);
            }
            if !self.has(Flaw::RenameInTwoSteps) {
                state.blobs.remove(&from);
                return Ok(result);
            }
            result
        };
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        self.state.lock().blobs.remove(&from);
        Ok(result)
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.page(&options)
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        let plain = self.is_plain();
        self.require(&[(!plain, Capability::Uploads)])?;
        if plain {
            super::store_upload::plain_mode(&options.mode)?;
        }
        Ok(Box::new(RefUpload::begin(self, &self.name_of(path), options)))
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        self.require(&[(!self.is_plain(), Capability::ResumeUploads)])?;
        Ok(Box::new(RefUpload::resume(self, &self.name_of(path), id)?))
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.require(&[(true, Capability::Presign)])?;
        if options.expires == Duration::ZERO && !self.has(Flaw::PresignForever) {
            return Err(Error::invalid("an expiry of nothing"));
        }
        Ok(SignedUrl::new(format!("memory://{path}?signature=secret"), Vec::new()))
    }
}
