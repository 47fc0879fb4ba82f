//! opendal's operators as our stores.

mod error;
mod get;
mod list;
mod meta;
mod options;
mod put;
mod transfer;
mod uri;

pub use options::OpendalAdapterOptions;

use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, Page, PresignMethod,
    PresignOptions, PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, ClockExt, Error, Result, Tasks};
use async_trait::async_trait;
use error::from_dal;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use opendal::Operator;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The longest that S3 and GCS allow.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Any opendal [`Operator`] as a [`BlobStore`], its gaps closed or reported.
///
/// # What it claims
/// What the service claims and this adapter can hold; see [`capabilities`](BlobStore::capabilities). Services
/// overstate: [`narrow`](Self::narrow) takes what `aeth_core::blob::probe` has seen. Never claimed are tags, uploads
/// in parts (opendal's writers cannot be listed, reordered or taken up again) and durability, which depends on how
/// the service is set up ([`with_capability`](Self::with_capability)).
///
/// # What it closes
/// - **Unfinished files**: services that write in place (`fs`, `sftp`, `webdav` and the like) show a file while it
///   grows, and mix the bytes of two writers. Here it is written into a
///   [directory of its own](OpendalAdapterOptions::staging) and renamed. Files that a killed process left there may
///   be deleted when nobody writes.
/// - **Reads of two states**: the metadata and the bytes of a blob are asked for one after the other. A service with
///   ETags is held to the state by a condition; otherwise the state is compared afterwards, blobs up to one part are
///   read again when it changed, and the stream of a larger one fails.
/// - **Listings**: directories are not blobs; pages are in byte order, with sizes, and go on by token, whatever the
///   service gives. A service that does not list in order is read to its end for each page: memory stays bounded,
///   time does not.
/// - **Names**: opendal cuts spaces off and joins slashes, services over HTTP lose control characters; paths that would be
///   changed are refused.
/// - **Copies**: where the service cannot copy (under a condition, with other attributes), through this process.
/// - **Checksums** and stated lengths are verified before a blob becomes visible.
/// - **Deletes** answer for each path by itself, and what is missing is gone. A service that would delete a directory
///   with all that is in it (WebDAV) is asked first whether the path is a file; nor is such a directory replaced by a
///   blob, even when it is empty.
///
/// Services over HTTP use the client that the host installed in opendal, or the one that its feature
/// `http-transport-reqwest` brings. Retries are the host's: give the operator no `RetryLayer` under a host's policy, it would multiply the attempts.
#[derive(Clone)]
pub struct OpendalAdapter {
    operator: Operator,
    theirs: opendal::Capability,
    claims: Capabilities,
    options: OpendalAdapterOptions,
    staged: bool,
    /// True for a service that keeps every character of a path.
    exact: bool,
    tasks: Tasks,
    name: Arc<str>,
}

impl OpendalAdapter {
    /// Wraps an operator with the default options.
    ///
    /// # Errors
    /// As [`with_options`](Self::with_options).
    pub fn new(operator: Operator) -> Result<Self> {
        Self::with_options(operator, OpendalAdapterOptions::default())
    }

    /// Wraps an operator.
    ///
    /// # Errors
    /// `Unsupported` for a service that cannot read, write, delete or list, or that shows unfinished files and cannot
    /// rename; `Invalid` for a staging directory that is not one segment of a path.
    pub fn with_options(operator: Operator, options: OpendalAdapterOptions) -> Result<Self> {
        // The HTTP client that the host's features bring, if there is none yet: nothing runs before `main` for that.
        opendal::install_default();
        let info = operator.info();
        let (scheme, theirs) = (info.scheme(), info.capability());
        let (staged, exact) = (options::shows_unfinished(scheme), matches!(scheme, "fs" | "memory"));
        let name: Arc<str> = format!("opendal({scheme})").into();
        let needs = [
            ("stat", theirs.stat),
            ("read", theirs.read),
            ("write", theirs.write),
            ("delete", theirs.delete),
            ("list", theirs.list),
            ("rename, though it shows unfinished files", theirs.rename || !staged),
        ];
        if let Some((what, _)) = needs.into_iter().find(|(_, has)| !has) {
            return Err(Error::unsupported(format!("the service cannot {what}"))
                .with_component(name.to_string())
                .with_remedy("choose a service that can hold blobs"));
        }
        if BlobPath::new(&options.staging).is_err() || options.staging.contains('/') {
            return Err(Error::invalid("the staging directory is not one segment of a path")
                .with_key(&options.staging)
                .with_component(name.to_string()));
        }
        let mut claims = options::claims(scheme, &theirs, staged);
        claims.max_conditional_put = Some(options.conditional_limit);
        if !theirs.write_can_multi {
            claims.max_size = Some(options.conditional_limit);
        }
        Ok(Self { operator, theirs, claims, options, staged, exact, tasks: Tasks::new(), name })
    }

    /// Runs clean-up after puts that were dropped in this group of tasks instead of one of its own.
    #[must_use]
    pub fn with_tasks(mut self, tasks: Tasks) -> Self {
        self.tasks = tasks;
        self
    }

