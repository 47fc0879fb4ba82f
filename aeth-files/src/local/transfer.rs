//! Copying and renaming.

use super::Inner;
use super::error::{contended, exists, io, not_found, precondition};
use super::names::{Place, place};
use super::options::Durability;
use super::root::{Wait, retry};
use super::sidecar::Record;
use super::stamp::{Stamp, etag, size};
use super::temp::rename;
use super::tree::{ATTEMPTS, Spot};
use super::write::Change;
use aeth_core::blob::{CopyAttributes, CopyMode, CopyOptions, PutMode, PutResult};
use aeth_core::{BlobPath, Error, Result};
use rustix::fs::Stat;
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;

impl Inner {
    pub(super) fn copy(&self, from: &BlobPath, to: &BlobPath, options: &CopyOptions) -> Result<PutResult> {
        let opened = self.open_blob(from, &place(from, self.layout), Wait::Disk).map_err(Error::from)?;
        if options.if_match.as_ref().is_some_and(|wanted| *wanted != etag(&opened.stat)) {
            return Err(precondition(from));
        }
        let mut temp = self.temps.create()?;
        let expected = size(&opened.stat);
        let mut source = File::from(opened.file);
        // The kernel shares the blocks where the file system can, and copies within itself elsewhere.
        let copied = std::io::copy(&mut source, &mut temp.file).map_err(Error::from_io)?;
        if copied != expected {
            return Err(Error::corrupt("the file changed while it was copied").with_key(from));
        }
        let change = Change {
            path: to.clone(),
            mode: if options.mode == CopyMode::Create { PutMode::Create } else { PutMode::Overwrite },
            record: replaced(opened.record.unwrap_or_default(), &options.attributes),
        };
        self.commit(temp, &change)
    }

    /// Moves the file itself.
    ///
    /// The file gets a new stamp first, because the stamps of another stripe mean nothing in this one. Before
    /// that the source's sidecar says of both stamps what the source has, and the target's says of the new one
    /// what the target will have: wherever this is interrupted, the blob is whole at exactly one of its places.
    pub(super) fn rename(&self, from: &BlobPath, to: &BlobPath, options: &CopyOptions) -> Result<PutResult> {
        let (source, target) = (place(from, self.layout), place(to, self.layout));
        self.keep_names(&target)?;
        for _ in 0..ATTEMPTS {
            let from_dir = match self.root.dir(&source.dir) {
                Ok(dir) => dir,
                Err(Errno::NOENT | Errno::NOTDIR) => return Err(not_found(from)),
                Err(error) => return Err(io(error).with_key(from)),
            };
            // Before directories are made for nothing.
            self.check_source(from, &from_dir, &source, options)?;
            if from == to {
                return self.unchanged(from, &from_dir, &source, options);
            }
            let to_dir = self.ensure_dir(to, &target)?;
            let (first, second) = self.stripes.hold_two(from, to)?;
            // The source may have been moved beside a directory that the target needed.
            let spot = self.find(&from_dir, &source.name)?;
            let Some(stat) = spot.stat else { continue };
            if options.if_match.as_ref().is_some_and(|wanted| *wanted != etag(&stat)) {
                return Err(precondition(from));
            }
            let present = self.find(&to_dir, &target.name)?;
            if options.mode == CopyMode::Create && present.stat.is_some() {
                return Err(exists(to));
            }
            let spot = Spot { name: spot.name, stat: Some(stat) };
            let record = self.present_record(from, &spot)?;
            let next = replaced(record.clone().unwrap_or_default(), &options.attributes);
            let mut stamp = first.stamp(self.now(), next.is_some())?;
            if let Some(second) = &second {
                stamp = second.stamp(stamp, next.is_some())?;
                first.record(stamp)?;
            }
            let stat = self.restamp(from, to, &from_dir, &spot, &present, record, next.as_ref(), stamp)?;
            match rename(&from_dir, &spot.name, &to_dir, &present.name, options.mode != CopyMode::Create) {
                Ok(()) => {}
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => continue,
                Err(error) => return Err(io(error).with_key(from)),
            }
            self.sidecars.remove(from)?;
            if next.is_none() {
                self.drop_record(to, &present)?;
            }
            drop((first, second));
            self.sync_dir(&to_dir, &target.dir)?;
            if self.durability == Durability::FileAndDirectory {
                retry(|| rustix::fs::fsync(&from_dir)).map_err(io)?;
            }
            self.prune(&source.dir);
            return Ok(PutResult::new(Some(etag(&stat))).with_size(size(&stat)));
        }
        Err(contended(from))
    }

    fn check_source(
        &self,
        from: &BlobPath,
        dir: &OwnedFd,
        source: &Place,
        options: &CopyOptions,
    ) -> Result<Stat> {
        let stat = self.find(dir, &source.name)?.stat.ok_or_else(|| not_found(from))?;
        if options.if_match.as_ref().is_some_and(|wanted| *wanted != etag(&stat)) {
            return Err(precondition(from));
        }
        Ok(stat)
    }

    /// A rename onto itself.
    fn unchanged(
        &self,
        from: &BlobPath,
        dir: &OwnedFd,
        source: &Place,
        options: &CopyOptions,
    ) -> Result<PutResult> {
        let stat = self.check_source(from, dir, source, options)?;
        if options.mode == CopyMode::Create {
            return Err(exists(from));
        }
        Ok(PutResult::new(Some(etag(&stat))).with_size(size(&stat)))
    }

    #[allow(clippy::too_many_arguments, reason = "the two ends of one move, looked at under the same locks")]
    fn restamp(
        &self,
        from: &BlobPath,
        to: &BlobPath,
        from_dir: &OwnedFd,
        spot: &Spot,
        present: &Spot,
        record: Option<Record>,
        next: Option<&Record>,
        stamp: Stamp,
    ) -> Result<Stat> {
        let file = {
            use rustix::fs::{Mode, OFlags};
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            rustix::fs::openat(from_dir, &spot.name, flags, Mode::empty()).map_err(io)?
        };
        let length = spot.stat.as_ref().map_or(0, size);
        if let Some(record) = record {
            self.write_records(from, vec![record.for_file(stamp, length), record])?;
        } else if next.is_some() {
            // The new stamp says that there is a sidecar: it is to say that there is nothing.
            self.write_records(from, vec![Record::default().for_file(stamp, length)])?;
        }
        if let Some(next) = next {
            self.put_record(to, next.for_file(stamp, length), present)?;
        }
        rustix::fs::futimens(&file, &stamp.times()).map_err(io)?;
        if self.durability != Durability::None {
            retry(|| rustix::fs::fsync(&file)).map_err(io)?;
        }
        rustix::fs::fstat(&file).map_err(io)
    }
}

/// The record of a copy; `None` when it says nothing.
fn replaced(record: Record, attributes: &CopyAttributes) -> Option<Record> {
    let record = match attributes {
        CopyAttributes::Replace(attributes) => record.with_attributes(attributes.clone()),
        _ => record,
    };
    (!record.is_empty()).then_some(record)
}
