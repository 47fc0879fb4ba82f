//! Checking on the way up.

use super::{Inside, plain, shown};
use crate::checksum::Verifier;
use aeth_core::blob::{Blob, BlobStore, GetOptions};
use aeth_core::{BlobPath, Body, ByteStream, Error, Result, collect_stream};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

/// Blobs up to this length are checked before any byte is given.
const WHOLE: u64 = 1 << 20;

fn damaged(path: &BlobPath) -> Error {
    shown(Error::corrupt("the bytes are not those that were written"), path)
        .with_remedy("restore the blob from another copy")
}

impl Inside {
    pub(super) async fn get(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        let checked = !options.head && options.range.is_none();
        let mut blob = self.inner.get_opts(path, options).await?;
        blob.meta = plain(blob.meta)?;
        let Some(sum) = blob.meta.checksum.clone().filter(|_| checked) else { return Ok(blob) };
        let mut verifier = Verifier::new(sum).map_err(|error| shown(error, path))?;
        let size = blob.meta.size;
        if size <= WHOLE {
            let bytes = collect_stream(blob.body, WHOLE).await?;
            verifier.update(&bytes);
            verifier.finish().map_err(|_| damaged(path))?;
            blob.body = Body::Bytes(bytes).into_stream();
            return Ok(blob);
        }
        blob.body = checking(blob.body, verifier, path.clone());
        Ok(blob)
    }
}

/// A stream one chunk behind, so that its last chunk is given only when all of it is right.
fn checking(body: ByteStream, verifier: Verifier, path: BlobPath) -> ByteStream {
    let state = (Some(body), Some(verifier), None::<Bytes>, path);
    stream::try_unfold(state, |(body, mut verifier, mut held, path)| async move {
        let Some(mut body) = body else { return Ok(None) };
        loop {
            let Some(chunk) = body.next().await else {
                verifier.take().map_or(Ok(()), Verifier::finish).map_err(|_| damaged(&path))?;
                return Ok(held.map(|last| (last, (None, None, None, path))));
            };
            let chunk = chunk?;
            if let Some(verifier) = &mut verifier {
                verifier.update(&chunk);
            }
            if let Some(before) = held.replace(chunk) {
                return Ok(Some((before, (Some(body), verifier, held, path))));
            }
        }
    })
    .boxed()
}
