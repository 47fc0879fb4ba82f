//! Uploads in parts: each a directory in `.aeth/uploads/`, its name the id, its files the parts.

use super::Inner;
use super::error::{COMPONENT, io};
use super::options::Durability;
use super::read::read_all;
use super::root::{Wait, kind, open_dir, retry, stat};
use super::sidecar::Record;
use super::stamp::{Stamp, size};
use super::temp::{Temp, entries, remove_dir};
use super::write::{Change, Filling};
use crate::blocking::blocking;
use crate::upload::{check_number, check_parts, gone};
use aeth_core::blob::{Part, PutMode, PutOptions, PutResult, Upload, UploadId};
use aeth_core::{BlobPath, Body, Error, Result};
use async_trait::async_trait;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

const NOTE: &str = "upload";
pub(super) const MAX_PARTS: u32 = 10_000;
const ID_LEN: usize = 32;

/// What an upload was begun with.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    path: BlobPath,
    mode: Mark,
    record: Record,
}

/// The mode in a form that can be kept.
#[derive(Debug, Serialize, Deserialize)]
enum Mark {
    Overwrite,
    Create,
    Match(aeth_core::blob::ETag),
}

impl Mark {
    fn of(mode: &PutMode) -> Result<Self> {
        match mode {
            PutMode::Overwrite => Ok(Self::Overwrite),
            PutMode::Create => Ok(Self::Create),
            PutMode::Match(etag) => Ok(Self::Match(etag.clone())),
            _ => Err(Error::unsupported("this condition is not known here")),
        }
    }

    fn mode(self) -> PutMode {
        match self {
            Self::Overwrite => PutMode::Overwrite,
            Self::Create => PutMode::Create,
            Self::Match(etag) => PutMode::Match(etag),
        }
    }
}

/// The handle of an upload.
#[derive(Debug)]
pub(super) struct LocalUpload {
    inner: Arc<Inner>,
    id: UploadId,
}

impl LocalUpload {
    pub(super) async fn begin(
        inner: &Arc<Inner>,
        path: &BlobPath,
        options: &PutOptions,
    ) -> Result<Box<dyn Upload>> {
        let id = UploadId::new(crate::random::hex::<16>()?);
        let record = Record::of(options).unwrap_or_default();
        let note = Note { version: 1, path: path.clone(), mode: Mark::of(&options.mode)?, record };
        let upload = Self { inner: Arc::clone(inner), id };
        let (inner, id) = (Arc::clone(inner), upload.id.clone());
        blocking(move || {
            let json = serde_json::to_vec(&note)
                .map_err(|error| Error::other("the upload cannot be noted").with_source(error))?;
            rustix::fs::mkdirat(&inner.uploads, id.as_str(), Mode::from(0o777)).map_err(io)?;
            let dir = open_dir(&inner.uploads, id.as_str()).map_err(io)?;
            let mut temp = inner.temps.create()?;
            temp.write(&[json.into()])?;
            inner.keep(temp, &dir, NOTE)?;
            inner.sync_uploads(&inner.uploads)
        })
        .await?;
        Ok(Box::new(upload))
    }

    pub(super) async fn resume(
        inner: &Arc<Inner>,
        path: &BlobPath,
        id: &UploadId,
    ) -> Result<Box<dyn Upload>> {
        let upload = Self { inner: Arc::clone(inner), id: id.clone() };
        let (inner, id) = (Arc::clone(inner), id.clone());
        let note = blocking(move || inner.note(&id).map(|(_, note)| note)).await?;
        if note.path != *path {
            return Err(gone(COMPONENT).with_key(path));
        }
        Ok(Box::new(upload))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &UploadId) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (inner, id) = (Arc::clone(&self.inner), self.id.clone());
        blocking(move || work(&inner, &id)).await
    }
}

#[async_trait]
impl Upload for LocalUpload {
    fn id(&self) -> UploadId {
        self.id.clone()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        check_number(number, MAX_PARTS)?;
        let id = self.id.clone();
        let store = move |inner: &Inner, temp: Temp| {
            let dir = inner.upload_dir(&id)?;
            // The stripe makes the mark of the part as unique as that of a blob.
            let part_path = BlobPath::new(format!("{}/{number}", id.as_str()))?;
            let stamp = inner.stripes.hold(&part_path)?.stamp(inner.now(), false)?;
            temp.set_stamp(stamp)?;
            let found = temp.stat()?;
            let part = Part::new(number, size(&found)).with_etag(format!("{:x}", stamp.0));
            match inner.keep(temp, &dir, &number.to_string()) {
                Err(error) if error.is_not_found() => Err(gone(COMPONENT)),
                result => result.map(|()| part),
            }
        };
        self.inner.fill(body, None, store).await
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        self.run(|inner, id| inner.parts(&inner.upload_dir(id)?)).await
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        let parts = parts.to_vec();
        self.run(move |inner, id| inner.complete(id, &parts, mode)).await
    }

