//! The walker's part: files that are not in a file system.

use super::buffer::{Buffer, READ};
use super::dirs::{Above, PendingDir};
use super::file::{SharedFile, count_file};
use super::saver::{Run, Tools};
use crate::Id;
use crate::chunker::MIN_SIZE;
use crate::error::cancelled;
use crate::format::{BlobKind, FileMode, Node, NodeKind, Tree};
use crate::source::{FileSource, VirtualFile};
use aeth_core::{ByteStream, Error, Result};
use bytes::BytesMut;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use std::sync::Arc;

/// Files that are opened ahead, each with at most 512 KiB in memory.
const AHEAD: usize = 8;

/// A directory that is being filled.
struct Level {
    name: Vec<u8>,
    dir: Arc<PendingDir>,
    previous: Option<Tree>,
}

/// A file whose beginning is in memory.
struct Opened {
    file: VirtualFile,
    content: Result<Content>,
}

enum Content {
    /// As in the parent snapshot.
    Unchanged(Vec<Id>, u64),
    Whole(BytesMut),
    Long(BytesMut, ByteStream),
}

pub(super) struct VirtualWalker<'a> {
    pub(super) run: &'a Run,
    pub(super) files: &'a Arc<dyn FileSource>,
    pub(super) runtime: &'a tokio::runtime::Handle,
    pub(super) tools: Tools,
    /// Where the source stands, for messages.
    pub(super) at: String,
}

