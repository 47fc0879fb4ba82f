//! Large files in parts: several at the same time, and where they were when they are taken up again.

use super::{Files, IntoPath, OnProgress, Progress};
use crate::blocking::blocking;
use aeth_core::blob::{BlobMeta, BlobStore, BlobStoreExt, Capability, ETag, ETagMatch, GetOptions, UploadId};
use aeth_core::{BlobPath, Error, ErrorKind, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How a file is transferred in parts.
#[derive(Clone)]
#[non_exhaustive]
pub struct TransferOptions {
    /// The size of a part in bytes; default 8 MiB, at least 1. Engines have a least size for uploads, which is
    /// taken when it is greater.
    pub part_size: u64,
    /// How many parts are under way at the same time; default 4.
    pub concurrency: usize,
    /// Whether what an earlier transfer of the same state left is taken up; default true. Left is what was done, in
    /// files beside the host's file whose names end in `.aeth-part` and `.aeth-state`.
    pub resume: bool,
    /// Receives the progress.
    pub progress: Option<OnProgress>,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self { part_size: 8 << 20, concurrency: 4, resume: true, progress: None }
    }
}

impl TransferOptions {
    /// Sets the size of a part in bytes.
    #[must_use]
    pub fn with_part_size(mut self, bytes: u64) -> Self {
        self.part_size = bytes;
        self
    }

    /// Sets how many parts are under way at the same time.
    #[must_use]
    pub fn with_concurrency(mut self, parts: usize) -> Self {
        self.concurrency = parts;
        self
    }

    /// Sets whether an earlier transfer is taken up.
    #[must_use]
    pub fn with_resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Sets who receives the progress.
    #[must_use]
    pub fn with_progress(mut self, progress: OnProgress) -> Self {
        self.progress = Some(progress);
        self
    }

    pub(super) fn said(&self, done: &AtomicU64, more: u64, total: u64) {
        let done = done.fetch_add(more, Relaxed) + more;
        if let Some(progress) = &self.progress {
            progress(Progress { done, total });
        }
    }
}

impl fmt::Debug for TransferOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferOptions")
            .field("part_size", &self.part_size)
            .field("concurrency", &self.concurrency)
            .field("resume", &self.resume)
            .finish_non_exhaustive()
    }
}

pub(super) fn named(error: std::io::Error, path: &Path) -> Error {
    Error::from_io(error).with_component("files").with_key(path.display())
}

/// A file beside another one.
pub(super) fn beside(file: &Path, ending: &str) -> Result<PathBuf> {
    let Some(name) = file.file_name() else {
        return Err(Error::invalid("it is not the name of a file")
            .with_component("files")
            .with_key(file.display()));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(ending);
    Ok(file.with_file_name(hidden))
}

/// What is known of a transfer that may be taken up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) path: BlobPath,
    /// Which state of the blob, or of the file, it is about.
    pub(super) mark: String,
    pub(super) size: u64,
    pub(super) part_size: u64,
    /// The id of an upload.
    pub(super) id: Option<UploadId>,
}

pub(super) fn write_state(at: &Path, state: &State) -> Result<()> {
    let text = serde_json::to_vec(state)
        .map_err(|error| Error::other("the state of the transfer cannot be written").with_source(error))?;
    std::fs::write(at, text).map_err(|error| named(error, at))
}

pub(super) fn forget(at: &Path) {
    // A state that stays is that of another transfer when it is read again.
    drop(std::fs::remove_file(at));
}

impl Files {
    /// Writes a blob into a file of the host, several parts at the same time. The file has its old content or all of
    /// the new. A download that failed or was dropped goes on where it was when it is called again for the same
    /// state of the blob.
    ///
    /// # Errors
    /// `NotFound`; `Precondition` when the blob was replaced meanwhile; those of [`BlobStore::get_opts`]; `Denied`,
    /// `Full` and the like for the file.
    ///
    /// # Cancel safety
    /// The file is old or new; what was fetched stays beside it to be taken up.
    pub async fn download(
        &self,
        path: impl IntoPath,
        file: impl AsRef<Path> + Send,
        options: TransferOptions,
    ) -> Result<BlobMeta> {
        let (path, target) = (path.into_path()?, file.as_ref().to_path_buf());
        let meta = self.store().head(&path).await?;
        let (Some(etag), true) = (meta.etag.clone(), self.store().capabilities().has(Capability::RangeGet))
        else {
            return self.get_to_file_with(path, target, GetOptions::default(), options.progress).await;
        };
        let (part_path, state_path) = (beside(&target, ".aeth-part")?, beside(&target, ".aeth-state")?);
        let state = State {
            path: path.clone(),
            mark: etag.to_string(),
            size: meta.size,
            part_size: options.part_size.max(1),
            id: None,
        };
        let parts = usize::try_from(state.size.div_ceil(state.part_size)).unwrap_or(usize::MAX);
        let begun = Begun { part_path, state_path, resume: options.resume };
        let (file, done) = {
            let (begun, state) = (begun.clone(), state.clone());
            blocking(move || begun.open(&state)).await?
        };
        let passed = AtomicU64::new(0);
        for number in &done {
            options.said(&passed, part_length(&state, *number), state.size);
        }
        let missing = (0..parts as u64).filter(|number| !done.contains(number));
        let fetches = stream::iter(missing).map(|number| {
            let (file, path, etag, begun, state) = (Arc::clone(&file), &path, &etag, begun.clone(), &state);
            let (options, passed) = (&options, &passed);
            async move {
                let length = part_length(state, number);
                let start = number * state.part_size;
                let bytes = self.pinned(path, etag, start..start + length).await?;
                blocking(move || begun.store(&file, start, number, &bytes)).await?;
                options.said(passed, length, state.size);
                Ok::<(), Error>(())
            }
        });
        fetches.buffer_unordered(options.concurrency.max(1)).try_collect::<()>().await?;
        blocking(move || begun.finish(&file, &target)).await?;
        Ok(meta)
    }

