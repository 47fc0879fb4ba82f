//! Writing blobs.

use super::Inner;
use super::error::{contended, exists, io, precondition};
use super::names::{Place, place};
use super::options::Durability;
use super::read::{Fail, INLINE, Step};
use super::root::{Wait, retry};
use super::sidecar::Record;
use super::stamp::{Stamp, etag, size};
use super::temp::Temp;
use super::tree::{ATTEMPTS, Spot};
use crate::blocking::{blocking, join};
use crate::checksum::{Verifier, check_length};
use aeth_core::blob::{Checksum, PutMode, PutOptions, PutResult};
use aeth_core::{BlobPath, Body, ByteStream, Error, Result};
use bytes::Bytes;
use futures_util::StreamExt;
use rustix::fs::Stat;
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// How many bytes of a stream are gathered for one hop to a blocking thread.
const BATCH: usize = 1 << 20;

/// What a blob is to be, once its bytes are in a temporary file.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: BlobPath,
    pub(super) mode: PutMode,
    pub(super) record: Option<Record>,
}

impl Change {
    pub(super) fn of(path: &BlobPath, options: &PutOptions) -> Self {
        Self { path: path.clone(), mode: options.mode.clone(), record: Record::of(options) }
    }
}

/// A temporary file that is being filled.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) temp: Temp,
    verifier: Option<Verifier>,
    written: u64,
}

impl Filling {
    pub(super) fn new(inner: &Inner, checksum: Option<&Checksum>) -> Result<Self> {
        let verifier = Verifier::of(checksum)?;
        Ok(Self { temp: inner.temps.create()?, verifier, written: 0 })
    }

    pub(super) fn write(&mut self, chunks: &[Bytes]) -> Result<()> {
        if let Some(verifier) = &mut self.verifier {
            chunks.iter().for_each(|chunk| verifier.update(chunk));
        }
        self.temp.write(chunks)?;
        self.written += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Writes the whole of another file, which has `length` bytes.
    pub(super) fn append(&mut self, mut file: File, length: u64) -> Result<()> {
        let copied = match &mut self.verifier {
            // Nobody has to see the bytes: the kernel moves them, or shares them where it can.
            None => std::io::copy(&mut file, &mut self.temp.file).map_err(Error::from_io)?,
            Some(verifier) => {
                let mut buffer = vec![0; 256 << 10];
                let mut copied = 0;
                loop {
                    let read = file.read(&mut buffer).map_err(Error::from_io)?;
                    let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                        break copied;
                    };
                    verifier.update(bytes);
                    self.temp.file.write_all(bytes).map_err(Error::from_io)?;
                    copied += read as u64;
                }
            }
        };
        check_length(Some(length), copied)?;
        self.written += copied;
        Ok(())
    }

    /// The file, when it is what the caller said.
    pub(super) fn finish(self, stated: Option<u64>) -> Result<Temp> {
        check_length(stated, self.written)?;
        self.verifier.map_or(Ok(()), Verifier::finish)?;
        Ok(self.temp)
    }
}

impl Inner {
    pub(super) async fn put(
        self: &Arc<Self>,
        path: &BlobPath,
        body: Body,
        options: PutOptions,
    ) -> Result<PutResult> {
        let change = Change::of(path, &options);
        match body {
            Body::Bytes(bytes) if self.in_memory && bytes.len() as u64 <= INLINE => {
                self.put_here(bytes, options.checksum.as_ref(), change).await
            }
            body => self.fill(body, options.checksum, move |inner, temp| inner.commit(temp, &change)).await,
        }
    }

    /// A small put where nothing waits for a disk, on the calling thread: a hop to another one costs more than the
    /// write. Only what would wait for another writer hops.
    async fn put_here(
        self: &Arc<Self>,
        bytes: Bytes,
        checksum: Option<&Checksum>,
        change: Change,
    ) -> Result<PutResult> {
        tokio::task::coop::consume_budget().await;
        let stated = bytes.len() as u64;
        let mut filling = Filling::new(self, checksum)?;
        filling.write(&[bytes])?;
        let mut temp = filling.finish(Some(stated))?;
        match self.commit_at(&mut temp, &change, Wait::Never) {
            Err(Fail::Again) => {
                let inner = Arc::clone(self);
                blocking(move || inner.commit(temp, &change)).await
            }
            done => done.map_err(Error::from),
        }
    }

