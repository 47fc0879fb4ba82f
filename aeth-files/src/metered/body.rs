//! Bodies that are counted as they pass.

use super::instruments::{Instruments, Operation};
use aeth_core::{Body, ByteStream, Clock, Reopen, Result};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// What is done with the bytes of a stream.
pub(super) enum Counting {
    /// They go up.
    Up,
    /// They come down, as of a call that began at this time.
    Down { began: Duration, clock: Arc<dyn Clock> },
}

/// A stream that is counted.
struct Counted {
    stream: ByteStream,
    instruments: Arc<Instruments>,
    counting: Counting,
}

impl Counted {
    fn new(stream: ByteStream, instruments: Arc<Instruments>, counting: Counting) -> Self {
        instruments.streams.add(1);
        Self { stream, instruments, counting }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.instruments.streams.add(-1);
    }
}

impl Stream for Counted {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.poll_next_unpin(context);
        match (&polled, &self.counting) {
            (Poll::Ready(Some(Ok(chunk))), Counting::Up) => self.instruments.uploaded.add(chunk.len() as u64),
            (Poll::Ready(Some(Ok(chunk))), Counting::Down { .. }) => {
                self.instruments.downloaded.add(chunk.len() as u64);
            }
            (Poll::Ready(Some(Err(error))), Counting::Down { .. }) => {
                self.instruments.failed(Operation::Get, error);
            }
            (Poll::Ready(None), Counting::Down { began, clock }) => {
                self.instruments.read(clock.monotonic().saturating_sub(*began));
            }
            _ => {}
        }
        polled
    }
}

/// Counts a body on its way down the stack.
pub(super) fn up(body: Body, instruments: &Arc<Instruments>) -> Body {
    let instruments = Arc::clone(instruments);
    match body {
        Body::Bytes(bytes) => {
            instruments.uploaded.add(bytes.len() as u64);
            Body::Bytes(bytes)
        }
        Body::Reopenable(source) => Body::reopenable(CountedSource { source, instruments }),
        body => {
            let length = body.length();
            Body::Once(Counted::new(body.into_stream(), instruments, Counting::Up).boxed(), length)
        }
    }
}

/// Counts a body on its way up.
pub(super) fn down(stream: ByteStream, instruments: &Arc<Instruments>, counting: Counting) -> ByteStream {
    Counted::new(stream, Arc::clone(instruments), counting).boxed()
}

/// A source whose every stream is counted.
#[derive(Debug)]
struct CountedSource {
    source: Arc<dyn Reopen>,
    instruments: Arc<Instruments>,
}

impl Reopen for CountedSource {
    fn open(&self) -> ByteStream {
        Counted::new(self.source.open(), Arc::clone(&self.instruments), Counting::Up).boxed()
    }

    fn len(&self) -> Option<u64> {
        self.source.len()
    }
}