    /// Claims one more capability, of those that only the host knows: durability, safety for several processes.
    #[must_use]
    pub fn with_capability(mut self, capability: Capability) -> Self {
        if matches!(capability, Capability::Durable | Capability::MultiProcess) {
            self.claims = self.claims.with(capability);
        }
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

    /// Runs one request within the time allowed. opendal's futures are large: they are boxed here.
    fn call<'a, T: Send + 'a>(
        &'a self,
        call: impl Future<Output = opendal::Result<T>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        let call = Box::pin(call);
        Box::pin(async move {
            let answer = self.options.clock.timeout(self.options.timeout, call).await;
            answer.and_then(|answer| answer.map_err(from_dal))
        })
    }

    /// The path in opendal's words.
    fn place<'a>(&self, path: &'a BlobPath) -> Result<&'a str> {
        let text = path.as_str();
        if text.trim() != text {
            return Err(Error::unsupported("opendal cuts off spaces at the ends of a path")
                .with_remedy("choose a path that does not start or end with one"));
        }
        // Services over HTTP change them on the way, or cannot list them.
        let lost = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
        if !self.exact && text.contains(lost) {
            return Err(Error::unsupported("the service does not keep control characters in paths")
                .with_remedy("choose a path without them"));
        }
        // The longest name of a file (POSIX, NAME_MAX of common file systems); servers fail with whatever comes to them.
        if self.staged && text.split('/').any(|name| name.len() > 255) {
            return Err(Error::unsupported(
                "the service keeps blobs as files, and a name is too long for one",
            )
            .with_remedy("choose a path whose segments have at most 255 bytes"));
        }
        if self.is_staging(text) {
            return Err(Error::invalid("this directory is for unfinished files")
                .with_remedy("choose another path, or another staging directory"));
        }
        Ok(text)
    }

    fn is_staging(&self, text: &str) -> bool {
        let rest = text.strip_prefix(self.options.staging.as_str());
        self.staged && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Adds where it happened.
    fn placed(&self, error: Error, operation: &'static str, path: &BlobPath) -> Error {
        error.with_operation(operation).with_component(self.name.to_string()).with_key(path)
    }

    async fn delete_one(&self, path: &BlobPath) -> Result<()> {
        let place = self.place(path)?;
        if options::takes_directories(self.operator.info().scheme()) {
            match self.find(place).await {
                Ok(_) => {}
                Err(missing) if missing.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        match self.call(self.operator.delete(place)).await {
            Ok(()) => Ok(()),
            // A directory of the service is no blob.
            Err(error) => match self.find(place).await {
                Err(missing) if missing.is_not_found() => Ok(()),
                _ => Err(error),
            },
        }
    }

    async fn sign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.claims.require(Capability::Presign)?;
        if options.expires < Duration::from_secs(1) || options.expires > LONGEST {
            return Err(Error::invalid("a signed URL cannot be valid for that long")
                .with_remedy("ask for between one second and seven days"));
        }
        let (place, expires) = (self.place(path)?, options.expires);
        let signed = match options.method {
            PresignMethod::Get => self.call(self.operator.presign_read(place, expires)).await?,
            PresignMethod::Put => self.call(self.operator.presign_write(place, expires)).await?,
            PresignMethod::Head => self.call(self.operator.presign_stat(place, expires)).await?,
            PresignMethod::Delete => self.call(self.operator.presign_delete(place, expires)).await?,
            _ => return Err(Error::unsupported("no URL can be signed for this method")),
        };
        let headers = signed.header().iter();
        let headers = headers.filter_map(|(name, value)| {
            value.to_str().ok().map(|value| (name.to_string(), value.to_owned()))
        });
        Ok(SignedUrl::new(signed.uri().to_string(), headers.collect()))
    }
}

impl fmt::Debug for OpendalAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the operator: the configuration of a service may hold credentials.
        f.debug_struct("OpendalAdapter").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for OpendalAdapter {
    fn name(&self) -> Cow<'_, str> {
        (&*self.name).into()
    }

    fn capabilities(&self) -> Capabilities {
        self.claims.clone()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        Box::pin(self.get(path, options)).await.map_err(|error| self.placed(error, "get", path))
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        Box::pin(self.put(path, body, options)).await.map_err(|error| self.placed(error, "put", path))
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let delete = |path| async move {
            let deleted = self.delete_one(path).await;
            deleted.map_err(|error| self.placed(error, "delete", path))
        };
        let deletes: Vec<_> = paths.iter().map(delete).collect();
        Ok(stream::iter(deletes).buffered(self.options.concurrency).collect().await)
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        Box::pin(self.copy(from, to, options)).await.map_err(|error| self.placed(error, "copy", from))
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        Box::pin(self.rename(from, to, options)).await.map_err(|error| self.placed(error, "rename", from))
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        let page = Box::pin(self.list(options)).await;
        page.map_err(|error| error.with_operation("list").with_component(self.name.to_string()))
    }

    async fn begin_upload(&self, path: &BlobPath, _options: PutOptions) -> Result<Box<dyn Upload>> {
        Err(self.placed(no_uploads(), "begin_upload", path))
    }

    async fn resume_upload(&self, path: &BlobPath, _id: &UploadId) -> Result<Box<dyn Upload>> {
        Err(self.placed(no_uploads(), "resume_upload", path))
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.sign(path, options).await.map_err(|error| self.placed(error, "presign", path))
    }
}

fn no_uploads() -> Error {
    Error::unsupported("opendal's writers cannot take parts in any order or be taken up again")
        .with_remedy("put a stream: the adapter sends it in parts by itself")
}