    /// Writes a body into a temporary file and then does something with it, in as few hops as it can.
    pub(super) async fn fill<T, F>(
        self: &Arc<Self>,
        body: Body,
        checksum: Option<Checksum>,
        then: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self, Temp) -> Result<T> + Send + 'static,
    {
        let stated = body.length();
        let mut stream = body.into_stream();
        let mut filling: Option<JoinHandle<Result<Filling>>> = None;
        loop {
            let (batch, end) = gather(&mut stream).await?;
            let earlier = match filling.take() {
                Some(handle) => Some(join(handle.await)?),
                None => None,
            };
            let inner = Arc::clone(self);
            let checksum = checksum.clone();
            let write = move || {
                let mut filling = match earlier {
                    Some(filling) => filling,
                    None => Filling::new(&inner, checksum.as_ref())?,
                };
                filling.write(&batch)?;
                Ok((inner, filling))
            };
            if end {
                return blocking(move || {
                    let (inner, filling) = write()?;
                    then(&inner, filling.finish(stated)?)
                })
                .await;
            }
            // It is written while the next batch is gathered.
            filling = Some(tokio::task::spawn_blocking(move || write().map(|(_, filling)| filling)));
        }
    }

    /// Gives a temporary file the name of its blob, if the condition holds.
    pub(super) fn commit(&self, mut temp: Temp, change: &Change) -> Result<PutResult> {
        self.commit_at(&mut temp, change, Wait::Disk).map_err(Error::from)
    }

    /// The same, or [`Fail::Again`] where it may not wait: for another writer, or for what a first blob needs.
    fn commit_at(&self, temp: &mut Temp, change: &Change, wait: Wait) -> Step<PutResult> {
        let path = &change.path;
        let hold = || match wait {
            Wait::Disk => self.stripes.hold(path).map_err(Fail::from),
            Wait::Never => self.stripes.hold_now(path),
        };
        let place = place(path, self.layout);
        match wait {
            Wait::Disk => self.keep_names(&place)?,
            Wait::Never if place.cut.is_empty() => {}
            Wait::Never => return Err(Fail::Again),
        }
        if self.durability != Durability::None {
            // The stamp has to be on the disk with the bytes, and forcing it there takes too long to hold the
            // stripe meanwhile.
            let stamp = hold()?.stamp(self.now(), change.record.is_some())?;
            temp.set_stamp(stamp)?;
            temp.sync()?;
        }
        for attempt in 0..ATTEMPTS {
            let dir = match wait {
                Wait::Disk => self.ensure_dir(path, &place)?,
                Wait::Never => self.root.dir(&place.dir).map_err(|_| Fail::Again)?,
            };
            let held = hold()?;
            let spot = self.find(&dir, &place.name)?;
            if let Err(error) = check(path, &change.mode, spot.stat.as_ref()) {
                drop(held);
                // No directory stays that was made for a put that changes nothing.
                self.prune(&place.dir);
                return Err(error.into());
            }
            if self.durability == Durability::None && attempt == 0 {
                temp.set_stamp(held.stamp(self.now(), change.record.is_some())?)?;
            }
            let stat = temp.stat()?;
            if let Some(record) = &change.record {
                self.put_record(path, record.for_file(Stamp::of(&stat), size(&stat)), &spot)?;
            }
            let replace = change.mode != PutMode::Create;
            match temp.persist(&dir, &spot.name, replace) {
                Ok(()) => {}
                // The directory went, or a directory or a foreign file came: look again.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => continue,
                Err(error) => return Err(io(error).with_key(path).into()),
            }
            if change.record.is_none() {
                self.drop_record(path, &spot)?;
            }
            drop(held);
            self.sync_dir(&dir, &place.dir)?;
            return Ok(PutResult::new(Some(etag(&stat))).with_size(size(&stat)));
        }
        Err(contended(path).into())
    }