    /// A part of one state of a blob.
    async fn pinned(
        &self,
        path: &BlobPath,
        etag: &ETag,
        range: std::ops::Range<u64>,
    ) -> Result<bytes::Bytes> {
        let length = range.end - range.start;
        let mut get = GetOptions::default().with_range(range);
        if self.store().capabilities().has(Capability::ConditionalGet) {
            get.if_match = Some(ETagMatch::from(etag.clone()));
        }
        let blob = self.store().get_opts(path, get).await?;
        if blob.meta.etag.as_ref() != Some(etag) {
            return Err(Error::new(ErrorKind::Precondition, "the blob was replaced while it was read")
                .with_component("files")
                .with_key(path)
                .with_remedy("download it again"));
        }
        let bytes = blob.bytes().await?;
        if bytes.len() as u64 != length {
            return Err(Error::unavailable("the body ended early").with_component("files").with_key(path));
        }
        Ok(bytes)
    }
}

pub(super) fn part_length(state: &State, number: u64) -> u64 {
    let start = number.saturating_mul(state.part_size);
    state.size.saturating_sub(start).min(state.part_size)
}

/// Opens a file for writing, but not through a symbolic link that somebody has put in its place.
pub(super) fn writable() -> std::fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.write(true).custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0));
    options
}

/// The files of one download.
#[derive(Debug)]
struct Opened {
    file: File,
    notes: File,
}

/// Where a download is put together.
#[derive(Debug, Clone)]
struct Begun {
    part_path: PathBuf,
    state_path: PathBuf,
    resume: bool,
}

impl Begun {
    /// Opens the partial file and its notes, and says which parts it has.
    ///
    /// A download that begins anew has files of its own: what an earlier one, which was dropped, still writes goes to
    /// files that have no name any more.
    fn open(&self, state: &State) -> Result<(Arc<Opened>, std::collections::BTreeSet<u64>)> {
        let shown = |error| named(error, &self.part_path);
        let noted = |error| named(error, &self.state_path);
        let text = std::fs::read(&self.state_path).unwrap_or_default();
        let mut lines = text.split(|byte| *byte == b'\n');
        let same =
            lines.next().and_then(|line| serde_json::from_slice::<State>(line).ok()).as_ref() == Some(state);
        let known = std::fs::metadata(&self.part_path).is_ok_and(|meta| meta.len() == state.size);
        if self.resume && same && known {
            let number = |line: &[u8]| std::str::from_utf8(line).ok()?.parse().ok();
            let done = lines.filter_map(number).filter(|number| part_length(state, *number) > 0).collect();
            let file = writable().open(&self.part_path).map_err(shown)?;
            let notes = writable().append(true).open(&self.state_path).map_err(noted)?;
            return Ok((Arc::new(Opened { file, notes }), done));
        }
        forget(&self.state_path);
        forget(&self.part_path);
        let file = writable().create_new(true).open(&self.part_path).map_err(shown)?;
        file.set_len(state.size).map_err(shown)?;
        write_state(&self.state_path, state)?;
        let notes = writable().append(true).open(&self.state_path).map_err(noted)?;
        Ok((Arc::new(Opened { file, notes }), std::collections::BTreeSet::new()))
    }

    /// Keeps a part, and then notes that it is there.
    fn store(&self, opened: &Opened, start: u64, number: u64, bytes: &[u8]) -> Result<()> {
        use std::io::Write;
        let shown = |error| named(error, &self.part_path);
        opened.file.write_all_at(bytes, start).map_err(shown)?;
        opened.file.sync_data().map_err(shown)?;
        // In one write, so that parts that end at the same moment do not mix their notes.
        let noted = (&opened.notes).write_all(format!("\n{number}\n").as_bytes());
        noted.map_err(|error| named(error, &self.state_path))
    }

    fn finish(&self, opened: &Opened, target: &Path) -> Result<()> {
        let shown = |error| named(error, target);
        opened.file.sync_all().map_err(shown)?;
        std::fs::rename(&self.part_path, target).map_err(shown)?;
        let above = target.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or_else(|| Path::new("."))).and_then(|dir| dir.sync_all()).map_err(shown)?;
        forget(&self.state_path);
        Ok(())
    }
}
