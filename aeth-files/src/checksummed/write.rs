//! Summing on the way down.

use super::{Inside, PREFIX, shown, with_sum};
use crate::checksum::{Verifier, check_length};
use aeth_core::blob::{
    BlobStore, BlobStoreExt, Checksum, CopyAttributes, CopyMode, CopyOptions, PutMode, PutOptions, PutResult,
};
use aeth_core::{BlobPath, Body, ByteStream, Result};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::sync::Arc;

/// Bodies up to this length are kept in memory until they are summed.
const SHORT: u64 = 8 << 20;

impl Inside {
    pub(super) async fn put(
        &self,
        path: &BlobPath,
        body: Body,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        let demanded = options.checksum.take();
        let mut demand = Verifier::of(demanded.as_ref()).map_err(|error| shown(error, path))?;
        let length = body.length();
        let mut stream = match body {
            Body::Bytes(bytes) => {
                return self.put_bytes(path, bytes, demand, options).await;
            }
            // Two passes: the bytes are the same each time.
            Body::Reopenable(source) if length.is_none_or(|length| length > SHORT) => {
                let sum =
                    self.sum(source.open(), length, demand).await.map_err(|error| shown(error, path))?;
                options.attributes = with_sum(options.attributes, &sum)?;
                return self.inner.put_opts(path, Body::Reopenable(source), options).await;
            }
            body => body.into_stream(),
        };
        let mut short = BytesMut::new();
        while length.is_none_or(|length| length <= SHORT) && short.len() as u64 <= SHORT {
            let Some(chunk) = stream.next().await else {
                check_length(length, short.len() as u64).map_err(|error| shown(error, path))?;
                return self.put_bytes(path, short.freeze(), demand, options).await;
            };
            short.extend_from_slice(&chunk?);
        }
        let begun = stream::iter((!short.is_empty()).then(|| Ok(short.freeze())));
        let stream = begun.chain(stream).boxed();
        let swaps = matches!(options.mode, PutMode::Match(_));
        if swaps || !self.replaces {
            let body = passing(stream, length, demand.take(), None);
            return self.inner.put_opts(path, Body::Once(body, length), options).await;
        }
        self.put_staged(path, stream, length, demand, options).await
    }

    async fn put_bytes(
        &self,
        path: &BlobPath,
        bytes: Bytes,
        demand: Option<Verifier>,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        if let Some(mut demand) = demand {
            demand.update(&bytes);
            demand.finish().map_err(|error| shown(error, path))?;
        }
        let mut summing = self.algorithm.verifier()?;
        summing.update(&bytes);
        options.attributes = with_sum(options.attributes, &summing.sum())?;
        self.inner.put_opts(path, Body::Bytes(bytes), options).await
    }

    async fn sum(
        &self,
        mut stream: ByteStream,
        length: Option<u64>,
        mut demand: Option<Verifier>,
    ) -> Result<Checksum> {
        let (mut summing, mut read) = (self.algorithm.verifier()?, 0);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            read += chunk.len() as u64;
            summing.update(&chunk);
            if let Some(demand) = &mut demand {
                demand.update(&chunk);
            }
        }
        check_length(length, read)?;
        demand.map_or(Ok(()), Verifier::finish)?;
        Ok(summing.sum())
    }

    /// Writes a long stream aside, and renames it with the checksum that it turned out to have.
    async fn put_staged(
        &self,
        path: &BlobPath,
        stream: ByteStream,
        length: Option<u64>,
        demand: Option<Verifier>,
        options: PutOptions,
    ) -> Result<PutResult> {
        let aside = BlobPath::new(format!("{PREFIX}/staged/{}", crate::random::hex::<16>()?))?;
        let summing = Arc::new(Mutex::new(Some(self.algorithm.verifier()?)));
        let body = passing(stream, length, demand, Some(Arc::clone(&summing)));
        let put = PutOptions::default().with_tags(options.tags);
        let staged = self.inner.put_opts(&aside, Body::Once(body, length), put).await;
        let renamed = match (staged, summing.lock().take()) {
            (Err(error), _) => Err(error),
            (Ok(_), None) => Err(aeth_core::Error::other("the body was not read")),
            (Ok(staged), Some(summing)) => {
                let attributes = with_sum(options.attributes, &summing.sum())?;
                let mut rename = CopyOptions::default().with_attributes(CopyAttributes::Replace(attributes));
                rename.mode = match options.mode {
                    PutMode::Create => CopyMode::Create,
                    _ => CopyMode::Overwrite,
                };
                Ok((staged, rename))
            }
        };
        let moved = match renamed {
            Ok((staged, rename)) => self.inner.rename_opts(&aside, path, rename).await.map(|mut moved| {
                moved.size = moved.size.or(staged.size);
                moved
            }),
            Err(error) => Err(error),
        };
        if moved.is_err()
            && let Err(error) = self.inner.delete(&aside).await
        {
            tracing::debug!(%error, path = %aside, "what was written aside stays");
        }
        moved
    }
}

/// A stream that checks what is demanded of it and sums itself, and fails in place of ending when it is not what it
/// should be.
fn passing(
    stream: ByteStream,
    length: Option<u64>,
    demand: Option<Verifier>,
    summing: Option<Arc<Mutex<Option<Verifier>>>>,
) -> ByteStream {
    let state = (Some(stream), demand, summing, 0_u64);
    stream::try_unfold(state, move |(stream, mut demand, summing, read)| async move {
        let Some(mut stream) = stream else { return Ok(None) };
        let Some(chunk) = stream.next().await else {
            check_length(length, read)?;
            demand.take().map_or(Ok(()), Verifier::finish)?;
            return Ok(None);
        };
        let chunk = chunk?;
        if let Some(demand) = &mut demand {
            demand.update(&chunk);
        }
        if let Some(shared) = &summing
            && let Some(summing) = &mut *shared.lock()
        {
            summing.update(&chunk);
        }
        let read = read + chunk.len() as u64;
        Ok(Some((chunk, (Some(stream), demand, summing, read))))
    })
    .boxed()
}
