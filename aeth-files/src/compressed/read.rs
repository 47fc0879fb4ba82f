//! Opening on the way up.

use super::seekable::{FOOTER, Table, expand, frame_length, is_table};
use super::{Inside, Known, MARK, SIZE, plain, shown};
use crate::blocking::blocking;
use aeth_core::blob::{Blob, BlobMeta, BlobStore, BlobStoreExt, Capability, ETagMatch, GetOptions, GetRange};
use aeth_core::{BlobPath, Body, ByteStream, Error, ErrorKind, Result, collect_stream};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::ops::Range;
use std::sync::Arc;

/// How often a read begins anew because the blob was replaced meanwhile.
const ATTEMPTS: usize = 32;
/// Stored blobs up to this length are opened in one piece.
const WHOLE: u64 = 256 << 10;
/// So much of a blob's end is read to find its table; most tables are in it.
const TAIL: u64 = 16 << 10;

fn is_compressed(meta: &BlobMeta) -> bool {
    meta.attributes.as_ref().is_some_and(|attributes| attributes.user.contains_key(MARK))
}

fn stated_size(meta: &BlobMeta) -> Option<u64> {
    meta.attributes.as_ref()?.user.get(SIZE)?.parse().ok()
}

fn changed(path: &BlobPath) -> Error {
    shown(Error::new(ErrorKind::Precondition, "the blob was replaced while it was read"), path)
}

impl Inside {
    pub(super) async fn get(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        match options.range.clone().filter(|_| !options.head) {
            Some(range) => self.get_range(path, options, &range).await,
            None => self.get_whole(path, options).await,
        }
    }

    async fn get_whole(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        for _ in 0..ATTEMPTS {
            let mut blob = self.inner.get_opts(path, options.clone()).await?;
            if !is_compressed(&blob.meta) {
                blob.meta = plain(blob.meta, None);
                return Ok(blob);
            }
            let (stored, stated) = (blob.meta.size, stated_size(&blob.meta));
            if !options.head && stored <= WHOLE {
                let bytes = collect_stream(opened(blob.body, stated), u64::MAX).await;
                let bytes = bytes.map_err(|error| shown(error, path))?;
                let meta = plain(blob.meta, Some(bytes.len() as u64));
                let range = 0..meta.size;
                return Ok(Blob::new(meta, range, Body::Bytes(bytes).into_stream()));
            }
            let size = match stated {
                Some(size) => size,
                None => match self.table(path, &blob.meta, options.version.clone()).await {
                    Ok(table) => table.plain_len(),
                    Err(error) if error.kind() == ErrorKind::Precondition => continue,
                    Err(error) => return Err(error),
                },
            };
            let meta = plain(blob.meta, Some(size));
            if options.head {
                return Ok(Blob::new(meta, 0..0, stream::empty().boxed()));
            }
            let named = path.clone();
            let body = opened(blob.body, Some(size)).map_err(move |error| shown(error, &named)).boxed();
            return Ok(Blob::new(meta, 0..size, body));
        }
        Err(busy(path))
    }

