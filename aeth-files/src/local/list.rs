//! Listing, in the order of path bytes, directory by directory.
//!
//! A walk keeps one sorted window of names for each directory that it is in: at most [`WINDOW`] of them, the
//! smallest that were not passed yet, so that memory is bounded whatever a directory holds. A walk that ended
//! with its page is kept for the next one, which need not read the directories again.

use super::Inner;
use super::error::io;
use super::names::{PRIVATE, directory, unescape, without_beside};
use super::options::Layout;
use super::read::{Fail, meta, read_all};
use super::root::{Wait, kind, stat};
use super::tree::is_files_dir;
use crate::page::{After, Query};
use aeth_core::blob::{ListOptions, Page};
use aeth_core::{BlobPath, Error, Result};
use rustix::fs::{Dir, FileType};
use rustix::io::Errno;
use std::collections::{BTreeSet, VecDeque};
use std::os::fd::OwnedFd;

/// The most names of a directory that are held at once.
const WINDOW: usize = 1 << 16;
/// The most walks that are kept between pages.
const KEPT: usize = 16;

/// A walk between two pages.
#[derive(Debug)]
pub(super) struct Walk {
    frames: Vec<Frame>,
    after: After,
}

/// A directory that is being walked.
#[derive(Debug)]
struct Frame {
    /// The directory, relative to the root.
    dir: String,
    /// What all paths in it start with; empty or ending in `/`.
    prefix: String,
    /// The next entries, in order.
    ready: VecDeque<Entry>,
    /// Whether the directory has more than these.
    more: bool,
    /// The key of the last entry that was taken.
    last: Option<String>,
}

/// An entry of a directory; ordered by where its first path is in the listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// The segment, and a `/` behind it for a directory.
    key: String,
    /// The name in the file system.
    name: String,
}

impl Inner {
    pub(super) fn list(&self, options: ListOptions) -> Result<Page> {
        let token = options.token.as_ref().map(|token| token.as_str().to_owned());
        let query = Query::new(options)?;
        let kept = token.and_then(|token| {
            let mut walks = self.walks.lock();
            let at = walks.iter().position(|(of, _)| *of == token)?;
            walks.remove(at).map(|(_, walk)| walk)
        });
        let mut walk = match kept {
            Some(walk) => walk,
            None => self.walk(&query),
        };
        let mut page = Page::default();
        while page.blobs.len() + page.prefixes.len() < query.limit {
            if !self.step(&query, &mut walk, &mut page)? {
                return Ok(page);
            }
        }
        page.next = query.token(&walk.after);
        if let Some(token) = &page.next {
            let mut walks = self.walks.lock();
            walks.truncate(KEPT - 1);
            walks.push_front((token.as_str().to_owned(), walk));
        }
        Ok(page)
    }

    fn walk(&self, query: &Query) -> Walk {
        let above = query.prefix.rsplit_once('/').map_or("", |(above, _)| above);
        let prefix = if above.is_empty() { String::new() } else { format!("{above}/") };
        // Such a prefix has no path, and an empty segment would be dropped on the way to a directory.
        let impossible = !above.is_empty() && BlobPath::new(above).is_err() || query.prefix.starts_with('/');
        let frames = if impossible { Vec::new() } else { vec![Frame::new(directory(above), prefix)] };
        Walk { frames, after: query.after.clone() }
    }

