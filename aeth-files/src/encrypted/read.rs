//! Opening on the way up.

use super::Encrypted;
use super::object::{Known, Object, plain, plain_len, shown};
use super::statistics::Counters;
use aeth_core::blob::{Blob, BlobMeta, ETagMatch, GetOptions, GetRange};
use aeth_core::seal::{Cover, Keyset, Opener, RunOpener};
use aeth_core::{BlobPath, ByteStream, Error, ErrorKind, Result, collect_sized, collect_stream};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::ops::Range;
use std::sync::Arc;

/// Ciphertexts up to this length are opened in one piece.
const WHOLE: u64 = 256 << 10;
/// The same for a caller who gathers what is read anyway.
const GATHERED: u64 = 32 << 20;
/// How often a ranged read begins anew because the blob was replaced meanwhile.
const ATTEMPTS: usize = 32;

impl Encrypted {
    pub(super) async fn get_opened(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        let keyset = self.keyset();
        match &options.range {
            Some(range) if !options.head => {
                let range = range.clone();
                self.get_range(&keyset, path, &options, &range).await
            }
            _ if options.head => {
                let blob = self.inner.get_opts(path, options.clone()).await?;
                let meta = self.plain_meta(&keyset, blob.meta, &options).await?;
                Ok(Blob::new(meta, 0..0, stream::empty().boxed()))
            }
            _ => self.get_whole(&keyset, path, options).await,
        }
    }

    async fn get_whole(&self, keyset: &Keyset, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        let blob = self.inner.get_opts(path, options.clone()).await?;
        let whole = if options.in_one_piece { GATHERED } else { WHOLE };
        if blob.meta.size <= whole {
            let sealed = collect_sized(blob.body, whole, blob.meta.size).await?;
            let opened = self.open_all(keyset, &blob.meta, sealed).map_err(|error| shown(error, path))?;
            let meta = plain(blob.meta, opened.len() as u64);
            let range = 0..meta.size;
            return Ok(Blob::new(meta, range, one(opened)));
        }
        let (aad, identity) = self.identity(keyset, &blob.meta).map_err(|error| shown(error, path))?;
        let commitment = identity.as_ref().map(|identity| &identity.commitment);
        let opener = keyset.opener(&aad, commitment);
        let body = open(blob.body, opener, path.clone(), Arc::clone(&self.counters));
        let meta = self.plain_meta(keyset, blob.meta, &options).await?;
        let range = 0..meta.size;
        Ok(Blob::new(meta, range, body))
    }

    /// Opens a whole object that is in memory.
    fn open_all(&self, keyset: &Keyset, meta: &BlobMeta, sealed: Bytes) -> Result<Bytes> {
        let object = self.object(keyset, meta, &sealed)?;
        // What arrived, not what was announced.
        let map = object.opener.map(sealed.len() as u64)?;
        let cover = match map.plaintext_len() {
            0 => map.cover_last(),
            length => map.cover(0..length)?,
        };
        self.open_cover(&object, &cover, sealed)
    }

    fn open_cover(&self, object: &Object, cover: &Cover, sealed: Bytes) -> Result<Bytes> {
        let opened = object.opener.open_cover(cover, sealed)?;
        self.counters.opened.add(cover.segments().len() as u64);
        Ok(opened)
    }

    /// The meta of the plaintext; reads the beginning where only that tells the key.
    async fn plain_meta(&self, keyset: &Keyset, meta: BlobMeta, options: &GetOptions) -> Result<BlobMeta> {
        let path = meta.path.clone();
        let (_, identity) = self.identity(keyset, &meta).map_err(|error| shown(error, &path))?;
        let size = match Self::segment_size(keyset, identity.as_ref()) {
            Some(size) => plain_len(size, meta.size).map_err(|error| shown(error, &path))?,
            None if identity.is_some() => {
                let missing = Error::new(ErrorKind::Denied, "the keyset lacks the key of this blob");
                return Err(shown(
                    missing.with_remedy("open the store with the keyset that sealed it"),
                    &path,
                ));
            }
            None => {
                let front = self.pinned(&path, &meta, options, 0..self.front_len(keyset)).await?;
                let front = collect_stream(front.body, u64::MAX).await?;
                let object = self.object(keyset, &meta, &front).map_err(|error| shown(error, &path))?;
                object.map.plaintext_len()
            }
        };
        Ok(plain(meta, size))
    }

    async fn get_range(
        &self,
        keyset: &Keyset,
        path: &BlobPath,
        options: &GetOptions,
        range: &GetRange,
    ) -> Result<Blob> {
        if let Some(known) = self.opened.get(path)
            && options.version.is_none()
            && let Some(blob) = self.get_known(path, options, range, &known).await?
        {
            return Ok(blob);
        }
        for _ in 0..ATTEMPTS {
            let (meta, object) = self.begin(keyset, path, options).await?;
            let wanted = range.resolve(object.map.plaintext_len()).map_err(|error| shown(error, path))?;
            if wanted.is_empty() {
                let size = object.map.plaintext_len();
                return Ok(Blob::new(plain(meta, size), wanted, stream::empty().boxed()));
            }
            let cover = object.map.cover(wanted.clone())?;
            match self.pinned(path, &meta, options, cover.ciphertext()).await {
                Ok(blob) => return self.opened_range(path, blob, &object, &cover, wanted).await,
                Err(error) if error.kind() == ErrorKind::Precondition => {}
                Err(error) => return Err(error),
            }
        }
        Err(shown(Error::new(ErrorKind::Busy, "the blob is replaced again and again"), path))
    }

