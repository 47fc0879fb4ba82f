//! object_store's stores as ours.

mod list;
mod mark;
mod names;
mod options;
mod put;
mod read;
mod source;
mod transfer;
mod upload;

pub use options::{Engine, ObjectStoreAdapterOptions};

use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, Page, PresignOptions,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, ClockExt, Error, Result, Tasks};
use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::ObjectStore;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Any [`object_store::ObjectStore`] as a [`BlobStore`].
///
/// # What it claims
/// What its [`Engine`] does and object_store's trait can express, no more; see
/// [`capabilities`](BlobStore::capabilities). [`with_capability`](Self::with_capability) and
/// [`without_capability`](Self::without_capability) correct that for an engine that was set up specially, and
/// [`narrow`](Self::narrow) takes what a probe has seen. Never claimed are tags (object_store does not give them
/// back), [`Uploads`](Capability::Uploads) (its parts cannot be listed, left out or completed under a condition; large
/// puts use parts all the same), [`PlainUploads`](Capability::PlainUploads) without a
/// [store of parts](Self::with_parts), and signed URLs without a [signer](Self::with_signer).
///
/// # How it works
/// - A body up to one part is one put; a larger one is sent in parts, several at once, and aborted when it fails or
///   is dropped. Length and checksum are verified before anything becomes visible.
/// - A conditional put goes out in one request and is therefore held in memory, up to
///   [`conditional_limit`](ObjectStoreAdapterOptions::conditional_limit); above it is `Unsupported`, or staged.
/// - A copy is the engine's own. One that replaces attributes or demands a mark reads the source and puts the target
///   through this process, because object_store has no words for it.
/// - Conditions of a get are compared with the metadata that came with the bytes, so that lists of marks and whole
///   seconds mean the same on every engine.
/// - Listings use the engine's own pages with [`with_pages`](Self::with_pages). Without, each page reads the whole
///   directory and keeps the least entries: memory stays bounded, time does not.
///
/// # Retries
/// object_store's clients retry by themselves, ten times within three minutes. Under a host's policy that multiplies
/// the attempts: switch it off by `with_retry(RetryConfig { max_retries: 0, ..Default::default() })` on their
/// builders; the constructors of this crate do so.
///
/// ```
/// use aeth_core::blob::{BlobStoreExt, PutOptions};
/// use aeth_core::BlobPath;
/// use aeth_files::{Engine, ObjectStoreAdapter};
/// use std::sync::Arc;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let memory = Arc::new(object_store::memory::InMemory::new());
/// let store = ObjectStoreAdapter::new(memory, Engine::Memory);
/// let path = BlobPath::new("greeting")?;
/// store.put(&path, "hello").await?;
/// assert_eq!(store.get_range(&path, 1..3).await?, "el");
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct ObjectStoreAdapter {
    store: Arc<dyn ObjectStore>,
    pages: Option<Arc<dyn PaginatedListStore>>,
    parts: Option<Arc<dyn MultipartStore>>,
    #[cfg(feature = "object-store-0-14-signer")]
    signer: Option<Arc<dyn object_store::signer::Signer>>,
    engine: Engine,
    claims: Capabilities,
    options: ObjectStoreAdapterOptions,
    tasks: Tasks,
    name: Arc<str>,
}

