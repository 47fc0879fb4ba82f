//! Files or blobs.

use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::{BlobPath, Error, Result, Tasks};
use bytes::Bytes;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the warmth is kept.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Dir(PathBuf),
    Blobs(Arc<dyn BlobStore>, String),
}

impl Place {
    /// What was kept under a name.
    pub(super) async fn load(&self, tasks: &Tasks, name: &'static str) -> Result<Option<Bytes>> {
        match self {
            Self::Dir(dir) => {
                let path = dir.join(name);
                blocking(tasks, move || match fs::read(&path) {
                    Ok(bytes) => Ok(Some(Bytes::from(bytes))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(of_file(error, &path)),
                })
                .await
            }
            Self::Blobs(store, prefix) => match store.get_bytes(&path(prefix, name)?).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Keeps bytes under a name, all or nothing.
    pub(super) async fn save(&self, tasks: &Tasks, name: &'static str, bytes: Bytes) -> Result<()> {
        match self {
            Self::Dir(dir) => {
                let dir = dir.clone();
                blocking(tasks, move || write(&dir, name, &bytes).map_err(|error| of_file(error, &dir))).await
            }
            Self::Blobs(store, prefix) => store.put(&path(prefix, name)?, bytes).await.map(drop),
        }
    }

    /// Forgets what was kept under a name.
    pub(super) async fn remove(&self, tasks: &Tasks, name: &'static str) -> Result<()> {
        match self {
            Self::Dir(dir) => {
                let dir = dir.clone();
                blocking(tasks, move || {
                    let path = dir.join(name);
                    match fs::remove_file(&path) {
                        Ok(()) => sync_dir(&dir).map_err(|error| of_file(error, &dir)),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                        Err(error) => Err(of_file(error, &path)),
                    }
                })
                .await
            }
            Self::Blobs(store, prefix) => store.delete(&path(prefix, name)?).await,
        }
    }
}

fn path(prefix: &str, name: &str) -> Result<BlobPath> {
    Ok(BlobPath::new(format!("{prefix}{name}"))?)
}

async fn blocking<T: Send + 'static>(
    tasks: &Tasks,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tasks.spawn_blocking(work).await;
    done.map_err(|error| Error::other("the work on a file ended early").with_source(error))?
}

fn of_file(error: io::Error, path: &Path) -> Error {
    Error::from_io(error)
        .with_component("cache warming")
        .with_key(path.display())
        .with_remedy("see that the directory exists, is writable and has room")
}

/// Beside, to the disk, and in place: a crash leaves the old or the new file.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let aside = dir.join(format!(".{name}.new"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // The values of an application are nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&aside, dir.join(name))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}
