//! Writing.

use super::error::extended;
use super::{OpendalAdapter, options};
use crate::checksum::{Verifier, check_length};
use aeth_core::blob::{Capability, ETag, PutMode, PutOptions, PutResult};
use aeth_core::{BlobPath, Body, ByteStream, Clock, ClockExt, Error, ErrorKind, Result, Tasks};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use opendal::options::{ListOptions, RenameOptions, WriteOptions};
use opendal::{Metadata, Operator, Writer};
use std::sync::Arc;
use std::time::Duration;

/// A body that is read and checked.
struct Source {
    stream: ByteStream,
    stated: Option<u64>,
    total: u64,
    verifier: Option<Verifier>,
}

impl Source {
    fn new(body: Body, options: &PutOptions) -> Result<Self> {
        let stated = body.length();
        let verifier = Verifier::of(options.checksum.as_ref())?;
        Ok(Self { stream: body.into_stream(), stated, total: 0, verifier })
    }

    /// The next chunk; at the end nothing, when length and checksum are right.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(chunk) = self.stream.try_next().await? else {
            check_length(self.stated, self.total)?;
            self.verifier.take().map_or(Ok(()), Verifier::finish)?;
            return Ok(None);
        };
        self.total += chunk.len() as u64;
        if self.stated.is_some_and(|stated| self.total > stated) {
            check_length(self.stated, self.total)?;
        }
        if let Some(verifier) = &mut self.verifier {
            verifier.update(&chunk);
        }
        Ok(Some(chunk))
    }
}

/// A file of the service that is not finished; removed on drop unless it is kept.
struct Unfinished {
    writer: Option<Writer>,
    staged: Option<String>,
    operator: Operator,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let (writer, staged) = (self.writer.take(), self.staged.take());
        if writer.is_none() && staged.is_none() {
            return;
        }
        let (operator, clock, timeout) = (self.operator.clone(), Arc::clone(&self.clock), self.timeout);
        drop(self.tasks.spawn(async move {
            let clean = async {
                if let Some(mut writer) = writer {
                    // A service that cannot abort has nothing to remove, or its staged file below.
                    drop(writer.abort().await);
                }
                if let Some(staged) = staged {
                    drop(operator.delete(&staged).await);
                }
            };
            drop(clock.timeout(timeout, clean).await);
        }));
    }
}

impl OpendalAdapter {
    pub(super) async fn put(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        let place = self.place(path)?;
        if !options.tags.is_empty() {
            self.claims.require(Capability::Tags)?;
        }
        let mut write = self.written(options.attributes.clone())?;
        match &options.mode {
            PutMode::Create => self.claims.require(Capability::CreateOnly)?,
            PutMode::Match(_) => self.claims.require(Capability::CompareAndSwap)?,
            _ => {}
        }
        let mut source = Source::new(body, &options)?;
        if self.staged {
            return self.put_staged(place, source, write, options.mode == PutMode::Create).await;
        }
        match &options.mode {
            PutMode::Create => write.if_not_exists = true,
            PutMode::Match(etag) => write.if_match = Some(etag.as_str().to_owned()),
            _ => {}
        }
        let held = options.mode != PutMode::Overwrite || !self.theirs.write_can_multi;
        let limit = if held { self.options.conditional_limit } else { self.options.part_size as u64 };
        let (first, whole) = gather(&mut source, limit).await?;
        if whole {
            let written = self.call(self.operator.write_options(place, first, write)).await;
            return match written {
                Ok(written) => Ok(result(&written, source.total)),
                Err(error) => Err(self.conflict(place, &options.mode, error).await),
            };
        }
        if held {
            return Err(too_long(limit));
        }
        let mut unfinished = self.open(place, None, write).await?;
        self.send(&mut unfinished, first, &mut source).await?;
        let written = self.close(&mut unfinished).await?;
        Ok(result(&written, source.total))
    }

    /// Which condition failed: services use one answer for several.
    async fn conflict(&self, place: &str, mode: &PutMode, error: Error) -> Error {
        match (mode, error.kind()) {
            (PutMode::Create, ErrorKind::Precondition) if matches!(self.is_there(place).await, Ok(true)) => {
                Error::new(ErrorKind::AlreadyExists, "there is a blob already").with_source(error)
            }
            (PutMode::Match(_), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
                Error::new(ErrorKind::Precondition, "there is no blob in the state demanded")
                    .with_source(error)
            }
            _ => error,
        }
    }

    /// Writes into a file of its own, then renames it.
    async fn put_staged(
        &self,
        place: &str,
        mut source: Source,
        write: WriteOptions,
        create: bool,
    ) -> Result<PutResult> {
        let staged = format!("{}/{}", self.options.staging, crate::random::hex::<16>()?);
        let mut unfinished = self.open(&staged, Some(staged.clone()), write).await?;
        if self.theirs.write_can_multi {
            self.send(&mut unfinished, Bytes::new(), &mut source).await?;
        } else {
            // Some services take a file in one piece.
            let limit = self.options.conditional_limit;
            let (bytes, whole) = gather(&mut source, limit).await?;
            if !whole {
                return Err(too_long(limit));
            }
            self.write(&mut unfinished, bytes).await?;
        }
        self.close(&mut unfinished).await?;
        self.publish(&staged, place, create).await?;
        unfinished.staged = None;
        Ok(PutResult::default().with_size(source.total))
    }