impl VirtualWalker<'_> {
    /// Saves all files below `name` of `above`; or the one file of the source as `name`.
    pub(super) fn root(
        &mut self,
        name: &[u8],
        above: &Arc<PendingDir>,
        previous: Option<&Node>,
    ) -> Result<()> {
        let subtree = previous.and_then(|node| node.subtree);
        let mut levels: Vec<Level> = Vec::new();
        let mut is_file = false;
        let (run, files) = (self.run, Arc::clone(self.files));
        // The trees of the parent that the files ahead are looked up in.
        let trees = Trees { run, root: subtree };
        let source = Arc::clone(&files);
        let single = previous.cloned();
        let mut opened = patiently(source.list(), run)
            .map(|file| open_ahead(file, &files, &trees, single.as_ref(), run))
            .buffered(AHEAD)
            .boxed();
        while let Some(next) = self.runtime.block_on(opened.next()) {
            if run.is_stopped() {
                return Err(cancelled());
            }
            let next = next.map_err(|error| error.with_component(self.at.clone()))?;
            if next.file.path.is_empty() {
                is_file = true;
                let known = previous.is_some_and(|node| node.kind == NodeKind::File);
                self.save(name, above, next, known)?;
                continue;
            }
            if levels.is_empty() {
                levels.push(self.level(name, above, subtree));
            }
            let segments: Vec<_> = next.file.path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
            if segments
                .iter()
                .any(|segment| matches!(segment.as_slice(), b"" | b"." | b"..") || segment.contains(&0))
            {
                let error = Error::invalid("a path has a segment that is not a name");
                run.skip(&self.full(&next.file.path), error);
                continue;
            }
            let Some((last, parents)) = segments.split_last() else { continue };
            self.descend(&mut levels, parents)?;
            if let Some(level) = levels.last() {
                let dir = Arc::clone(&level.dir);
                let before = level.previous.as_ref().and_then(|tree| tree.find(last));
                let known = before.is_some_and(|node| node.kind == NodeKind::File);
                self.save(last, &dir, next, known)?;
            }
        }
        drop(opened);
        if levels.is_empty() && !is_file {
            // A source of no files is an empty directory, unless it was a file.
            levels.push(self.level(name, above, subtree));
        }
        while let Some(level) = levels.pop() {
            level.dir.seal(run, &mut self.tools)?;
        }
        Ok(())
    }

    /// Closes the directories that are left and opens those that are entered.
    fn descend(&mut self, levels: &mut Vec<Level>, parents: &[Vec<u8>]) -> Result<()> {
        let shared =
            levels.iter().skip(1).zip(parents).take_while(|(level, name)| level.name == **name).count();
        while levels.len() > shared + 1 {
            if let Some(level) = levels.pop() {
                level.dir.seal(self.run, &mut self.tools)?;
            }
        }
        for name in parents.iter().skip(shared) {
            let Some(above) = levels.last() else { break };
            let previous =
                above.previous.as_ref().and_then(|tree| tree.find(name)).and_then(|node| node.subtree);
            let dir = Arc::clone(&above.dir);
            levels.push(self.level(name, &dir, previous));
        }
        Ok(())
    }

    fn level(&self, name: &[u8], above: &Arc<PendingDir>, subtree: Option<Id>) -> Level {
        let own = virtual_dir(name, self.run);
        let slot = above.reserve();
        let dir = PendingDir::new(Some(own), true, subtree, Above::Directory(Arc::clone(above), slot));
        let previous = subtree.filter(|id| self.run.has(BlobKind::Tree, id));
        let previous = previous.and_then(|id| self.runtime.block_on(self.run.shared.tree(id)).ok());
        Level { name: name.to_vec(), dir, previous }
    }

    /// `known` says that the parent snapshot has a file here.
    fn save(&mut self, name: &[u8], dir: &Arc<PendingDir>, opened: Opened, known: bool) -> Result<()> {
        let run = self.run;
        let slot = dir.reserve();
        let mut node = virtual_file(name, &opened.file, run);
        let content = match opened.content {
            Ok(content) => content,
            Err(error) => {
                run.skip(&self.full(&opened.file.path), error);
                return dir.finish(slot, None, run, &mut self.tools);
            }
        };
        match content {
            Content::Unchanged(ids, size) => {
                node.size = size;
                node.content = Some(ids);
                run.progress.found(size);
                run.progress.bytes_done(size);
                let mut counts = run.counts.lock();
                counts.files_unmodified += 1;
                counts.total_files_processed += 1;
                counts.total_bytes_processed += size;
                drop(counts);
                run.progress.file_done();
                dir.finish(slot, Some(node), run, &mut self.tools)
            }
            Content::Whole(bytes) => {
                node.size = u64::try_from(bytes.len()).unwrap_or(0);
                run.progress.found(node.size);
                let file = SharedFile::new(Arc::clone(dir), slot);
                if !bytes.is_empty() {
                    file.chunk(Buffer::of(bytes.into()), run, &mut self.tools)?;
                }
                run.progress.file_done();
                count_file(known, node.size, run);
                file.end(Some(node), run, &mut self.tools)
            }
            Content::Long(head, stream) => {
                let file = SharedFile::new(Arc::clone(dir), slot);
                run.progress.found(opened.file.size.unwrap_or(0));
                let read = self.long(&file, head, stream)?;
                let node = match read {
                    Ok(size) => {
                        node.size = size;
                        run.progress.file_done();
                        count_file(known, size, run);
                        Some(node)
                    }
                    Err(error) => {
                        run.skip(&self.full(&opened.file.path), error);
                        None
                    }
                };
                file.end(node, run, &mut self.tools)
            }
        }
    }

    /// Cuts a long stream; the inner error only skips the file.
    fn long(
        &mut self,
        file: &Arc<SharedFile>,
        head: BytesMut,
        mut stream: ByteStream,
    ) -> Result<Result<u64>> {
        let run = self.run;
        let mut buffer = run.buffer()?;
        buffer.extend(&head);
        drop(head);
        let (mut total, mut scanned) = (0_u64, 0);
        loop {
            while let Some(end) = run.shared.chunker.cut(&buffer, &mut scanned) {
                let mut rest = run.buffer()?;
                buffer.split(end, &mut rest);
                total += u64::try_from(end).unwrap_or(0);
                scanned = 0;
                file.chunk(std::mem::replace(&mut buffer, rest), run, &mut self.tools)?;
            }
            if run.is_stopped() {
                return Err(cancelled());
            }
            let mut more = BytesMut::with_capacity(READ);
            let ended = match self.runtime.block_on(gather(run, &mut stream, &mut more, READ)) {
                Ok(ended) => ended,
                Err(error) => return Ok(Err(error)),
            };
            buffer.extend(&more);
            if ended {
                break;
            }
        }
        while let Some(end) = run.shared.chunker.cut(&buffer, &mut scanned) {
            let mut rest = run.buffer()?;
            buffer.split(end, &mut rest);
            total += u64::try_from(end).unwrap_or(0);
            scanned = 0;
            file.chunk(std::mem::replace(&mut buffer, rest), run, &mut self.tools)?;
        }
        if !buffer.is_empty() {
            total += u64::try_from(buffer.len()).unwrap_or(0);
            file.chunk(buffer, run, &mut self.tools)?;
        }
        Ok(Ok(total))
    }

    fn full(&self, path: &[u8]) -> Vec<u8> {
        if path.is_empty() {
            return self.at.as_bytes().to_vec();
        }
        [self.at.as_bytes(), b"/", path].concat()
    }
}