    /// Adds one entry to the page; false at the end.
    fn step(&self, query: &Query, walk: &mut Walk, page: &mut Page) -> Result<bool> {
        while let Some(frame) = walk.frames.last_mut() {
            let Some(entry) = self.next(query, &walk.after, frame)? else {
                walk.frames.pop();
                continue;
            };
            let full = format!("{}{}", frame.prefix, entry.key);
            let dir = join(&frame.dir, &entry.name);
            if !full.ends_with('/') {
                let Ok(path) = BlobPath::new(&full) else {
                    leave_out(&full);
                    continue;
                };
                walk.after = After::Path(full);
                let Some(found) = self.stat_blob(&path)? else { continue };
                page.blobs.push(meta(&path, &found));
                return Ok(true);
            }
            if !query.delimiter || !full.starts_with(&query.prefix) || full.len() <= query.prefix.len() {
                walk.frames.push(Frame::new(dir, full));
                continue;
            }
            let group = Query { prefix: full.clone(), delimiter: false, after: walk.after.clone(), limit: 1 };
            let mut inside = Walk { frames: vec![Frame::new(dir, full.clone())], after: walk.after.clone() };
            let has_blob = self.step(&group, &mut inside, &mut Page::default())?;
            walk.after = After::Prefix(full.clone());
            if has_blob {
                page.prefixes.push(full);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next entry of a directory, reading on in it when the window is used up.
    fn next(&self, query: &Query, after: &After, frame: &mut Frame) -> Result<Option<Entry>> {
        if frame.ready.is_empty() && frame.more {
            self.read_on(query, after, frame)?;
        }
        let entry = frame.ready.pop_front();
        if let Some(entry) = &entry {
            frame.last = Some(entry.key.clone());
        }
        Ok(entry)
    }

    fn read_on(&self, query: &Query, after: &After, frame: &mut Frame) -> Result<()> {
        frame.more = false;
        let dir = match self.root.dir(&frame.dir) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(io(error).with_operation("list").with_key(&frame.dir)),
        };
        let mut window = BTreeSet::new();
        let mut wanted = |entry: Entry| {
            if frame.last.as_ref().is_some_and(|last| entry.key <= *last) {
                return;
            }
            let full = format!("{}{}", frame.prefix, entry.key);
            let passed = if full.ends_with('/') {
                after.passed_all(&full)
                    || !(full.starts_with(&query.prefix) || query.prefix.starts_with(&full))
            } else {
                after.passed(&full) || !full.starts_with(&query.prefix)
            };
            if passed {
                return;
            }
            window.insert(entry);
            if window.len() > WINDOW {
                window.pop_last();
                frame.more = true;
            }
        };
        let first = frame.prefix.is_empty();
        self.scan(&dir, first, false, &mut wanted)?;
        frame.ready = window.into_iter().collect();
        Ok(())
    }

    /// Shows all entries of a directory; for the sharded layout those of the directories of files too.
    fn scan(&self, dir: &OwnedFd, first: bool, shard: bool, show: &mut impl FnMut(Entry)) -> Result<()> {
        for found in Dir::read_from(dir).map_err(io)? {
            let found = found.map_err(io)?;
            let Ok(name) = found.file_name().to_str() else {
                leave_out(&found.file_name().to_string_lossy());
                continue;
            };
            if matches!(name, "." | "..") || (first && !shard && name == PRIVATE) {
                continue;
            }
            let kind = match found.file_type() {
                FileType::Unknown => match stat(dir, name).map_err(io)? {
                    Some(found) => kind(&found),
                    None => continue,
                },
                kind => kind,
            };
            if kind.is_dir() && !shard && is_files_dir(self.layout, name) {
                match super::root::open_dir(dir, name) {
                    Ok(files) => self.scan(&files, first, true, show)?,
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(io(error)),
                }
                continue;
            }
            // Files of the sharded layout are in the directories of files and nowhere else.
            let misplaced = self.layout == Layout::Sharded && kind.is_file() != shard;
            if misplaced || !(kind.is_file() || kind.is_dir()) {
                leave_out(name);
                continue;
            }
            let plain = if kind.is_file() && !shard { without_beside(name) } else { name };
            let Some(segment) = unescape(plain, first, |digits| self.whole(digits)) else {
                leave_out(name);
                continue;
            };
            let slash = if kind.is_dir() { "/" } else { "" };
            // Should a file lie both under its name and beside it, they are one entry.
            let name = if kind.is_dir() { name.to_owned() } else { String::new() };
            show(Entry { key: format!("{segment}{slash}"), name });
        }
        Ok(())
    }

    /// The segment whose name was cut.
    fn whole(&self, digits: &str) -> Option<String> {
        use rustix::fs::{Mode, OFlags};
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.names, digits, flags, Mode::empty()).ok()?;
        String::from_utf8(read_all(&file, Wait::Disk).ok()?.to_vec()).ok()
    }

    /// The stat of a blob's file; `None` when it has gone meanwhile.
    fn stat_blob(&self, path: &BlobPath) -> Result<Option<rustix::fs::Stat>> {
        let place = super::names::place(path, self.layout);
        let dir = match self.root.dir(&place.dir) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(Error::from(Fail::from(error)).with_key(path)),
        };
        Ok(self.find(&dir, &place.name).map_err(|error| error.with_key(path))?.stat)
    }
}

impl Frame {
    fn new(dir: String, prefix: String) -> Self {
        Self { dir, prefix, ready: VecDeque::new(), more: true, last: None }
    }
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn leave_out(name: &str) {
    tracing::debug!(name, "an entry that this store did not write is left out of the listing");
}
