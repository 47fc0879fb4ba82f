//! Versions as tar archives.

mod header;

use super::history::{Snapshot, resolve};
use super::options::seconds;
use super::pointer::Pointer;
use super::tree::{self, Record};
use super::{GitArchive, read};
use aeth_core::{ByteStream, Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use gix::ObjectId;
use gix::objs::tree::EntryKind;
use header::{Item, ItemKind};
use std::collections::VecDeque;

/// How many bytes of small entries are put together before they are given on.
const BATCH: usize = 256 << 10;

/// How a tar archive is made.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TarOptions {
    /// Put before every path; end it with `/` for a directory. Default: nothing.
    pub prefix: String,
    /// Put large blobs in, instead of the pointers that `git archive` gives.
    pub resolve_large: bool,
}

impl TarOptions {
    /// Puts a text before every path.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Puts large blobs in, instead of their pointers.
    #[must_use]
    pub fn with_large(mut self) -> Self {
        self.resolve_large = true;
        self
    }
}

/// An archive on its way out.
struct Tar {
    archive: GitArchive,
    commit: ObjectId,
    mtime: u64,
    records: VecDeque<Record>,
    resolve: bool,
    written: u64,
    state: State,
}

enum State {
    Start,
    Entries,
    /// In the middle of a large blob, of so many bytes.
    Large(ByteStream, u64),
    End,
}

impl GitArchive {
    /// A version as an uncompressed tar archive, byte for byte what
    /// `git archive --format=tar --prefix=PREFIX COMMIT` gives in this repository with the default `tar.umask`,
    /// unless large blobs are put in instead of their pointers. The commit's id is in the archive's header, where
    /// `git get-tar-commit-id` finds it.
    ///
    /// # Errors
    /// `NotFound` for the version, `Invalid` for a prefix with a NUL; from the stream `Corrupt` and, for large
    /// blobs, those of their store.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn tar(&self, revision: &str, options: TarOptions) -> Result<ByteStream> {
        if options.prefix.contains('\0') {
            return Err(Error::invalid("the prefix holds a NUL"));
        }
        let (revision, prefix) = (revision.to_owned(), options.prefix.into_bytes());
        let (snapshot, records) = self
            .with(move |_, repository| {
                let snapshot = resolve(repository, &revision)?;
                let records = records(repository, &snapshot, &prefix)?;
                Ok((snapshot, records))
            })
            .await?;
        let tar = Tar {
            archive: self.clone(),
            commit: read::object(&snapshot.id)?,
            mtime: u64::try_from(seconds(snapshot.time)).unwrap_or(0),
            records,
            resolve: options.resolve_large,
            written: 0,
            state: State::Start,
        };
        Ok(stream::try_unfold(tar, Tar::next).boxed())
    }
}

/// The entries, with the prefix before their paths; a prefix that is a directory is one itself.
fn records(repository: &gix::Repository, snapshot: &Snapshot, prefix: &[u8]) -> Result<VecDeque<Record>> {
    let tree = snapshot.tree_id()?;
    let mut records = VecDeque::new();
    if prefix.ends_with(b"/") {
        let mut path = prefix.to_vec();
        while path.len() > 1 && path.ends_with(b"//") {
            path.pop();
        }
        records.push_back(Record { path, mode: EntryKind::Tree.into(), id: tree });
    }
    for mut record in tree::walk(repository, tree)? {
        let slash: &[u8] = if record.mode.is_tree() || record.mode.is_commit() { b"/" } else { b"" };
        record.path = [prefix, &record.path, slash].concat();
        records.push_back(record);
    }
    Ok(records)
}

impl Tar {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            let chunk = match std::mem::replace(&mut self.state, State::End) {
                State::Start => {
                    let (bytes, mtime) = header::global(self.commit, self.mtime);
                    self.mtime = mtime;
                    self.state = State::Entries;
                    bytes.into()
                }
                State::Entries => {
                    let (tar, bytes, large) = self.batch().await?;
                    self = tar;
                    if let Some(pointer) = large {
                        let stream = self.archive.open_large(&pointer).await?;
                        self.state = State::Large(stream, pointer.size);
                    } else if self.records.is_empty() {
                        let end = header::trailer(self.written + bytes.len() as u64);
                        let bytes = [bytes, end].concat();
                        return Ok(Some((bytes.into(), self)));
                    } else {
                        self.state = State::Entries;
                    }
                    Bytes::from(bytes)
                }
                State::Large(mut stream, size) => match stream.try_next().await? {
                    Some(chunk) => {
                        self.state = State::Large(stream, size);
                        chunk
                    }
                    None => {
                        self.state = State::Entries;
                        vec![0; header::padding(size)].into()
                    }
                },
                State::End => return Ok(None),
            };
            self.written += chunk.len() as u64;
            if !chunk.is_empty() {
                return Ok(Some((chunk, self)));
            }
        }
    }

    /// The next entries, up to a large blob, whose header is the last of the bytes.
    async fn batch(mut self) -> Result<(Self, Vec<u8>, Option<Pointer>)> {
        let archive = self.archive.clone();
        archive
            .with(move |_, repository| {
                let mut out = Vec::with_capacity(BATCH);
                while out.len() < BATCH {
                    let Some(record) = self.records.pop_front() else { break };
                    if let Some(pointer) = self.append(repository, &record, &mut out)? {
                        return Ok((self, out, Some(pointer)));
                    }
                }
                Ok((self, out, None))
            })
            .await
    }

    fn append(
        &self,
        repository: &gix::Repository,
        record: &Record,
        out: &mut Vec<u8>,
    ) -> Result<Option<Pointer>> {
        let item = |kind| Item { path: &record.path, kind, id: record.id, mtime: self.mtime };
        if record.mode.is_tree() || record.mode.is_commit() {
            out.extend(header::entry(&item(ItemKind::Dir)));
            return Ok(None);
        }
        let executable = record.mode.is_executable();
        let file = |size| item(ItemKind::File { size, executable });
        let content = read::content(repository, record.id)?;
        if record.mode.is_link() {
            out.extend(header::entry(&item(ItemKind::Link(&content))));
            return Ok(None);
        }
        if let Some(pointer) = Pointer::parse(&content).filter(|_| self.resolve) {
            out.extend(header::entry(&file(pointer.size)));
            return Ok(Some(pointer));
        }
        out.extend(header::entry(&file(content.len() as u64)));
        out.extend_from_slice(&content);
        out.resize(out.len() + header::padding(content.len() as u64), 0);
        Ok(None)
    }
}
