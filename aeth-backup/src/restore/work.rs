//! A worker's part: packs into files.

use super::options::{Existing, RestoreOptions};
use super::{metadata, target};
use crate::Id;
use crate::crypto::{Hasher, OVERHEAD};
use crate::error::{cancelled, io};
use crate::format::{BlobEntry, BlobKind, Node};
use crate::progress::SkipList;
use crate::repo::{Beside, Location, Opener, Shared, object};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use parking_lot::Mutex;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Bytes of a pack that are read at once.
const RANGE: u64 = 8 << 20;
/// Bytes between two needed blobs that are rather read than asked around.
const GAP: u64 = 64 << 10;

/// A file that is being restored.
#[derive(Debug)]
pub(super) struct FileTarget {
    pub(super) path: PathBuf,
    /// Its path in the snapshot, for messages.
    pub(super) shown: Vec<u8>,
    pub(super) node: Node,
    /// Blobs that are not written yet.
    pub(super) open: AtomicUsize,
    pub(super) failed: AtomicBool,
    /// Whether the file at `path` is one that this restore made: no other is ever removed.
    pub(super) created: AtomicBool,
    /// Whether parts of the file that was there are written over.
    pub(super) in_place: AtomicBool,
}

impl FileTarget {
    /// Makes the file.
    pub(super) fn create(&self, existing: Existing) -> Result<File> {
        let out = target::file(&self.path, existing)?;
        self.created.store(true, Ordering::Release);
        Ok(out)
    }

    /// Opens the file that is there, to write over parts of it.
    pub(super) fn write_over(&self) -> Result<File> {
        let out = target::reopen(&self.path)?;
        self.in_place.store(true, Ordering::Release);
        Ok(out)
    }

    /// Half a file is worse than none; that it is missing stands in the report.
    pub(super) fn remove_if_created(&self) {
        if self.created.load(Ordering::Acquire) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Where a blob goes.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) file: Arc<FileTarget>,
    pub(super) offset: u64,
}

/// The blobs that are needed out of one pack.
#[derive(Debug)]
pub(super) struct PackJob {
    pub(super) pack: Id,
    pub(super) blobs: Vec<(BlobEntry, Vec<Use>)>,
}

/// What the threads of one restore share.
#[derive(Debug)]
pub(super) struct Restore {
    pub(super) shared: Arc<Shared>,
    pub(super) options: RestoreOptions,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) skipped: SkipList,
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) verified: AtomicU64,
    pub(super) unchanged: AtomicU64,
    pub(super) unchanged_bytes: AtomicU64,
    pub(super) deleted: AtomicU64,
    pub(super) jobs: Mutex<Vec<PackJob>>,
}

impl Restore {
    pub(super) fn skip(&self, path: &[u8], error: Error) {
        self.skipped.add(path, error, &self.options.progress, &self.options.watch);
    }

    pub(super) fn check_cancelled(&self) -> Result<()> {
        if self.options.cancel.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }

    /// Works off the packs; what goes wrong concerns single files, but for a cancellation.
    pub(super) fn work(&self) -> Result<()> {
        let mut openers = [Opener::default(), Opener::default()];
        loop {
            let Some(job) = self.jobs.lock().pop() else { return Ok(()) };
            self.pack(job, &mut openers)?;
        }
    }

    fn pack(&self, job: PackJob, openers: &mut [Opener; 2]) -> Result<()> {
        let mut blobs = job.blobs;
        blobs.sort_by_key(|(blob, _)| blob.offset);
        let mut rest = blobs.as_slice();
        while let Some((first, _)) = rest.first() {
            self.check_cancelled()?;
            let start = u64::from(first.offset);
            let mut end = start + u64::from(first.length);
            let mut count = 1;
            for (blob, _) in rest.iter().skip(1) {
                let (from, to) = (u64::from(blob.offset), u64::from(blob.offset) + u64::from(blob.length));
                if from > end + GAP || to > start + RANGE {
                    break;
                }
                end = end.max(to);
                count += 1;
            }
            let (now, later) = rest.split_at(count);
            self.range(job.pack, start, end, now, openers);
            rest = later;
        }
        Ok(())
    }

    fn range(
        &self,
        pack: Id,
        start: u64,
        end: u64,
        blobs: &[(BlobEntry, Vec<Use>)],
        openers: &mut [Opener; 2],
    ) {
        let name = object(ObjectKind::Pack, pack);
        let read = self.runtime.block_on(self.shared.sinks.read(&name, Some(start..end), Ok));
        if let Ok(bytes) = &read {
            self.options.progress.stored(u64::try_from(bytes.len()).unwrap_or(0));
        }
        let place = |entry: &BlobEntry| Location { pack, entry: *entry };
        let unseal = |entry: &BlobEntry, opener: &mut Opener| {
            let bytes = read.as_ref().map_err(Error::clone)?;
            let from = usize::try_from(u64::from(entry.offset) - start).unwrap_or(usize::MAX);
            let to = from.saturating_add(usize::try_from(entry.length).unwrap_or(usize::MAX));
            let sealed = bytes.get(from..to).ok_or_else(|| Error::corrupt("the pack is too short"))?;
            opener.unseal(&self.shared.key, &place(entry), sealed)
        };
        let [one, two] = openers;
        // By twos, because two are hashed in the time of one and a bit.
        for pair in blobs.chunks(2) {
            let [(first, uses), rest @ ..] = pair else { continue };
            let second = rest.first();
            let opened = unseal(first, one);
            let other = second.map(|(entry, _)| unseal(entry, two));
            let (sound, other_sound) = match second {
                Some((entry, _)) => Opener::verify_both((one, &place(first)), (two, &place(entry))),
                None => (one.verify(&place(first), &mut Beside { hasher: Hasher::new(), rest: &[] }), Ok(())),
            };
            self.put(first, uses, opened.and(sound).is_ok().then(|| one.plain()));
            if let (Some((entry, uses)), Some(other)) = (second, other) {
                self.put(entry, uses, other.and(other_sound).is_ok().then(|| two.plain()));
            }
        }
    }