    /// A ranged read of an object that was read before, in one request; `None` when it is another one now.
    async fn get_known(
        &self,
        path: &BlobPath,
        options: &GetOptions,
        range: &GetRange,
        known: &Known,
    ) -> Result<Option<Blob>> {
        // A range that does not fit may fit what is there now.
        let Ok(wanted) = range.resolve(known.object.map.plaintext_len()) else { return Ok(None) };
        if wanted.is_empty() {
            return Ok(None);
        }
        let cover = known.object.map.cover(wanted.clone())?;
        let below = GetOptions::default()
            .with_range(cover.ciphertext())
            .with_if_match(ETagMatch::from(known.etag.clone()));
        let blob = match self.inner.get_opts(path, below).await {
            Ok(blob) => blob,
            Err(error) if error.kind() == ErrorKind::Precondition => {
                self.opened.remove(path);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        options.check(blob.meta.etag.as_ref(), blob.meta.modified).map_err(|error| shown(error, path))?;
        self.opened_range(path, blob, &known.object, &cover, wanted).await.map(Some)
    }

    /// Finds the key of an object and proves its length by its last segment.
    async fn begin(
        &self,
        keyset: &Keyset,
        path: &BlobPath,
        options: &GetOptions,
    ) -> Result<(BlobMeta, Object)> {
        for _ in 0..ATTEMPTS {
            let mut below = options.clone();
            below.range = Some(GetRange::Bounded(0..self.front_len(keyset)));
            let blob = self.inner.get_opts(path, below).await.map_err(|error| match error.kind() {
                // Nothing can be read from its beginning: it is empty, which no sealed object is.
                ErrorKind::Invalid => shown(Error::corrupt("the blob is not sealed: it is empty"), path),
                _ => error,
            })?;
            let (meta, body) = (blob.meta, blob.body);
            let front = collect_stream(body, u64::MAX).await?;
            let object = self.object(keyset, &meta, &front).map_err(|error| shown(error, path))?;
            let last = object.map.cover_last();
            let sealed = match self.pinned(path, &meta, options, last.ciphertext()).await {
                Ok(blob) => collect_stream(blob.body, u64::MAX).await?,
                Err(error) if error.kind() == ErrorKind::Precondition => continue,
                Err(error) => return Err(error),
            };
            self.open_cover(&object, &last, sealed).map_err(|error| shown(error, path))?;
            if let Some(etag) = meta.etag.clone().filter(|_| self.pins) {
                self.opened.insert(path.clone(), Known { etag, object: object.clone() });
            }
            return Ok((meta, object));
        }
        Err(shown(Error::new(ErrorKind::Busy, "the blob is replaced again and again"), path))
    }

    /// Reads sealed bytes of the very state that `meta` is of, where the store can tell.
    async fn pinned(
        &self,
        path: &BlobPath,
        meta: &BlobMeta,
        options: &GetOptions,
        range: Range<u64>,
    ) -> Result<Blob> {
        let mut below = GetOptions::default().with_range(range);
        below.version.clone_from(&options.version);
        if let Some(etag) = meta.etag.clone().filter(|_| self.pins) {
            below.if_match = Some(ETagMatch::from(etag));
        }
        self.inner.get_opts(path, below).await
    }

    async fn opened_range(
        &self,
        path: &BlobPath,
        blob: Blob,
        object: &Object,
        cover: &Cover,
        wanted: Range<u64>,
    ) -> Result<Blob> {
        let meta = plain(blob.meta, object.map.plaintext_len());
        let sealed = cover.ciphertext();
        let body = if sealed.end - sealed.start <= WHOLE {
            let sealed = collect_stream(blob.body, WHOLE).await?;
            one(self.open_cover(object, cover, sealed).map_err(|error| shown(error, path))?)
        } else {
            run(blob.body, object.opener.run(cover), path.clone(), Arc::clone(&self.counters))
        };
        Ok(Blob::new(meta, wanted, body))
    }
}

fn one(bytes: Bytes) -> ByteStream {
    aeth_core::Body::Bytes(bytes).into_stream()
}

/// Opens a whole object as it arrives.
fn open(body: ByteStream, opener: Opener, path: BlobPath, counters: Arc<Counters>) -> ByteStream {
    stream::try_unfold(
        (body, Bytes::new(), Some((opener, counters)), path),
        |(mut body, mut data, mut opener, path)| async move {
            loop {
                let Some((active, counters)) = &mut opener else { return Ok(None) };
                if let Some(opened) = active.push(&mut data).map_err(|error| shown(error, &path))? {
                    counters.opened.increment();
                    return Ok(Some((opened, (body, data, opener, path))));
                }
                if let Some(chunk) = body.next().await {
                    data = chunk?;
                    continue;
                }
                let Some((active, counters)) = opener.take() else { return Ok(None) };
                let last = active.finish().map_err(|error| shown(error, &path))?;
                counters.opened.increment();
                return Ok((!last.is_empty()).then_some((last, (body, data, None, path))));
            }
        },
    )
    .boxed()
}

/// Opens the segments of a range as they arrive.
fn run(body: ByteStream, opener: RunOpener, path: BlobPath, counters: Arc<Counters>) -> ByteStream {
    stream::try_unfold(
        (body, Bytes::new(), Some((opener, counters)), path),
        |(mut body, mut data, mut opener, path)| async move {
            loop {
                let Some((active, counters)) = &mut opener else { return Ok(None) };
                if let Some(opened) = active.push(&mut data).map_err(|error| shown(error, &path))? {
                    counters.opened.increment();
                    return Ok(Some((opened, (body, data, opener, path))));
                }
                if let Some(chunk) = body.next().await {
                    data = chunk?;
                    continue;
                }
                let Some((active, _)) = opener.take() else { return Ok(None) };
                active.finish().map_err(|error| shown(error, &path))?;
                return Ok(None);
            }
        },
    )
    .boxed()
}
