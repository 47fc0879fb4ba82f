//! Encryption at rest.

mod identity;
mod object;
mod read;
mod statistics;
mod transfer;
mod upload;
mod write;

pub use statistics::EncryptedStatistics;

use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, ListedSize, Page,
    PresignOptions, PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::observe::{Collector, MetricsSource};
use aeth_core::seal::Keyset;
use aeth_core::{BlobPath, Body, Error, Result};
use async_trait::async_trait;
use object::{Known, plain_len, uniform};
use parking_lot::RwLock;
use quick_cache::sync::Cache;
use statistics::Counters;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use transfer::Move;
use upload::SealedUpload;

/// How many objects are remembered for ranged reads.
const REMEMBERED: usize = 4_096;

/// A layer that seals every blob before it reaches the store below, and opens it on the way back.
///
/// # What is stored
/// A blob is one *Tink streaming AEAD* ciphertext (AES256-GCM-HKDF; see [`aeth_core::seal`]), which Tink's own
/// libraries open with the same keyset. On a store with attributes three of them belong to this layer:
///
/// | attribute | what it is |
/// |---|---|
/// | `aeth-seal-id` | a random identity; as ASCII text the associated data of the ciphertext |
/// | `aeth-seal-key` | the number of the key and the commitment to it |
/// | `aeth-seal-path` | a MAC that binds the identity to the blob's path |
///
/// A copy or rename then moves no byte where the store can replace attributes on copy: only the binding is made
/// anew. On a store without attributes the associated data is the path itself, and copies seal anew. Paths,
/// attributes, tags, lengths and times are not encrypted.
///
/// # What is detected
/// A full read detects any flip, cut, extension, reordering, splice, wrong key, and an object put in another's
/// place. A ranged read detects the same in the segments that it opens, and proves the object's length by its
/// last segment when it reads the object for the first time. Putting back an *older object of the same path* is
/// not detected. Until a stream has ended well, nothing is known about the part that was not read yet.
///
/// # How it behaves
/// Memory is one segment (64 KiB unless the key says otherwise) beyond what the caller and the store hold. Sizes
/// are the plaintext's, by formula. A ranged read fetches and opens only the segments that it touches. A streamed
/// body is handed down as one that can be read once, so put retries above this layer, not below. Presigned URLs
/// are refused. Parts of uploads are sealed one by one under `.aeth-parts/`, which is hidden and reserved, and
/// sealed as a whole when the upload completes; one that is neither completed nor aborted stays there until
/// [`expire_uploads`](Self::expire_uploads).
///
/// What is sealed and opened is counted ([`statistics`](Self::statistics), [`MetricsSource`]).
///
/// Keys rotate by [`replace_keyset`](Self::replace_keyset): new blobs are sealed under the new primary key, old
/// ones open under theirs.
///
/// ```
/// use aeth_core::blob::{BlobStore, BlobStoreExt};
/// use aeth_core::seal::{Keyset, SegmentSize};
/// use aeth_core::BlobPath;
/// use aeth_files::{Encrypted, MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let below = MemoryStore::new();
/// let store = Encrypted::new(below.clone(), Keyset::generate(SegmentSize::default())?);
/// let path = BlobPath::new("secret")?;
/// store.put(&path, "attack at dawn").await?;
/// assert_eq!(store.get_bytes(&path).await?, "attack at dawn");
/// assert_ne!(below.get_bytes(&path).await?, "attack at dawn");
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Encrypted {
    inner: Arc<dyn BlobStore>,
    name: String,
    keyset: Arc<RwLock<Arc<Keyset>>>,
    caps: Capabilities,
    /// Whether the store below keeps attributes.
    binds: bool,
    /// Whether a copy can get new ones without moving bytes.
    rebinds: bool,
    /// Whether a read can be tied to one state of a blob.
    pins: bool,
    opened: Arc<Cache<BlobPath, Known>>,
    counters: Arc<Counters>,
}

impl Encrypted {
    /// A layer over `store` that seals under the keyset's primary key.
    #[must_use]
    pub fn new(store: impl BlobStore, keyset: Keyset) -> Self {
        Self::over(Arc::new(store), keyset)
    }

    /// The same over a store that is shared.
    #[must_use]
    pub fn over(store: Arc<dyn BlobStore>, keyset: Keyset) -> Self {
        let below = store.capabilities();
        let binds = below.has(Capability::Attributes);
        let rebinds = binds && below.has(Capability::CopyReplace);
        Self {
            name: format!("encrypted({})", store.name()),
            caps: transform(&below, &keyset, binds, rebinds),
            binds,
            rebinds,
            pins: below.has(Capability::ConditionalGet),
            opened: Arc::new(Cache::new(REMEMBERED)),
            counters: Arc::default(),
            keyset: Arc::new(RwLock::new(Arc::new(keyset))),
            inner: store,
        }
    }

    /// Takes another keyset from now on, as after a rotation. Calls that are under way keep the old one.
    ///
    /// # Errors
    /// `Invalid` when listings gave exact sizes and could not with this keyset, because its keys have
    /// different segment sizes.
    pub fn replace_keyset(&self, keyset: Keyset) -> Result<()> {
        if self.caps.listed_size == ListedSize::Exact && uniform(&keyset).is_none() {
            return Err(Error::invalid("the keyset has keys of different segment sizes")
                .with_component("encrypted")
                .with_remedy("rotate with the same segment size, or open the store anew with this keyset"));
        }
        *self.keyset.write() = Arc::new(keyset);
        self.opened.clear();
        Ok(())
    }

