//! A store in a directory of the local file system.

mod chunks;
mod error;
mod list;
mod lock;
mod names;
mod options;
mod private;
mod read;
mod remove;
mod root;
mod sidecar;
mod stamp;
mod temp;
mod transfer;
mod tree;
mod upload;
mod write;

pub use options::{Durability, Layout, LocalDirOptions};

use crate::blocking::blocking;
use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, Page, PresignOptions,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Clock, Error, Result};
use async_trait::async_trait;
use error::{COMPONENT, io};
use list::Walk;
use lock::Stripes;
use parking_lot::Mutex;
use private::Private;
use root::Root;
use rustix::io::Errno;
use sidecar::Sidecars;
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use temp::Temps;
use upload::LocalUpload;

/// A store in a directory of the local file system.
///
/// # What it promises
/// - **All or nothing.** A blob is written to a temporary file of the same file system, forced to the disk as
///   [`Durability`] says, and renamed. Readers see the old blob or the new one; a killed process leaves at most
///   temporary files, which the next [`open`](Self::open) removes.
/// - **Compare-and-swap across processes.** Writers of a path exclude each other by an advisory lock from the
///   look at what is there to the rename. On NFS, whose locks cannot be relied on, the capability is withheld.
/// - **Marks that never repeat.** An ETag is inode, length and modification time; the store sets the latter to
///   a number of nanoseconds that no earlier write of the path had, however coarse the system's clock.
/// - **Nothing outside.** Every name is resolved from the directory's own descriptor and no symbolic link below
///   it is followed: one that was planted is refused with `Denied`.
/// - **Any path.** What the file system cannot hold under its own name (over-long segments, a blob `a` beside
///   blobs `a/...`, the private directory's name) is escaped and comes back exactly; see below.
/// - **Plain files.** Under [`Layout::Plain`] other tools see a blob `a/b.txt` as the file `a/b.txt`, and files
///   that they write are blobs. Attributes, tags and checksums are JSON in `.aeth/meta/`. A copy of the whole
///   directory that keeps modification times (`cp -a`, `rsync -a`, a backup) is a copy of the store.
///
/// # Names
/// `%` in a segment becomes `%25`; a first segment `.aeth` becomes `%2Eaeth`; a segment of more than 254 bytes is
/// cut and marked `%~` with its hash; a blob whose name a directory has becomes the file `name%` beside it.
/// Files whose names are none of that (`50% off`, not UTF-8, more than 254 bytes) cannot be addressed and are
/// left out of listings. On a file system that ignores case, paths that differ only in it are one blob: use one
/// that does not.
///
/// Cheap to clone. Safe for any number of handles and processes at once.
///
/// ```
/// use aeth_core::blob::{BlobStore, BlobStoreExt, PutOptions};
/// use aeth_core::{BlobPath, Body};
/// use aeth_files::LocalDir;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let dir = testkit::temp_dir();
/// let store = LocalDir::open(dir.path()).await?;
/// let path = BlobPath::new("counter")?;
/// let first = store.put(&path, "1").await?;
/// let condition = PutOptions::if_match(first.etag.unwrap());
/// store.put_opts(&path, Body::from("2"), condition.clone()).await?;
/// assert!(store.put_opts(&path, Body::from("3"), condition).await.is_err());
/// assert_eq!(store.get_bytes(&path).await?, "2");
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct LocalDir(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    root: Root,
    layout: Layout,
    durability: Durability,
    clock: Arc<dyn Clock>,
    /// The unit of modification times, in nanoseconds.
    granularity: u64,
    /// Whether the file system is in memory, where a read never waits for a disk.
    in_memory: bool,
    /// Whether advisory locks exclude other processes here.
    locks_hold: bool,
    stripes: Stripes,
    temps: Arc<Temps>,
    sidecars: Sidecars,
    names: OwnedFd,
    uploads: OwnedFd,
    /// Directories that are known to be on the disk with all those above them.
    durable: Mutex<HashSet<(u64, i64, u32)>>,
    /// Walks that may go on, by the token of their next page.
    walks: Mutex<VecDeque<(String, Walk)>>,
}

impl LocalDir {
    /// Opens the store in a directory, with the default options; what is missing is made.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    ///
    /// # Cancel safety
    /// Cancel-safe: what was made may stay.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, LocalDirOptions::default()).await
    }

    /// Opens the store in a directory; what is missing is made. Removes what dead processes left there.
    ///
    /// # Errors
    /// `Denied` when the directory cannot be written; `Full`; `Invalid` when it was made with another layout or
    /// is not a directory; `Unsupported` when a newer version made it, or the file system keeps no modification
    /// times; `Busy` when another process has been opening it for long.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was made may stay.
    pub async fn open_with(path: impl AsRef<Path>, options: LocalDirOptions) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let shown = path.display().to_string();
        let opened = blocking(move || Inner::open(path, options)).await;
        opened
            .map(|inner| Self(Arc::new(inner)))
            .map_err(|error| error.with_component(COMPONENT).with_operation("open").with_key(shown))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// What a put has done when it returns.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.0.durability
    }

    /// How blobs are laid out.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The space of the file system, in bytes: (all of it, what is available here).
    ///
    /// # Errors
    /// Those of the system.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn space(&self) -> Result<(u64, u64)> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let stat = rustix::fs::fstatvfs(&inner.root).map_err(io)?;
            let unit = stat.f_frsize.max(1);
            Ok((stat.f_blocks.saturating_mul(unit), stat.f_bavail.saturating_mul(unit)))
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        blocking(move || work(&inner)).await
    }
}