/// The items of a listing, none of which is waited for too long. A failure ends it.
fn patiently<'a, T: Send + 'a>(
    list: BoxStream<'a, Result<T>>,
    run: &'a Run,
) -> impl Stream<Item = Result<T>> + Send + 'a {
    futures_util::stream::unfold(Some(list), move |list| async move {
        let mut list = list?;
        match run.patient(list.next()).await {
            Ok(Some(item)) => Some((item, Some(list))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Gathers a stream's pieces until there are `limit` bytes or it ends; true when it ended.
async fn gather(run: &Run, stream: &mut ByteStream, into: &mut BytesMut, limit: usize) -> Result<bool> {
    while into.len() < limit {
        match run.patient(stream.next()).await? {
            Some(bytes) => into.extend_from_slice(&bytes?),
            None => return Ok(true),
        }
    }
    Ok(false)
}

async fn open_ahead(
    file: Result<VirtualFile>,
    files: &Arc<dyn FileSource>,
    trees: &Trees<'_>,
    single: Option<&Node>,
    run: &Run,
) -> Result<Opened> {
    let file = file?;
    if let Some((previous, size)) = trees.unchanged(&file, single).await
        && previous.iter().all(|id| run.has(BlobKind::Data, id))
    {
        return Ok(Opened { file, content: Ok(Content::Unchanged(previous, size)) });
    }
    let content = async {
        let mut stream = run.patient(files.open(&file)).await??;
        let mut head = BytesMut::new();
        let ended = gather(run, &mut stream, &mut head, MIN_SIZE).await?;
        // A store may give more than asked for in its last piece.
        if ended && head.len() <= MIN_SIZE {
            Ok(Content::Whole(head))
        } else {
            Ok(Content::Long(head, stream))
        }
    };
    let content = content.await;
    Ok(Opened { file, content })
}

/// The parent's trees, as the files ahead look them up.
struct Trees<'a> {
    run: &'a Run,
    root: Option<Id>,
}

impl Trees<'_> {
    /// The blobs and the size of a file that the parent has just so. A size that is not known before the file is
    /// read tells nothing: the fingerprint does.
    async fn unchanged(&self, file: &VirtualFile, single: Option<&Node>) -> Option<(Vec<Id>, u64)> {
        let fingerprint = file.fingerprint?;
        let node = if file.path.is_empty() { single?.clone() } else { self.find(&file.path).await? };
        let same = node.kind == NodeKind::File
            && file.size.is_none_or(|size| node.size == size)
            && node.mtime == file.mtime
            && node.inode == fingerprint;
        let size = node.size;
        node.content.filter(|_| same).map(|content| (content, size))
    }

    async fn find(&self, path: &[u8]) -> Option<Node> {
        let mut subtree = self.root;
        let mut found: Option<Node> = None;
        for name in path.split(|byte| *byte == b'/') {
            let id = subtree.filter(|id| self.run.has(BlobKind::Tree, id))?;
            let tree = self.run.shared.tree(id).await.ok()?;
            let node = tree.find(name)?.clone();
            subtree = node.subtree;
            found = Some(node);
        }
        found
    }
}

/// A directory that exists in the snapshot only; its times become those of its newest entry, so that it does
/// not change unless something in it does.
pub(super) fn virtual_dir(name: &[u8], run: &Run) -> Node {
    let mut node = Node::new(name, NodeKind::Dir);
    node.mode = FileMode::from_unix(0o040_700);
    own(&mut node, run);
    node
}

fn virtual_file(name: &[u8], file: &VirtualFile, run: &Run) -> Node {
    let mut node = Node::new(name, NodeKind::File);
    node.mode = FileMode::from_unix(0o100_000 | file.permissions);
    (node.mtime, node.atime, node.ctime) = (file.mtime.local(), file.mtime.local(), file.mtime.local());
    node.inode = file.fingerprint.unwrap_or(0);
    node.links = 1;
    node.content = Some(Vec::new());
    own(&mut node, run);
    node
}

fn own(node: &mut Node, run: &Run) {
    let host = &run.shared.host;
    (node.uid, node.gid) = (host.uid, host.gid);
    (node.user, node.group) = (run.names.user(host.uid), run.names.group(host.gid));
}