impl ObjectStoreAdapter {
    /// Wraps a store with the default options.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, engine: Engine) -> Self {
        Self::with_options(store, engine, ObjectStoreAdapterOptions::default())
    }

    /// Wraps a store.
    #[must_use]
    pub fn with_options(
        store: Arc<dyn ObjectStore>,
        engine: Engine,
        options: ObjectStoreAdapterOptions,
    ) -> Self {
        Self {
            store,
            pages: None,
            parts: None,
            #[cfg(feature = "object-store-0-14-signer")]
            signer: None,
            engine,
            claims: engine.claims(),
            options,
            tasks: Tasks::new(),
            name: format!("object-store({})", engine.as_str()).into(),
        }
    }

    /// Lists by the engine's own pages. They must be in ascending order of path bytes, as those of S3 (its directory
    /// buckets excepted), GCS and Azure are.
    #[must_use]
    pub fn with_pages(mut self, pages: Arc<dyn PaginatedListStore>) -> Self {
        self.pages = Some(pages);
        self
    }

    /// Takes uploads in parts by the engine's own, and claims [`PlainUploads`](Capability::PlainUploads). One part is
    /// held in memory, and is at most as long as the [`conditional_limit`](ObjectStoreAdapterOptions::conditional_limit).
    /// Parts of uploads that nobody completes stay until a rule of the engine removes them.
    #[must_use]
    pub fn with_parts(mut self, parts: Arc<dyn MultipartStore>) -> Self {
        self.parts = Some(parts);
        self.claims = self.claims.with(Capability::PlainUploads);
        self
    }

    /// Signs URLs by the engine, and claims [`Presign`](Capability::Presign).
    #[cfg(feature = "object-store-0-14-signer")]
    #[must_use]
    pub fn with_signer(mut self, signer: Arc<dyn object_store::signer::Signer>) -> Self {
        self.signer = Some(signer);
        self.claims = self.claims.with(Capability::Presign);
        self
    }

    /// Runs clean-up after puts that were dropped in this group of tasks instead of one of its own.
    #[must_use]
    pub fn with_tasks(mut self, tasks: Tasks) -> Self {
        self.tasks = tasks;
        self
    }

    /// Claims one more capability. One that object_store's trait cannot express stays unclaimed.
    #[must_use]
    pub fn with_capability(mut self, capability: Capability) -> Self {
        self.claims = self.claims.with(capability);
        self
    }

    /// Claims one capability less.
    #[must_use]
    pub fn without_capability(mut self, capability: Capability) -> Self {
        self.claims = self.claims.without(capability);
        self
    }

    /// Keeps only the claims that are also in `seen`, as [`aeth_core::blob::probe`] gives it.
    #[must_use]
    pub fn narrow(mut self, seen: &Capabilities) -> Self {
        self.claims.set = self.claims.set.and(seen.set);
        self
    }

    /// Runs one call of the engine within the time allowed.
    async fn call<T>(&self, call: impl Future<Output = object_store::Result<T>> + Send) -> Result<T> {
        let answer = self.options.clock.timeout(self.options.timeout, call).await;
        answer.and_then(|answer| answer.map_err(super::error::inner))
    }

    /// True when a delete failed because there is nothing to delete: a missing blob, or a directory of the engine.
    async fn is_gone(&self, path: &BlobPath, error: &Error) -> bool {
        use aeth_core::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound => true,
            ErrorKind::Invalid | ErrorKind::Other => {
                self.head_of(path).await.is_err_and(|error| error.is_not_found())
            }
            _ => false,
        }
    }

    /// Adds where it happened.
    fn placed(&self, error: Error, operation: &'static str, path: &BlobPath) -> Error {
        error.with_operation(operation).with_component(self.name.to_string()).with_key(path)
    }
}