    async fn get_range(&self, path: &BlobPath, options: GetOptions, range: &GetRange) -> Result<Blob> {
        if matches!(range, GetRange::Suffix(_)) {
            self.caps.require(Capability::SuffixGet)?;
        } else {
            self.caps.require(Capability::RangeGet)?;
        }
        for attempt in 0..ATTEMPTS {
            let known = match self.known.get(path).filter(|_| attempt == 0 && options.version.is_none()) {
                Some(known) => known,
                None => match self.learn(path, &options).await {
                    Ok(known) => known,
                    Err(error) if error.kind() == ErrorKind::Precondition && !conditional(&options) => {
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let named = |error: Error| shown(error, path);
            let size = known.table.as_ref().map_or(known.meta.size, Table::plain_len);
            // A range that does not fit may fit what is there now.
            let wanted = match range.resolve(size) {
                Ok(wanted) => wanted,
                Err(_) if attempt == 0 => continue,
                Err(error) => return Err(named(error)),
            };
            if wanted.is_empty() {
                let meta = plain(known.meta.clone(), Some(size));
                return Ok(Blob::new(meta, wanted, stream::empty().boxed()));
            }
            let (cover, skip) = match &known.table {
                Some(table) => table.cover(&wanted),
                None => (wanted.clone(), 0),
            };
            let blob = match self.pinned(path, &known.meta, cover, options.version.clone()).await {
                Ok(blob) => blob,
                Err(error) if error.kind() == ErrorKind::Precondition => {
                    self.known.remove(path);
                    continue;
                }
                Err(error) => return Err(error),
            };
            options.check(blob.meta.etag.as_ref(), blob.meta.modified).map_err(named)?;
            let mut meta = plain(blob.meta, Some(size));
            meta.attributes = meta.attributes.or_else(|| plain(known.meta.clone(), None).attributes);
            let body = match &known.table {
                Some(_) => {
                    let length = wanted.end - wanted.start;
                    let named = path.clone();
                    let opened = opened_frames(blob.body).map_err(move |error| shown(error, &named));
                    cut(opened.boxed(), skip, length)
                }
                None => blob.body,
            };
            return Ok(Blob::new(meta, wanted, body));
        }
        Err(busy(path))
    }

    /// What there is to know about a blob before a part of it can be read.
    async fn learn(&self, path: &BlobPath, options: &GetOptions) -> Result<Arc<Known>> {
        let mut head = options.clone();
        head.range = None;
        head.head = true;
        let meta = self.inner.get_opts(path, head).await?.meta;
        let table = match is_compressed(&meta) {
            true => Some(self.table(path, &meta, options.version.clone()).await?),
            false => None,
        };
        let known = Arc::new(Known { meta, table });
        if known.meta.etag.is_some() && options.version.is_none() {
            self.known.insert(path.clone(), Arc::clone(&known));
        }
        Ok(known)
    }

    /// The table of a compressed blob.
    async fn table(&self, path: &BlobPath, meta: &BlobMeta, version: Option<String>) -> Result<Table> {
        let stored = meta.size;
        let named = |error: Error| shown(error, path);
        let read = |range: Range<u64>| {
            let version = version.clone();
            async move { collect_stream(self.pinned(path, meta, range, version).await?.body, u64::MAX).await }
        };
        let tail = read(stored.saturating_sub(TAIL)..stored).await?;
        let footer = tail.len().checked_sub(FOOTER).and_then(|at| tail.get(at..)).unwrap_or_default();
        let length = Table::length_by(footer, stored).map_err(named)?;
        let table = match usize::try_from(length).ok().and_then(|length| tail.len().checked_sub(length)) {
            Some(at) => tail.slice(at..),
            None => read(stored - length..stored).await?,
        };
        Table::parse(&table, stored).map_err(named)
    }

    /// Reads stored bytes of the very state that `meta` is of.
    async fn pinned(
        &self,
        path: &BlobPath,
        meta: &BlobMeta,
        range: Range<u64>,
        version: Option<String>,
    ) -> Result<Blob> {
        let mut options = GetOptions::default().with_range(range);
        options.version = version;
        if let Some(etag) = meta.etag.clone().filter(|_| self.pins) {
            options.if_match = Some(ETagMatch::from(etag));
        }
        let blob = match self.inner.get_opts(path, options).await {
            // It became shorter than where the range starts.
            Err(error) if error.kind() == ErrorKind::Invalid => return Err(changed(path).with_source(error)),
            blob => blob?,
        };
        if blob.meta.etag != meta.etag {
            return Err(changed(path));
        }
        Ok(blob)
    }

    /// Sizes as a head tells them, for a page.
    pub(super) async fn size_of(&self, path: &BlobPath) -> Result<u64> {
        Ok(self.head(path).await?.size)
    }
}

fn conditional(options: &GetOptions) -> bool {
    options.if_match.is_some()
        || options.if_none_match.is_some()
        || options.if_modified_since.is_some()
        || options.if_unmodified_since.is_some()
}

fn busy(path: &BlobPath) -> Error {
    shown(Error::new(ErrorKind::Busy, "the blob is replaced again and again"), path)
}

/// The plain bytes of a whole stored blob, which must be as many as stated.
fn opened(body: ByteStream, stated: Option<u64>) -> ByteStream {
    let frames = opened_frames(body);
    stream::try_unfold((Some(frames), 0_u64), move |(frames, read)| async move {
        let Some(mut frames) = frames else { return Ok(None) };
        match frames.next().await {
            Some(chunk) => {
                let chunk = chunk?;
                let read = read + chunk.len() as u64;
                Ok(Some((chunk, (Some(frames), read))))
            }
            None if stated.is_some_and(|stated| stated != read) => {
                Err(Error::corrupt("the compressed blob was cut or extended"))
            }
            None => Ok(None),
        }
    })
    .boxed()
}

/// The plain bytes of stored frames, frame by frame.
fn opened_frames(body: ByteStream) -> ByteStream {
    let frames = stream::try_unfold((Some(body), BytesMut::new()), |(body, mut ready)| async move {
        let Some(mut body) = body else { return Ok(None) };
        loop {
            if let Some(length) = frame_length(&ready) {
                let frame = ready.split_to(length).freeze();
                return Ok(Some((frame, (Some(body), ready))));
            }
            match body.next().await {
                Some(chunk) => ready.extend_from_slice(&chunk?),
                None if ready.is_empty() => return Ok(None),
                None => return Err(Error::corrupt("the compressed blob was cut in a frame")),
            }
        }
    });
    frames
        .map_ok(|frame: Bytes| {
            blocking(move || if is_table(&frame) { Ok(Bytes::new()) } else { expand(&frame) })
        })
        .try_buffered(2)
        .try_filter(|chunk| std::future::ready(!chunk.is_empty()))
        .boxed()
}

/// A part of a stream.
fn cut(body: ByteStream, skip: u64, length: u64) -> ByteStream {
    stream::try_unfold((body, skip, length), |(mut body, mut skip, length)| async move {
        if length == 0 {
            return Ok(None);
        }
        loop {
            let Some(chunk) = body.next().await else {
                return Err(Error::corrupt("the compressed blob was cut").with_component("compressed"));
            };
            let mut chunk = chunk?;
            let passed = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            drop(chunk.split_to(passed));
            skip -= passed as u64;
            if chunk.is_empty() {
                continue;
            }
            chunk.truncate(usize::try_from(length).unwrap_or(usize::MAX));
            let left = length - chunk.len() as u64;
            return Ok(Some((chunk, (body, skip, left))));
        }
    })
    .boxed()
}