    /// A page of the store below with the lengths of plaintexts, hidden entries included.
    async fn list_all(&self, options: ListOptions) -> Result<Page> {
        let size = uniform(&self.keyset()).filter(|_| self.caps.listed_size == ListedSize::Exact);
        let mut page = self.inner.list_page(options).await?;
        for meta in &mut page.blobs {
            match size.map(|size| plain_len(size, meta.size)) {
                Some(Ok(plain)) => meta.size = plain,
                Some(Err(_)) => tracing::debug!(path = %meta.path, "a blob in the store is not sealed"),
                None => {}
            }
            meta.checksum = None;
        }
        Ok(page)
    }

    /// What the layer has done.
    #[must_use]
    pub fn statistics(&self) -> EncryptedStatistics {
        self.counters.read()
    }

    /// The keyset in use.
    #[must_use]
    pub fn keyset(&self) -> Arc<Keyset> {
        Arc::clone(&self.keyset.read())
    }
}

/// What the layer can do over a store that can do `below`.
fn transform(below: &Capabilities, keyset: &Keyset, binds: bool, rebinds: bool) -> Capabilities {
    let mut caps = below.clone();
    for lost in [Capability::Transparent, Capability::Presign, Capability::PlainUploads] {
        caps = caps.without(lost);
    }
    let mut set = |capability, has: bool| {
        caps.set = if has { caps.set.with(capability) } else { caps.set.without(capability) };
    };
    set(Capability::Checksums, true);
    // Parts are staged by this layer, whatever the store below can do.
    set(Capability::Uploads, true);
    set(Capability::ResumeUploads, true);
    set(Capability::SuffixGet, below.has(Capability::RangeGet));
    set(Capability::CopyReplace, binds);
    if !rebinds {
        set(Capability::AtomicRename, false);
        set(Capability::CopyCreateOnly, below.has(Capability::CreateOnly));
    }
    if uniform(keyset).is_none() {
        caps.listed_size = ListedSize::Stored;
    }
    let plain = |sealed: u64| {
        let segments = sealed / u64::from(keyset.segment_size().get()) + 1;
        sealed.saturating_sub(segments * aeth_core::seal::TAG_LEN as u64 + aeth_core::seal::HEADER_LEN as u64)
    };
    caps.min_part = 1;
    caps.max_parts = upload::MAX_PARTS;
    caps.max_size = below.max_size.map(plain);
    caps.max_conditional_put = below.max_conditional_put.map(plain);
    caps
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted")
            .field("inner", &self.inner)
            .field("binds", &self.binds)
            .finish_non_exhaustive()
    }
}

impl MetricsSource for Encrypted {
    fn component(&self) -> Cow<'_, str> {
        "storage".into()
    }

    fn collect(&self, out: &mut dyn Collector) {
        self.statistics().collect(&self.name, out);
    }
}

/// True for what this layer keeps for itself.
fn is_hidden(path: &str) -> bool {
    path.strip_prefix(upload::PARTS).is_some_and(|rest| rest.starts_with('/'))
}

/// Refuses paths that this layer keeps for itself.
fn check_path(path: &BlobPath) -> Result<()> {
    if !is_hidden(path.as_str()) {
        return Ok(());
    }
    Err(Error::invalid(format!("paths below `{}/` are reserved for encryption", upload::PARTS))
        .with_component("encrypted")
        .with_key(path)
        .with_remedy("choose another path"))
}

fn refused(what: &'static str) -> Error {
    Error::unsupported(what).with_component("encrypted")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Encrypted {
    fn name(&self) -> Cow<'_, str> {
        self.name.as_str().into()
    }

    fn capabilities(&self) -> Capabilities {
        self.caps.clone()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        if is_hidden(path.as_str()) {
            return Err(Error::not_found("there is no such blob").with_component("encrypted").with_key(path));
        }
        self.get_opened(path, options).await
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        check_path(path)?;
        self.put_sealed(path, body, options).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        for path in paths {
            check_path(path)?;
            self.opened.remove(path);
        }
        self.inner.delete_many(paths).await
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        check_path(from)?;
        check_path(to)?;
        self.transfer(Move::Copy, from, to, options).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        check_path(from)?;
        check_path(to)?;
        self.transfer(Move::Rename, from, to, options).await
    }

    async fn list_page(&self, mut options: ListOptions) -> Result<Page> {
        loop {
            let mut page = self.list_all(options.clone()).await?;
            page.blobs.retain(|meta| !is_hidden(meta.path.as_str()));
            page.prefixes.retain(|prefix| !is_hidden(prefix));
            // A page of nothing but hidden entries is none.
            match page.next.take_if(|_| page.blobs.is_empty() && page.prefixes.is_empty()) {
                Some(token) => options.token = Some(token),
                None => return Ok(page),
            }
        }
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        check_path(path)?;
        SealedUpload::begin(self, path, options).await
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        SealedUpload::resume(self, path, id).await
    }

    async fn presign(&self, _path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(refused("a URL would give the sealed bytes").with_remedy("serve the blob through this store"))
    }
}
