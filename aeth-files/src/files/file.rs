//! Files of the host as bodies, and blobs as files of the host.

use super::{Files, IntoPath};
use crate::blocking::blocking;
use aeth_core::blob::{BlobMeta, BlobStore, GetOptions, PutOptions, PutResult};
use aeth_core::{Body, ByteStream, Error, Reopen, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The size of the chunks in which files are read.
const CHUNK: u64 = 1 << 20;

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that have passed.
    pub done: u64,
    /// All bytes.
    pub total: u64,
}

/// Receives the progress of a transfer, from the task that makes it: it must not block.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

impl Files {
    /// Stores a file of the host. It is read in chunks of 1 MiB; what is appended meanwhile is left out.
    ///
    /// # Errors
    /// `NotFound`, `Denied` and the like for the file; `Corrupt` when it became shorter meanwhile; those of
    /// [`BlobStore::put_opts`].
    ///
    /// # Cancel safety
    /// The blob is old or new, never partial.
    pub async fn put_file(&self, path: impl IntoPath, file: impl AsRef<Path> + Send) -> Result<PutResult> {
        self.put_file_with(path, file, PutOptions::default(), None).await
    }

    /// Stores a file of the host with options, and says how far it has come.
    ///
    /// # Errors
    /// As [`put_file`](Self::put_file).
    ///
    /// # Cancel safety
    /// The blob is old or new, never partial.
    pub async fn put_file_with(
        &self,
        path: impl IntoPath,
        file: impl AsRef<Path> + Send,
        options: PutOptions,
        progress: Option<OnProgress>,
    ) -> Result<PutResult> {
        let path = path.into_path()?;
        let source = FileSource::open(file.as_ref().to_path_buf(), progress).await?;
        self.store().put_opts(&path, Body::reopenable(source), options).await
    }

    /// Writes a blob into a file of the host, which has its old content or all of the new: it is written beside
    /// it, forced to the disk and renamed.
    ///
    /// # Errors
    /// Those of [`BlobStore::get_opts`]; `Denied`, `Full` and the like for the file.
    ///
    /// # Cancel safety
    /// The file is old or new; a file beside it with `.part` in its name may stay when the process dies.
    pub async fn get_to_file(&self, path: impl IntoPath, file: impl AsRef<Path> + Send) -> Result<BlobMeta> {
        self.get_to_file_with(path, file, GetOptions::default(), None).await
    }

    /// Writes a blob, or a part of it, into a file of the host, and says how far it has come.
    ///
    /// # Errors
    /// As [`get_to_file`](Self::get_to_file).
    ///
    /// # Cancel safety
    /// As [`get_to_file`](Self::get_to_file).
    pub async fn get_to_file_with(
        &self,
        path: impl IntoPath,
        file: impl AsRef<Path> + Send,
        options: GetOptions,
        progress: Option<OnProgress>,
    ) -> Result<BlobMeta> {
        let target = file.as_ref().to_path_buf();
        let blob = self.store().get_opts(&path.into_path()?, options).await?;
        let total = blob.range.end - blob.range.start;
        let (mut body, mut done) = (blob.body, 0);
        let mut partial = blocking(move || Partial::create(target)).await?;
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            done += chunk.len() as u64;
            partial = blocking(move || partial.write(&chunk)).await?;
            if let Some(progress) = &progress {
                progress(Progress { done, total });
            }
        }
        blocking(move || partial.finish()).await?;
        Ok(blob.meta)
    }
}

fn named(error: std::io::Error, path: &Path) -> Error {
    Error::from_io(error).with_component("files").with_key(path.display())
}

/// A file as the source of a body.
struct FileSource {
    path: PathBuf,
    length: u64,
    progress: Option<OnProgress>,
}

impl FileSource {
    async fn open(path: PathBuf, progress: Option<OnProgress>) -> Result<Self> {
        blocking(move || {
            let meta = std::fs::metadata(&path).map_err(|error| named(error, &path))?;
            if !meta.is_file() {
                return Err(Error::invalid("it is not a regular file")
                    .with_component("files")
                    .with_key(path.display())
                    .with_remedy("give a file; a directory is stored file by file"));
            }
            Ok(Self { path, length: meta.len(), progress })
        })
        .await
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource")
            .field("path", &self.path)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Reopen for FileSource {
    fn open(&self) -> ByteStream {
        let (path, total, progress) = (self.path.clone(), self.length, self.progress.clone());
        stream::try_unfold((None, 0), move |(file, done)| {
            let (path, progress) = (path.clone(), progress.clone());
            async move {
                if done == total {
                    return Ok(None);
                }
                let (file, chunk) = blocking(move || read(file, &path, CHUNK.min(total - done))).await?;
                let done = done + chunk.len() as u64;
                if let Some(progress) = progress {
                    progress(Progress { done, total });
                }
                Ok(Some((chunk, (Some(file), done))))
            }
        })
        .boxed()
    }

    fn len(&self) -> Option<u64> {
        Some(self.length)
    }
}

/// Reads the next bytes of a file, which is opened the first time.
fn read(file: Option<File>, path: &Path, want: u64) -> Result<(File, Bytes)> {
    let shown = |error| named(error, path);
    let file = match file {
        Some(file) => file,
        None => File::open(path).map_err(shown)?,
    };
    let mut bytes = Vec::with_capacity(usize::try_from(want).unwrap_or(0));
    (&file).take(want).read_to_end(&mut bytes).map_err(shown)?;
    if bytes.len() as u64 != want {
        return Err(Error::corrupt("the file became shorter while it was read")
            .with_component("files")
            .with_key(path.display())
            .with_remedy("store it again when nobody writes to it"));
    }
    Ok((file, bytes.into()))
}

/// A file that is written beside its target; removed on drop unless it was finished.
#[derive(Debug)]
struct Partial {
    target: PathBuf,
    path: PathBuf,
    file: File,
    armed: bool,
}

impl Partial {
    fn create(target: PathBuf) -> Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(Error::invalid("it is not the name of a file")
                .with_component("files")
                .with_key(target.display()));
        };
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}.part", crate::random::hex::<8>()?));
        let path = target.with_file_name(beside);
        let file = File::options()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| named(error, &target))?;
        Ok(Self { target, path, file, armed: true })
    }

    fn write(mut self, chunk: &[u8]) -> Result<Self> {
        self.file.write_all(chunk).map_err(|error| named(error, &self.target))?;
        Ok(self)
    }

    fn finish(mut self) -> Result<()> {
        let shown = |error| named(error, &self.target);
        self.file.sync_all().map_err(shown)?;
        std::fs::rename(&self.path, &self.target).map_err(shown)?;
        let above = self.target.parent().filter(|above| !above.as_os_str().is_empty());
        let dir = File::open(above.unwrap_or_else(|| Path::new("."))).map_err(shown)?;
        dir.sync_all().map_err(shown)?;
        self.armed = false;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.armed {
            // Should this fail, the name tells what the file is.
            drop(std::fs::remove_file(&self.path));
        }
    }
}