    /// Renames a file over another. Directories without any file in them, which deletes leave, are not in the way,
    /// unless the service would replace a directory with all that is in it by then: there they are.
    pub(super) async fn publish(&self, from: &str, to: &str, create: bool) -> Result<()> {
        let rename =
            || self.call(self.operator.rename_options(from, to, RenameOptions { if_not_exists: create }));
        let scheme = self.operator.info().scheme();
        let takes = options::takes_directories(scheme);
        // A server may do anything with a directory in the way.
        let in_the_way = options::is_remote(scheme)
            && match self.is_directory(to).await {
                // Not to know it is not enough where all that is in it would go.
                Err(error) if takes => return Err(error),
                found => found.unwrap_or(false),
            };
        if in_the_way && (takes || !self.clear(to).await?) {
            return Err(extended());
        }
        let kinds = [ErrorKind::AlreadyExists, ErrorKind::Precondition];
        let renamed = match rename().await {
            Err(error) if !takes && error.kind() == ErrorKind::Invalid && self.clear(to).await? => {
                rename().await
            }
            renamed => renamed,
        };
        match renamed {
            Err(error) if !kinds.contains(&error.kind()) && self.is_extended(to).await => {
                Err(extended().with_source(error))
            }
            renamed => renamed,
        }
    }

    /// Whether there are blobs whose paths this one extends, or that extend it.
    async fn is_extended(&self, place: &str) -> bool {
        for (end, _) in place.match_indices('/') {
            if let Some(above) = place.get(..end)
                && self.find(above).await.is_ok()
            {
                return true;
            }
        }
        self.is_directory(place).await.unwrap_or(false)
    }

    async fn is_directory(&self, place: &str) -> Result<bool> {
        let below = format!("{place}/");
        match self.call(self.operator.stat(&below)).await {
            Ok(found) => Ok(found.is_dir()),
            Err(missing) if missing.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a directory that has no file in it; false when there is none or it has one.
    async fn clear(&self, place: &str) -> Result<bool> {
        let below = format!("{place}/");
        let options = ListOptions { recursive: true, ..ListOptions::default() };
        let mut dirs = match self.call(self.operator.list_options(&below, options)).await {
            Ok(entries) if entries.iter().any(|entry| !entry.metadata().is_dir()) => return Ok(false),
            Ok(entries) => entries.into_iter().map(|entry| entry.path().to_owned()).collect::<Vec<_>>(),
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        };
        dirs.push(below);
        // The deepest first; one that got a file meanwhile stays, and the rename tells.
        dirs.sort_by_key(|dir| std::cmp::Reverse(dir.len()));
        dirs.dedup();
        for dir in dirs {
            drop(self.call(self.operator.delete(&dir)).await);
        }
        Ok(true)
    }

    async fn open(&self, place: &str, staged: Option<String>, mut write: WriteOptions) -> Result<Unfinished> {
        write.chunk = self.theirs.write_can_multi.then_some(self.options.part_size);
        if !self.staged {
            write.concurrent = self.options.concurrency;
        }
        let writer = self.call(self.operator.writer_options(place, write)).await?;
        Ok(Unfinished {
            writer: Some(writer),
            staged,
            operator: self.operator.clone(),
            tasks: self.tasks.clone(),
            clock: Arc::clone(&self.options.clock),
            timeout: self.options.timeout,
        })
    }

    async fn send(&self, unfinished: &mut Unfinished, first: Bytes, source: &mut Source) -> Result<()> {
        let mut chunk = Some(first);
        while let Some(bytes) = chunk {
            self.write(unfinished, bytes).await?;
            chunk = source.next().await?;
        }
        Ok(())
    }

    async fn write(&self, unfinished: &mut Unfinished, bytes: Bytes) -> Result<()> {
        match (&mut unfinished.writer, bytes.is_empty()) {
            (Some(writer), false) => self.call(writer.write(bytes)).await,
            _ => Ok(()),
        }
    }

    async fn close(&self, unfinished: &mut Unfinished) -> Result<Metadata> {
        let Some(writer) = &mut unfinished.writer else {
            return Err(Error::other("the file was closed before"));
        };
        let closed = self.call(writer.close()).await?;
        unfinished.writer = None;
        Ok(closed)
    }
}

fn too_long(limit: u64) -> Error {
    Error::unsupported(format!("the service takes no more than {limit} bytes in such a put"))
        .with_remedy("put it without a condition, or raise `conditional_limit`")
}

/// Reads up to `limit` bytes, and says whether that is all.
async fn gather(source: &mut Source, limit: u64) -> Result<(Bytes, bool)> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(chunk) = source.next().await? {
        if first.is_empty() && all.is_empty() {
            first = chunk;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&chunk);
        }
        if source.total > limit {
            return Ok((if all.is_empty() { first } else { all.freeze() }, false));
        }
    }
    Ok((if all.is_empty() { first } else { all.freeze() }, true))
}

fn result(written: &Metadata, size: u64) -> PutResult {
    PutResult::new(written.etag().map(ETag::new)).with_size(size)
}