    async fn abort(&self) -> Result<()> {
        self.run(|inner, id| {
            if !is_id(id) {
                return Ok(());
            }
            remove_dir(&inner.uploads, id.as_str()).map_err(io)
        })
        .await
    }
}

/// An id is used as a name, so nothing but what this store gives is let through.
fn is_id(id: &UploadId) -> bool {
    id.as_str().len() == ID_LEN && id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Inner {
    fn upload_dir(&self, id: &UploadId) -> Result<OwnedFd> {
        if !is_id(id) {
            return Err(gone(COMPONENT));
        }
        open_dir(&self.uploads, id.as_str())
            .map_err(|error| if error == Errno::NOENT { gone(COMPONENT) } else { io(error) })
    }

    fn note(&self, id: &UploadId) -> Result<(OwnedFd, Note)> {
        let dir = self.upload_dir(id)?;
        let file = match rustix::fs::openat(&dir, NOTE, READ, Mode::empty()) {
            // It is just being begun, or removed.
            Err(Errno::NOENT) => return Err(gone(COMPONENT)),
            file => file.map_err(io)?,
        };
        let bytes = read_all(&file, Wait::Disk).map_err(Error::from)?;
        let note: Note = serde_json::from_slice(&bytes).map_err(|error| {
            Error::corrupt("the note of the upload is damaged")
                .with_component(COMPONENT)
                .with_source(error)
                .with_remedy("abort the upload and begin a new one")
        })?;
        if note.version != 1 {
            return Err(Error::unsupported("the upload was begun by a version that this one does not know")
                .with_component(COMPONENT));
        }
        Ok((dir, note))
    }

    fn parts(&self, dir: &OwnedFd) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for name in entries(dir).map_err(io)? {
            let Ok(number) = name.parse::<u32>() else { continue };
            if let Some(found) = stat(dir, &name).map_err(io)?.filter(|found| kind(found).is_file()) {
                let etag = format!("{:x}", Stamp::of(&found).0);
                parts.push(Part::new(number, size(&found)).with_etag(etag));
            }
        }
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }

    fn complete(&self, id: &UploadId, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        let (dir, note) = self.note(id)?;
        let stored = self.parts(&dir)?;
        check_parts(parts, 1, |number| {
            let at = stored.binary_search_by_key(&number, |part| part.number).ok()?;
            stored.get(at).map(|part| (part.size, part.etag.clone()))
        })?;
        let checksum = note.record.checksum();
        let mut filling = Filling::new(self, checksum.as_ref())?;
        for part in parts {
            let file = rustix::fs::openat(&dir, part.number.to_string(), READ, Mode::empty());
            let file =
                file.map_err(|error| if error == Errno::NOENT { gone(COMPONENT) } else { io(error) })?;
            filling.append(File::from(file), part.size)?;
        }
        let total = parts.iter().map(|part| part.size).sum();
        let temp = filling.finish(Some(total))?;
        let record = (!note.record.is_empty()).then_some(note.record);
        let change = Change { path: note.path, mode: mode.unwrap_or_else(|| note.mode.mode()), record };
        let result = self.commit(temp, &change)?;
        // What cannot be removed expires.
        if let Err(error) = remove_dir(&self.uploads, id.as_str()) {
            tracing::debug!(%error, "the parts of a completed upload stay until they expire");
        }
        Ok(result)
    }

    /// Gives a temporary file of an upload its name.
    fn keep(&self, mut temp: Temp, dir: &OwnedFd, name: &str) -> Result<()> {
        if self.durability != Durability::None {
            temp.sync()?;
        }
        temp.persist(dir, name, true).map_err(io)?;
        self.sync_uploads(dir)
    }

    fn sync_uploads(&self, dir: &OwnedFd) -> Result<()> {
        match self.durability {
            Durability::FileAndDirectory => retry(|| rustix::fs::fsync(dir)).map_err(io),
            _ => Ok(()),
        }
    }

    /// Removes uploads that have stood still for too long.
    pub(super) fn expire_uploads(&self, expiry: Duration) -> Result<()> {
        let now = self.now();
        for id in entries(&self.uploads).map_err(io)? {
            let Some(found) = stat(&self.uploads, &id).map_err(io)? else { continue };
            let age = now.0.saturating_sub(Stamp::of(&found).0);
            if kind(&found).is_dir() && Duration::from_nanos(age) > expiry {
                remove_dir(&self.uploads, &id).map_err(io)?;
                tracing::debug!(id, "an upload has expired");
            }
        }
        Ok(())
    }
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
