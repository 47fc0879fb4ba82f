//! Compressing on the way down.

use super::seekable::{FRAME, Table, squeeze};
use super::{Inside, MARK, SIZE, check_attributes, shown};
use crate::blocking::blocking;
use crate::checksum::{Verifier, check_length};
use aeth_core::blob::{BlobStore, PutOptions, PutResult};
use aeth_core::{BlobPath, Body, ByteStream, Result};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// So much is compressed to see whether it is worth it.
const SAMPLE: usize = 64 << 10;
/// Shorter blobs are stored as they are.
const LEAST: usize = 512;

impl Inside {
    pub(super) async fn put(
        &self,
        path: &BlobPath,
        body: Body,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        check_attributes(&options.attributes).map_err(|error| shown(error, path))?;
        let demand = options.checksum.take();
        let demand = Verifier::of(demand.as_ref()).map_err(|error| shown(error, path))?;
        let length = body.length();
        let read = Arc::new(AtomicU64::new(0));
        let mut stream = checked(body.into_stream(), length, demand, Arc::clone(&read));
        let (mut front, mut sample, mut ended) = (Vec::new(), BytesMut::new(), false);
        while sample.len() < SAMPLE && !ended {
            match stream.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    sample.extend_from_slice(&chunk.slice(..chunk.len().min(SAMPLE - sample.len())));
                    front.push(Ok(chunk));
                }
                None => ended = true,
            }
        }
        self.known.remove(path);
        let level = self.level;
        let sample = sample.freeze();
        let worth = sample.len() >= LEAST
            && blocking(move || {
                let squeezed = squeeze(&sample, level)?.len();
                // An eighth is the least that makes up for the work of opening it.
                Ok(squeezed < sample.len() - sample.len() / 8)
            })
            .await?;
        let whole = ended.then(|| read.load(Relaxed));
        let rest = stream::iter(front).chain(stream).boxed();
        let mut result = if worth {
            let user = &mut options.attributes.user;
            user.insert(MARK.to_owned(), "1".to_owned());
            if let Some(length) = length.or(whole) {
                user.insert(SIZE.to_owned(), length.to_string());
            }
            let squeezed = squeezed(rest, level, self.parallel).boxed();
            let body = match whole {
                // A short one can be sent again by whoever is below.
                Some(_) => Body::Bytes(aeth_core::collect_stream(squeezed, u64::MAX).await?),
                None => Body::Once(squeezed, None),
            };
            self.inner.put_opts(path, body, options).await?
        } else if let Some(whole) = whole {
            let bytes = aeth_core::collect_stream(rest, whole).await?;
            self.inner.put_opts(path, Body::Bytes(bytes), options).await?
        } else {
            self.inner.put_opts(path, Body::Once(rest, length), options).await?
        };
        result.size = Some(read.load(Relaxed));
        Ok(result)
    }
}

/// A stream that fails in place of ending when it is not what was announced.
fn checked(
    stream: ByteStream,
    length: Option<u64>,
    demand: Option<Verifier>,
    read: Arc<AtomicU64>,
) -> ByteStream {
    let state = (Some(stream), demand, read);
    stream::try_unfold(state, move |(stream, mut demand, read)| async move {
        let Some(mut stream) = stream else { return Ok(None) };
        let Some(chunk) = stream.next().await else {
            check_length(length, read.load(Relaxed))?;
            demand.take().map_or(Ok(()), Verifier::finish)?;
            return Ok(None);
        };
        let chunk = chunk?;
        if let Some(demand) = &mut demand {
            demand.update(&chunk);
        }
        read.fetch_add(chunk.len() as u64, Relaxed);
        Ok(Some((chunk, (Some(stream), demand, read))))
    })
    .boxed()
}

/// Cuts a stream in frames.
fn frames(stream: ByteStream) -> impl futures_core::Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold((Some(stream), BytesMut::new()), |(stream, mut ready)| async move {
        let Some(mut stream) = stream else { return Ok(None) };
        while ready.len() < FRAME {
            let Some(chunk) = stream.next().await else {
                let last = ready.split().freeze();
                return Ok((!last.is_empty()).then_some((last, (None, ready))));
            };
            ready.extend_from_slice(&chunk?);
        }
        let frame = ready.split_to(FRAME).freeze();
        Ok(Some((frame, (Some(stream), ready))))
    })
}

/// The frames, several at a time on blocking threads, and the table.
fn squeezed(
    stream: ByteStream,
    level: i32,
    parallel: usize,
) -> impl futures_core::Stream<Item = Result<Bytes>> + Send + 'static {
    let table = Arc::new(Mutex::new(Table::default()));
    let filled = Arc::clone(&table);
    frames(stream)
        .map_ok(move |plain| blocking(move || Ok((squeeze(&plain, level)?, plain.len()))))
        .try_buffered(parallel)
        .map_ok(move |(frame, plain)| {
            filled.lock().push(frame.len(), plain);
            frame
        })
        .chain(stream::once(async move { table.lock().to_bytes() }))
}
