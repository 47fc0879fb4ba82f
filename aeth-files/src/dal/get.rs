//! Reading.

use super::OpendalAdapter;
use super::error::from_dal;
use super::meta::{missing, same};
use aeth_core::blob::{Blob, Capability, GetOptions, GetRange};
use aeth_core::{BlobPath, ByteStream, ClockExt, Error, ErrorKind, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use opendal::Metadata;
use opendal::options::{ReadOptions, ReaderOptions};
use std::ops::Range;

/// How often a blob that changes while it is read is tried again.
const TRIES: u32 = 16;

impl OpendalAdapter {
    pub(super) async fn get(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.allow(&options)?;
        let place = self.place(path)?;
        for _ in 0..TRIES {
            let found = self.find(place).await?;
            let meta = self.meta(path.clone(), &found);
            options.check(meta.etag.as_ref(), meta.modified)?;
            if options.head {
                return Ok(Blob::new(meta, 0..0, stream::empty().boxed()));
            }
            let range = match &options.range {
                Some(range) => range.resolve(meta.size)?,
                None => 0..meta.size,
            };
            if range.is_empty() {
                return Ok(Blob::new(meta, range, stream::empty().boxed()));
            }
            if let Some(body) = self.read(place, &found, range.clone()).await? {
                return Ok(Blob::new(meta, range, body));
            }
        }
        Err(Error::new(ErrorKind::Busy, "the blob changed every time that it was read")
            .with_remedy("read it when it is written less often"))
    }

    /// Refuses what is not claimed.
    fn allow(&self, options: &GetOptions) -> Result<()> {
        let conditional = options.if_match.is_some()
            || options.if_none_match.is_some()
            || options.if_modified_since.is_some()
            || options.if_unmodified_since.is_some();
        let suffix = matches!(options.range, Some(GetRange::Suffix(_)));
        let needs = [
            (options.version.is_some(), Capability::Versions),
            (options.range.is_some(), Capability::RangeGet),
            (suffix, Capability::SuffixGet),
            (conditional, Capability::ConditionalGet),
        ];
        let needs = needs.into_iter().filter(|(needed, _)| *needed);
        needs.map(|(_, needed)| needed).try_for_each(|needed| self.claims.require(needed))
    }

    /// The bytes of one state of a blob; nothing when it changed meanwhile.
    async fn read(&self, place: &str, found: &Metadata, range: Range<u64>) -> Result<Option<ByteStream>> {
        let held = found.etag().filter(|_| self.theirs.read_with_if_match).map(str::to_owned);
        let changed = |error: &Error| {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Precondition)
                || (held.is_none() && error.kind() == ErrorKind::Invalid)
        };
        let length = range.end - range.start;
        if length <= self.options.part_size as u64 {
            let options =
                ReadOptions { range: range.into(), if_match: held.clone(), ..ReadOptions::default() };
            let bytes = match self.call(self.operator.read_options(place, options)).await {
                Ok(buffer) => buffer.to_bytes(),
                Err(error) if changed(&error) => return Ok(None),
                Err(error) => return self.short(place, found, error).await,
            };
            if bytes.len() as u64 != length || (held.is_none() && !self.is_still(place, found).await?) {
                return Ok(None);
            }
            return Ok(Some(stream::iter([Ok(bytes)]).boxed()));
        }
        let options = ReaderOptions { if_match: held.clone(), ..ReaderOptions::default() };
        let reader = self.call(self.operator.reader_options(place, options)).await?;
        let opened = self.call(reader.into_bytes_stream(range)).await?;
        Ok(Some(self.watched(place.to_owned(), opened, found.clone(), length, held.is_none())))
    }

    /// What an error of a read means: another state, or trouble.
    async fn short(&self, place: &str, found: &Metadata, error: Error) -> Result<Option<ByteStream>> {
        match self.is_still(place, found).await {
            Ok(false) => Ok(None),
            _ => Err(error),
        }
    }

    /// True when a blob is still in this state. One that is gone was read whole: that is a state too.
    async fn is_still(&self, place: &str, found: &Metadata) -> Result<bool> {
        match self.find(place).await {
            Ok(now) => Ok(same(&now, found)),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A stream that fails when the service stalls, gives another length, or the blob changed meanwhile.
    fn watched(
        &self,
        place: String,
        opened: opendal::FuturesBytesStream,
        found: Metadata,
        length: u64,
        compare: bool,
    ) -> ByteStream {
        let state = (self.clone(), Some(opened), 0_u64);
        stream::try_unfold(state, move |(adapter, opened, done)| {
            let (place, found) = (place.clone(), found.clone());
            async move {
                let Some(mut opened) = opened else { return Ok(None) };
                let next = adapter.options.clock.timeout(adapter.options.timeout, opened.try_next()).await?;
                let next = next.map_err(|error| {
                    let own = error.downcast::<opendal::Error>();
                    own.map_or_else(Error::from_io, from_dal)
                });
                if let Some(chunk) = next? {
                    let done = done + chunk.len() as u64;
                    return Ok(Some((chunk, (adapter, Some(opened), done))));
                }
                if done != length {
                    return Err(Error::unavailable("the service ended the blob too early")
                        .with_component(adapter.name.to_string())
                        .with_key(&place));
                }
                if compare && !adapter.is_still(&place, &found).await? {
                    return Err(Error::unavailable("the blob changed while it was read")
                        .with_component(adapter.name.to_string())
                        .with_key(&place)
                        .with_remedy("read it again"));
                }
                Ok(None)
            }
        })
        .boxed()
    }

    /// True when a blob is there.
    pub(super) async fn is_there(&self, place: &str) -> Result<bool> {
        match self.find(place).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == missing().kind() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