    /// Puts the record of a file that is about to get the name, keeping that of the file that has it.
    pub(super) fn put_record(&self, path: &BlobPath, record: Record, spot: &Spot) -> Result<()> {
        let mut records = vec![record];
        records.extend(self.present_record(path, spot)?);
        self.write_records(path, records)
    }

    pub(super) fn write_records(&self, path: &BlobPath, records: Vec<Record>) -> Result<()> {
        let sync = self.durability != Durability::None;
        let dir = self.sidecars.write(path, records, &self.temps, sync)?;
        if self.durability == Durability::FileAndDirectory {
            // Before the data: a blob must never be on the disk without what belongs to it.
            retry(|| rustix::fs::fsync(&dir)).map_err(io)?;
        }
        Ok(())
    }

    /// The record of the file that has the name now.
    pub(super) fn present_record(&self, path: &BlobPath, spot: &Spot) -> Result<Option<Record>> {
        let Some(stat) = spot.stat.as_ref().filter(|stat| Stamp::of(stat).may_have_sidecar(self.granularity))
        else {
            return Ok(None);
        };
        match self.sidecars.find(path, Stamp::of(stat), size(stat), Wait::Disk) {
            Ok(record) => Ok(record.map(|record| record.for_file(Stamp::of(stat), size(stat)))),
            // A damaged sidecar is replaced with its blob, and only it.
            Err(Fail::Error(error)) if error.kind() == aeth_core::ErrorKind::Corrupt => Ok(None),
            Err(fail) => Err(Error::from(fail)),
        }
    }

    /// Removes the sidecar of a file that has gone.
    pub(super) fn drop_record(&self, path: &BlobPath, gone: &Spot) -> Result<()> {
        match &gone.stat {
            Some(stat) if Stamp::of(stat).may_have_sidecar(self.granularity) => self.sidecars.remove(path),
            _ => Ok(()),
        }
    }

    /// Keeps the segments whose names are cut, before a name that stands for them is used.
    pub(super) fn keep_names(&self, place: &Place) -> Result<()> {
        for (digits, whole) in &place.cut {
            if super::root::stat(&self.names, digits).map_err(io)?.is_some() {
                continue;
            }
            let mut temp = self.temps.create()?;
            temp.write(&[Bytes::copy_from_slice(whole.as_bytes())])?;
            if self.durability != Durability::None {
                temp.sync()?;
            }
            temp.persist(&self.names, digits, true).map_err(io)?;
            self.sync_names(&self.names)?;
        }
        Ok(())
    }

    fn sync_names(&self, dir: &OwnedFd) -> Result<()> {
        match self.durability {
            Durability::FileAndDirectory => retry(|| rustix::fs::fsync(dir)).map_err(io),
            _ => Ok(()),
        }
    }

    pub(super) fn now(&self) -> Stamp {
        Stamp::now(self.clock.now())
    }
}

/// Checks a put's condition against the file that has the name.
pub(super) fn check(path: &BlobPath, mode: &PutMode, present: Option<&Stat>) -> Result<()> {
    match (mode, present) {
        (PutMode::Overwrite, _) | (PutMode::Create, None) => Ok(()),
        (PutMode::Create, Some(_)) => Err(exists(path)),
        (PutMode::Match(wanted), Some(stat)) if etag(stat) == *wanted => Ok(()),
        (PutMode::Match(_), _) => Err(precondition(path)),
        _ => Err(Error::unsupported("this condition is not known here").with_key(path)),
    }
}

/// The next batch of a stream, and whether the stream has ended.
async fn gather(stream: &mut ByteStream) -> Result<(Vec<Bytes>, bool)> {
    let mut batch = Vec::new();
    let mut length = 0;
    while length < BATCH {
        match stream.next().await {
            Some(chunk) => {
                let chunk = chunk?;
                length += chunk.len();
                batch.push(chunk);
            }
            None => return Ok((batch, true)),
        }
    }
    Ok((batch, false))
}