impl Inner {
    fn open(path: PathBuf, options: LocalDirOptions) -> Result<Self> {
        std::fs::create_dir_all(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::NotADirectory => {
                Error::invalid("there is something that is not a directory")
                    .with_source(error)
                    .with_remedy("remove it or choose another place")
            }
            _ => Error::from_io(error),
        })?;
        let root = Root::open(&path).map_err(|error| match error {
            Errno::NOTDIR => Error::invalid("it is not a directory").with_remedy("choose another place"),
            _ => io(error),
        })?;
        let (in_memory, locks_hold) = file_system(&root)?;
        let private = Private::open(&root, &options)?;
        let inner = Self {
            path,
            root,
            layout: options.layout,
            durability: options.durability,
            clock: options.clock,
            granularity: private.granularity,
            in_memory,
            locks_hold,
            stripes: Stripes::new(private.locks, options.lock_timeout, private.granularity),
            temps: private.temps,
            sidecars: Sidecars::new(Root::from_fd(private.meta)),
            names: private.names,
            uploads: private.uploads,
            durable: Mutex::default(),
            walks: Mutex::default(),
        };
        inner.expire_uploads(options.upload_expiry)?;
        Ok(inner)
    }
}

/// What kind of file system it is: (in memory, one whose locks can be relied on).
#[cfg(target_os = "linux")]
fn file_system(root: &Root) -> Result<(bool, bool)> {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    const NFS: u64 = 0x6969;
    const SMB: [u64; 3] = [0x517b, 0xff53_4d42, 0xfe53_4d42];
    let stat = rustix::fs::fstatfs(root).map_err(io)?;
    // The type of the number differs between architectures; the magic numbers have 32 bits.
    let magic = stat.f_type as u64 & 0xffff_ffff;
    Ok((matches!(magic, TMPFS | RAMFS), magic != NFS && !SMB.contains(&magic)))
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Root) -> Result<(bool, bool)> {
    Ok((false, true))
}

fn shown(error: Error, operation: &'static str, path: &BlobPath) -> Error {
    error.with_operation(operation).with_component(COMPONENT).with_key(path)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for LocalDir {
    fn name(&self) -> Cow<'_, str> {
        COMPONENT.into()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(Capability::ALL)
            .without(Capability::Presign)
            .without(Capability::Versions)
            .without(Capability::PlainUploads);
        if self.0.durability != Durability::FileAndDirectory {
            capabilities = capabilities.without(Capability::Durable);
        }
        if !self.0.locks_hold {
            capabilities = capabilities.without(Capability::CompareAndSwap).without(Capability::MultiProcess);
        }
        capabilities.max_parts = upload::MAX_PARTS;
        capabilities
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        if options.version.is_some() {
            self.capabilities().require(Capability::Versions)?;
        }
        self.0.get(path, options).await.map_err(|error| shown(error, "get", path))
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, aeth_core::blob::PutMode::Match(_)) {
            self.capabilities().require(Capability::CompareAndSwap)?;
        }
        self.0.put(path, body, options).await.map_err(|error| shown(error, "put", path))
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let paths = paths.to_vec();
        let results = self.run(move |inner| Ok(inner.delete(&paths))).await?;
        let shown = |error: Error| error.with_operation("delete").with_component(COMPONENT);
        Ok(results.into_iter().map(|result| result.map_err(shown)).collect())
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let (source, target) = (from.clone(), to.clone());
        let done = self.run(move |inner| inner.copy(&source, &target, &options)).await;
        done.map_err(|error| shown(error, "copy", from))
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let (source, target) = (from.clone(), to.clone());
        let done = self.run(move |inner| inner.rename(&source, &target, &options)).await;
        done.map_err(|error| shown(error, "rename", from))
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        let page = self.run(move |inner| inner.list(options)).await;
        page.map_err(|error| error.with_operation("list").with_component(COMPONENT))
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        let begun = LocalUpload::begin(&self.0, path, &options).await;
        begun.map_err(|error| shown(error, "begin_upload", path))
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        let resumed = LocalUpload::resume(&self.0, path, id).await;
        resumed.map_err(|error| shown(error, "resume_upload", path))
    }

    async fn presign(&self, path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(shown(Error::unsupported("a local directory has no URLs"), "presign", path))
    }
}
