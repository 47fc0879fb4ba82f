//! Versions of a prefix as commits in a bare git repository.
//!
//! Whatever the archive holds, stock git reads: each version is a commit on a branch, blobs are files, tags are
//! tags. Blobs longer than [`GitArchiveOptions::large_over`] are kept beside the history, content-addressed, with a
//! pointer of [Git LFS](https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md) in their place. A blob that
//! itself reads as such a pointer is kept in the same way, so that every pointer of the archive means a blob.

mod commit;
mod diff;
mod error;
mod history;
mod large;
mod names;
mod options;
mod pointer;
mod push;
mod read;
mod reference;
mod restore;
mod signature;
mod staging;
mod tar;
mod tree;

pub use commit::Committed;
pub use diff::{Change, ChangeKind};
pub use history::{GitTag, Snapshot};
pub use options::{CommitOptions, GitArchiveOptions, RestoreOptions};
pub use push::PushOptions;
pub use read::{ArchiveEntry, Verified};
pub use restore::Restored;
pub use tar::TarOptions;

use crate::LocalDir;
use crate::blocking::blocking;
use aeth_core::blob::BlobStore;
use aeth_core::{Error, Result};
use error::{COMPONENT, from_gix, io};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An archive of versions in a bare git repository, which stock git reads, clones, checks and serves.
///
/// A version holds the blobs below a prefix with their attributes. Blobs are read one after the other: each of
/// them is whole, but the version is not a snapshot of one moment when others write meanwhile.
///
/// Writers of any number of processes may share an archive: each commit is a compare-and-swap of the branch. A
/// commit is durable when it returns; one that was interrupted, by SIGKILL or a loss of power, leaves the
/// repository as it was. Names that git refuses are escaped and come back as they were. The list of a version's
/// paths is held in memory while it is made or read; large blobs are streamed.
///
/// The paths of `git help attributes` have no power here: what is committed are the bytes as they are, and
/// `git archive` gives the bytes that [`tar`](Self::tar) gives. To see large blobs in a clone, run in it
/// `echo '* filter=lfs' >> .git/info/attributes && git lfs pull`.
///
/// ```
/// use aeth_core::blob::BlobStoreExt;
/// use aeth_core::BlobPath;
/// use aeth_files::{CommitOptions, GitArchive, GitArchiveOptions, MemoryStore, RestoreOptions};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let dir = testkit::temp_dir();
/// let store = MemoryStore::new();
/// let path = BlobPath::new("notes/1.txt")?;
/// store.put(&path, "first").await?;
/// let archive = GitArchive::open(dir.path().join("archive.git"), GitArchiveOptions::default()).await?;
/// let first = archive.commit(&store, "notes", CommitOptions::default()).await?;
/// archive.tag("v1", &first.snapshot.id, None).await?;
///
/// store.put(&path, "second").await?;
/// archive.commit(&store, "notes", CommitOptions::default()).await?;
/// assert_eq!(archive.history("HEAD", 10).await?.len(), 2);
///
/// archive.restore("v1", &store, "notes", RestoreOptions::default()).await?;
/// assert_eq!(store.get_bytes(&path).await?, "first");
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct GitArchive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    repository: gix::ThreadSafeRepository,
    large: Arc<dyn BlobStore>,
    options: GitArchiveOptions,
}

impl Inner {
    /// The repository for this thread.
    fn open(&self) -> gix::Repository {
        self.repository.to_thread_local()
    }
}

impl GitArchive {
    /// Opens the archive in a directory; makes it when there is none.
    ///
    /// # Errors
    /// `Invalid` for options that git would refuse, for a directory that holds something else and for a repository
    /// with a work tree or another hash than SHA-1; `Denied` and `Full` when it cannot be made.
    ///
    /// # Cancel safety
    /// The archive is there, whole, or not.
    pub async fn open(dir: impl AsRef<Path> + Send, options: GitArchiveOptions) -> Result<Self> {
        let options = options.checked()?;
        let dir = std::path::absolute(dir.as_ref()).map_err(io)?;
        let shown = dir.display().to_string();
        let (at, branch) = (dir.clone(), options.branch.clone());
        let repository = blocking(move || open(&at, &branch))
            .await
            .map_err(|error| error.with_operation("open").with_component(COMPONENT).with_key(shown))?;
        let large: Arc<dyn BlobStore> = match &options.large_store {
            Some(store) => Arc::clone(store),
            None => {
                let place = dir.join("lfs/objects");
                let made = place.clone();
                blocking(move || std::fs::create_dir_all(made).map_err(io)).await?;
                Arc::new(LocalDir::open(place).await?)
            }
        };
        Ok(Self(Arc::new(Inner { dir, repository, large, options })))
    }

    /// The directory of the repository, for stock git.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Where the large blobs are, as `AB/CD/SHA256`: to be copied along with the repository.
    #[must_use]
    pub fn large_store(&self) -> &Arc<dyn BlobStore> {
        &self.0.large
    }

    /// Runs blocking work on the repository.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &gix::Repository) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        blocking(move || work(&inner, &inner.open())).await
    }
}

fn open(dir: &Path, branch: &str) -> Result<gix::ThreadSafeRepository> {
    let vacant = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(io(error)),
    };
    if vacant {
        create(dir, branch)?;
    }
    let options = gix::open::Options::isolated().open_path_as_is(true).with(gix::sec::Trust::Full);
    let refused = |message: &'static str| {
        Error::invalid(message).with_remedy("give an empty directory, or one that `git init --bare` made")
    };
    let repository = gix::ThreadSafeRepository::open_opts(dir, options)
        .map_err(|error| refused("the directory holds no git repository").with_source(error))?;
    let local = repository.to_thread_local();
    if !local.is_bare() {
        return Err(refused("the repository is not bare"));
    }
    if local.object_hash() != gix::hash::Kind::Sha1 {
        return Err(refused("the repository does not use SHA-1"));
    }
    Ok(repository)
}

/// Makes a repository beside its place and moves it there, so that it is whole from the first moment.
fn create(dir: &Path, branch: &str) -> Result<()> {
    let (Some(above), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(Error::invalid("the path has no name").with_remedy("give the path of a directory"));
    };
    std::fs::create_dir_all(above).map_err(io)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.new", crate::random::hex::<8>()?));
    let beside = above.join(beside);
    let made = fill(&beside, branch).and_then(|()| match std::fs::rename(&beside, dir) {
        // Another process was faster.
        Err(error) if matches!(error.raw_os_error(), Some(17 | 39 | 66)) => Ok(()),
        moved => moved.map_err(io),
    });
    drop(std::fs::remove_dir_all(&beside));
    made.and_then(|()| staging::sync(above))
}

fn fill(dir: &Path, branch: &str) -> Result<()> {
    let options = gix::create::Options { destination_must_be_empty: Some(true), ..Default::default() };
    gix::create::into(dir, gix::create::Kind::Bare, options).map_err(from_gix)?;
    // The sample scripts are for people's work.
    std::fs::remove_dir_all(dir.join("hooks")).map_err(io)?;
    std::fs::write(dir.join("HEAD"), format!("ref: refs/heads/{branch}\n")).map_err(io)?;
    std::fs::write(dir.join("description"), "An archive of aetherius\n").map_err(io)?;
    // Before all attributes that versions may hold: `git archive` gives the bytes as they are.
    let raw = "* -text -eol -ident -filter -working-tree-encoding -export-ignore -export-subst\n";
    std::fs::write(dir.join("info/attributes"), raw).map_err(io)?;
    staging::sync(dir)
}