impl fmt::Debug for ObjectStoreAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the store itself: the configuration of an engine may hold credentials.
        f.debug_struct("ObjectStoreAdapter").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for ObjectStoreAdapter {
    fn name(&self) -> Cow<'_, str> {
        (&*self.name).into()
    }

    fn capabilities(&self) -> Capabilities {
        let mut claims = options::expressible(self.claims.clone());
        claims.max_conditional_put = Some(self.options.conditional_limit);
        if !self.engine.has_parts() {
            claims.max_size = Some(self.options.conditional_limit);
        }
        if self.parts.is_none() {
            claims = claims.without(Capability::PlainUploads);
        }
        if claims.has(Capability::PlainUploads) {
            (claims.min_part, claims.max_parts) = self.engine.part_limits();
        }
        #[cfg(feature = "object-store-0-14-signer")]
        if self.signer.is_some() && self.claims.has(Capability::Presign) {
            claims = claims.with(Capability::Presign);
        }
        claims
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.get(path, options).await.map_err(|error| self.placed(error, "get", path))
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.put(path, body, options).await.map_err(|error| self.placed(error, "put", path))
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let mut results = Vec::with_capacity(paths.len());
        let mut known = Vec::with_capacity(paths.len());
        for path in paths {
            match self.outer(path.as_str()) {
                Ok(outer) => {
                    known.push(Ok(outer));
                    results.push(None);
                }
                Err(error) => results.push(Some(Err(self.placed(error, "delete", path)))),
            }
        }
        let mut deleted = self.store.delete_stream(futures_util::stream::iter(known).boxed());
        let mut ended = None;
        for (result, path) in results.iter_mut().zip(paths).filter(|(result, _)| result.is_none()) {
            let done = match &ended {
                Some(error) => Err(Error::clone(error)),
                None => match self.options.clock.timeout(self.options.timeout, deleted.next()).await {
                    Ok(Some(answer)) => answer.map(drop).map_err(super::error::inner),
                    Ok(None) => Err(Error::unavailable("the engine did not say what became of the blob")),
                    Err(error) => {
                        ended = Some(error.clone());
                        Err(error)
                    }
                },
            };
            *result = Some(match done {
                Err(error) if !self.is_gone(path, &error).await => Err(self.placed(error, "delete", path)),
                _ => Ok(()),
            });
        }
        Ok(results.into_iter().flatten().collect())
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        Box::pin(self.copy(from, to, options)).await.map_err(|error| self.placed(error, "copy", from))
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        Box::pin(self.rename(from, to, options)).await.map_err(|error| self.placed(error, "rename", from))
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        let page = self.list(options).await;
        page.map_err(|error| error.with_operation("list").with_component(self.name.to_string()))
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        self.begin(path, options).await.map_err(|error| self.placed(error, "begin_upload", path))
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        self.resume(path, id).map_err(|error| self.placed(error, "resume_upload", path))
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.sign(path, options).await.map_err(|error| self.placed(error, "presign", path))
    }
}

impl ObjectStoreAdapter {
    #[cfg(not(feature = "object-store-0-14-signer"))]
    #[allow(clippy::unused_async, reason = "the other form of it waits for the engine")]
    async fn sign(&self, _path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(Error::unsupported("no signer was given")
            .with_remedy("enable the feature `object-store-0-14-signer` and give the adapter a signer"))
    }

    #[cfg(feature = "object-store-0-14-signer")]
    async fn sign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        use aeth_core::blob::PresignMethod;
        use object_store::signer::Method;
        /// The longest that S3 and GCS allow.
        const LONGEST: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);
        let Some(signer) = &self.signer else {
            return Err(Error::unsupported("no signer was given").with_remedy("give the adapter a signer"));
        };
        BlobStore::capabilities(self).require(Capability::Presign)?;
        if options.expires < std::time::Duration::from_secs(1) || options.expires > LONGEST {
            return Err(Error::invalid("a signed URL cannot be valid for that long")
                .with_remedy("ask for between one second and seven days"));
        }
        let azure = self.engine == Engine::Azure;
        let method = match options.method {
            PresignMethod::Get => Method::GET,
            PresignMethod::Put => Method::PUT,
            // Azure knows no right to ask for properties alone: who may read may ask, and nobody else.
            PresignMethod::Head if azure => Method::GET,
            PresignMethod::Head => Method::HEAD,
            PresignMethod::Delete => Method::DELETE,
            _ => return Err(Error::unsupported("no URL can be signed for this method")),
        };
        let location = self.outer(path.as_str())?;
        let url = self.call(signer.signed_url(method, &location, options.expires)).await?;
        // The client signs the name as the URL writes it, the service checks it as it is (object_store 0.14).
        if azure && url.path().contains('%') {
            return Err(Error::unsupported(
                "URLs of Azure cannot be signed for a name that they have to encode",
            )
            .with_remedy("use letters, digits, `-`, `.`, `_`, `~` and `/` in names that are to be linked"));
        }
        let mut headers = Vec::new();
        if azure && options.method == PresignMethod::Put {
            // Whoever puts must say which sort of blob it is.
            headers.push(("x-ms-blob-type".to_owned(), "BlockBlob".to_owned()));
        }
        Ok(SignedUrl::new(url.into(), headers))
    }
}