    /// Writes a blob to where it goes; what could not be opened is looked for elsewhere.
    fn put(&self, entry: &BlobEntry, uses: &[Use], opened: Option<&[u8]>) {
        let elsewhere;
        let plain = match opened {
            Some(plain) => Ok(plain),
            // Another sink may have it undamaged, or another pack.
            None => {
                elsewhere = self.runtime.block_on(self.shared.blob(BlobKind::Data, entry.id));
                elsewhere.as_deref().map_err(Error::clone)
            }
        };
        for target in uses {
            match &plain {
                Ok(plain) => self.write(target, plain),
                Err(error) => self.fail(target, error.clone()),
            }
            self.one_done(&target.file);
        }
    }

    fn write(&self, to: &Use, plain: &[u8]) {
        let file = &to.file;
        let single = file.node.content.as_ref().is_some_and(|content| content.len() == 1);
        // What is written over may hold something else there.
        let sparse = self.options.sparse && !file.in_place.load(Ordering::Relaxed);
        let hole = sparse && plain.len() > OVERHEAD && plain.iter().all(|byte| *byte == 0);
        let written = if single {
            self.whole(file, plain, hole)
        } else if hole {
            // The file was made with its full length.
            Ok(())
        } else {
            target::reopen(&file.path)
                .and_then(|out| out.write_all_at(plain, to.offset).map_err(io(&file.path)))
        };
        if let Err(error) = written {
            self.fail(to, error);
        }
    }

    /// A file of one blob: made, written and finished in one go.
    fn whole(&self, file: &FileTarget, plain: &[u8], hole: bool) -> Result<()> {
        let out = file.create(self.options.existing)?;
        let length = u64::try_from(plain.len()).unwrap_or(0);
        let written = if hole { out.set_len(length) } else { out.write_all_at(plain, 0) };
        written.map_err(io(&file.path))?;
        self.finish(file, &out)
    }

    fn fail(&self, to: &Use, error: Error) {
        if !to.file.failed.swap(true, Ordering::Relaxed) {
            self.skip(&to.file.shown, error);
        }
    }

    fn one_done(&self, file: &FileTarget) {
        if file.open.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let single = file.node.content.as_ref().is_some_and(|content| content.len() == 1);
        if !single && !file.failed.load(Ordering::Relaxed) {
            let finished = target::reopen(&file.path).and_then(|out| self.finish(file, &out));
            if let Err(error) = finished {
                file.failed.store(true, Ordering::Relaxed);
                self.skip(&file.shown, error);
            }
        }
        if file.failed.load(Ordering::Relaxed) {
            file.remove_if_created();
        }
    }

    /// Sets the metadata of a file that has its content.
    pub(super) fn finish(&self, file: &FileTarget, out: &File) -> Result<()> {
        if self.options.verify {
            self.verify(file, out)?;
        }
        if file.in_place.load(Ordering::Relaxed) {
            metadata::strip(&file.path, &file.node);
        }
        if let Err(error) = metadata::of_file(out, &file.path, &file.node, self.options.owners) {
            // The content is right, so the file stays.
            self.skip(&file.shown, error);
        }
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(file.node.size, Ordering::Relaxed);
        self.options.progress.file_done();
        self.options.progress.bytes_done(file.node.size);
        Ok(())
    }

    /// A file that would be restored.
    pub(super) fn would_restore(&self, file: &FileTarget, length: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(length, Ordering::Relaxed);
        self.options.progress.file_done();
        self.options.progress.bytes_done(file.node.size);
    }

    /// A file that is right already: only what is known about it may differ.
    pub(super) fn leave(&self, file: &FileTarget) {
        self.unchanged.fetch_add(1, Ordering::Relaxed);
        self.options.progress.file_done();
        self.options.progress.bytes_done(file.node.size);
        if self.options.dry_run {
            return;
        }
        metadata::strip(&file.path, &file.node);
        if let Err(error) = metadata::of_path(&file.path, &file.node, self.options.owners) {
            self.skip(&file.shown, error);
        }
    }

    fn verify(&self, file: &FileTarget, out: &File) -> Result<()> {
        let mut reader = out;
        std::io::Seek::rewind(&mut reader).map_err(io(&file.path))?;
        for id in file.node.content.iter().flatten() {
            let location = self.runtime.block_on(self.shared.locate(BlobKind::Data, *id))?;
            let mut part = vec![0; usize::try_from(location.entry.plain_length()).unwrap_or(0)];
            reader.read_exact(&mut part).map_err(io(&file.path))?;
            if Id::of(&part) != *id {
                return Err(Error::corrupt(
                    "the restored file is not what was written: the disk may be failing",
                )
                .with_key(file.path.display()));
            }
        }
        self.verified.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
