//! Reading.

use super::{ObjectStoreAdapter, mark};
use crate::adapt::convert::inner_path;
use crate::adapt::error::{inner, of_read};
use aeth_core::blob::{Blob, BlobMeta, Capability, ETagMatch, GetOptions, GetRange};
use aeth_core::{BlobPath, ByteStream, Clock, ClockExt, Error, ErrorKind, Result};
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use object_store::path::Path;
use object_store::{GetResult, ObjectMeta};
use std::sync::Arc;
use std::time::Duration;

impl ObjectStoreAdapter {
    pub(super) async fn get(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.allow(&options)?;
        let location = self.outer(path.as_str())?;
        let answer = self.call(self.store.get_opts(&location, self.request(&options)?)).await;
        let found = match answer {
            Ok(found) => found,
            Err(error) => return self.explain(path, &location, options, of_read(error)).await,
        };
        let meta = self.meta(path.clone(), &found);
        options.check(meta.etag.as_ref(), meta.modified)?;
        if options.head {
            return Ok(empty(meta));
        }
        let range = found.range.clone();
        let body = self.watched(found.into_stream(), range.end.saturating_sub(range.start));
        Ok(Blob::new(meta, range, body))
    }

    /// Only what is known about a blob.
    pub(super) async fn head_of(&self, path: &BlobPath) -> Result<BlobMeta> {
        let location = self.outer(path.as_str())?;
        let options = object_store::GetOptions::new().with_head(true);
        let found = self.call(self.store.get_opts(&location, options)).await.map_err(of_read)?;
        Ok(self.meta(path.clone(), &found))
    }

    /// Refuses what is not claimed or makes no sense.
    fn allow(&self, options: &GetOptions) -> Result<()> {
        let conditional = options.if_match.is_some()
            || options.if_none_match.is_some()
            || options.if_modified_since.is_some()
            || options.if_unmodified_since.is_some();
        let suffix = matches!(options.range, Some(GetRange::Suffix(_)));
        let claims = super::BlobStore::capabilities(self);
        let needs = [
            (options.version.is_some(), Capability::Versions),
            (options.range.is_some(), Capability::RangeGet),
            (suffix, Capability::SuffixGet),
            (conditional, Capability::ConditionalGet),
        ];
        needs.into_iter().filter(|(needed, _)| *needed).try_for_each(|(_, needed)| claims.require(needed))?;
        // A range that is wrong whatever the size is found by pretending the greatest one.
        options.range.as_ref().map_or(Ok(()), |range| range.resolve(u64::MAX).map(drop))
    }

    /// The engine's words for the options. Of the conditions only single marks are among them, which spares bodies;
    /// all of them are checked on the answer.
    fn request(&self, options: &GetOptions) -> Result<object_store::GetOptions> {
        let mut request = object_store::GetOptions::new().with_head(options.head);
        request.if_match = self.single(options.if_match.as_ref());
        request.if_none_match = self.single(options.if_none_match.as_ref());
        request.version = options.version.clone();
        request.range = match options.range.as_ref().filter(|_| !options.head) {
            None => None,
            Some(GetRange::Bounded(range)) => Some(object_store::GetRange::Bounded(range.clone())),
            Some(GetRange::From(from)) => Some(object_store::GetRange::Offset(*from)),
            Some(GetRange::Suffix(length)) => Some(object_store::GetRange::Suffix(*length)),
            Some(_) => return Err(Error::unsupported("this kind of range is not known here")),
        };
        Ok(request)
    }

    fn single(&self, wanted: Option<&ETagMatch>) -> Option<String> {
        match wanted {
            Some(ETagMatch::Of(list)) => match list.as_slice() {
                // A comma would make the engine read a list.
                [one] if !one.as_str().contains(',') => mark::state(self.engine, one)?.e_tag,
                _ => None,
            },
            _ => None,
        }
    }

    /// The answer to a read that the engine refused: object_store does not tell a range outside of the blob from
    /// other failures.
    async fn explain(
        &self,
        path: &BlobPath,
        location: &Path,
        options: GetOptions,
        error: Error,
    ) -> Result<Blob> {
        let told = matches!(
            error.kind(),
            ErrorKind::NotFound
                | ErrorKind::Precondition
                | ErrorKind::Denied
                | ErrorKind::Unsupported
                | ErrorKind::Timeout
        );
        let Some(range) = options.range.as_ref().filter(|_| !told && !options.head) else {
            return Err(error);
        };
        let mut head = self.request(&options)?;
        (head.head, head.range) = (true, None);
        let Ok(found) = self.call(self.store.get_opts(location, head)).await else {
            return Err(error);
        };
        let meta = self.meta(path.clone(), &found);
        options.check(meta.etag.as_ref(), meta.modified)?;
        // The end of an empty blob is nothing, which HTTP has no range for.
        match range.resolve(meta.size)? {
            range if range.is_empty() => Ok(Blob::new(meta, range, stream::empty().boxed())),
            _ => Err(error),
        }
    }

    pub(super) fn meta(&self, path: BlobPath, found: &GetResult) -> BlobMeta {
        let mut meta = self.listed(path, &found.meta);
        meta.attributes = self.inner_attributes(&found.attributes).ok();
        meta
    }

    pub(super) fn listed(&self, path: BlobPath, found: &ObjectMeta) -> BlobMeta {
        let mut meta = BlobMeta::new(path, found.size, found.last_modified.into());
        meta.etag = mark::mark(self.engine, found.e_tag.as_deref(), found.version.as_deref());
        meta.version.clone_from(&found.version);
        meta
    }

    /// What a listing says about an object; `None` when its path is none of ours.
    pub(super) fn object(&self, found: &ObjectMeta) -> Option<BlobMeta> {
        match inner_path(&found.location) {
            Ok(path) => Some(self.listed(path, found)),
            Err(error) => {
                tracing::warn!(location = %found.location, %error, "left out of a listing");
                None
            }
        }
    }

    /// A body that fails when the engine hangs, or gives another number of bytes than it announced.
    fn watched(&self, body: BoxStream<'static, object_store::Result<Bytes>>, length: u64) -> ByteStream {
        let clock: Arc<dyn Clock> = Arc::clone(&self.options.clock);
        let limit: Duration = self.options.timeout;
        let start = (body, clock, 0_u64);
        stream::try_unfold(start, move |(mut body, clock, mut given)| async move {
            let Some(chunk) = clock.timeout(limit, body.next()).await? else {
                return match given == length {
                    true => Ok(None),
                    false => Err(cut(given, length)),
                };
            };
            let chunk = chunk.map_err(inner)?;
            given = given.saturating_add(chunk.len() as u64);
            if given > length {
                return Err(cut(given, length));
            }
            Ok(Some((chunk, (body, clock, given))))
        })
        .boxed()
    }
}

fn cut(given: u64, length: u64) -> Error {
    Error::unavailable(format!("the engine announced {length} bytes and gave {given}"))
        .with_remedy("read it again; if it stays so, something between here and the engine changes answers")
}

fn empty(meta: BlobMeta) -> Blob {
    Blob::new(meta, 0..0, stream::empty().boxed())
}
