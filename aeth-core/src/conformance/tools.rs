//! What the laws of several suites need.

use super::Breach;
use crate::{Body, ByteStream, Error, ErrorKind, Reopen, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// `length` bytes that depend on `seed` alone and do not compress.
pub(super) fn pattern(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

/// A stream that gives `bytes` in chunks and yields to other tasks before each.
pub(super) fn trickle(bytes: &Bytes, chunk: usize) -> ByteStream {
    stream::unfold(bytes.clone(), move |mut rest| async move {
        tokio::task::yield_now().await;
        if rest.is_empty() {
            return None;
        }
        let chunk = rest.split_to(chunk.clamp(1, rest.len()));
        Some((Ok(chunk), rest))
    })
    .boxed()
}

/// A body that can be read once, in chunks, with its length stated.
pub(super) fn once(bytes: &Bytes, chunk: usize) -> Body {
    Body::Once(trickle(bytes, chunk), Some(bytes.len() as u64))
}

/// A body that gives `bytes` and then `error`.
pub(super) fn failing(bytes: &Bytes, chunk: usize, length: Option<u64>, error: Error) -> Body {
    Body::Once(trickle(bytes, chunk).chain(stream::iter([Err(error)])).boxed(), length)
}

/// A body that gives its first half, tells `reached`, waits for `open`, and gives the rest.
pub(super) fn gated(bytes: &Bytes, reached: &Arc<Notify>, open: &Arc<Notify>) -> Body {
    let half = bytes.slice(..bytes.len() / 2);
    let rest = bytes.slice(bytes.len() / 2..);
    let (reached, open) = (Arc::clone(reached), Arc::clone(open));
    let second = stream::once(async move {
        reached.notify_one();
        open.notified().await;
        Ok(rest)
    });
    Body::Once(stream::iter([Ok(half)]).chain(second).boxed(), Some(bytes.len() as u64))
}

/// Bytes that open as a stream as often as wanted.
#[derive(Debug)]
pub(super) struct Again(pub Bytes);

impl Reopen for Again {
    fn open(&self) -> ByteStream {
        trickle(&self.0, 10_000)
    }

    fn len(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }
}

/// Polls a future at most `polls` times and then drops it; `None` when it was not done by then.
pub(super) async fn polls<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Demands that a call failed with one of these kinds.
pub(super) fn fails<T>(
    what: &str,
    result: Result<T>,
    kinds: &[ErrorKind],
) -> std::result::Result<Error, Breach> {
    match result {
        Err(error) if kinds.contains(&error.kind()) => Ok(error),
        Err(error) => Err(Breach::Failed(format!(
            "{what}: must fail with one of {kinds:?}, failed with {:?}: {error}",
            error.kind()
        ))),
        Ok(_) => Err(Breach::Failed(format!("{what}: must fail with one of {kinds:?}, succeeded"))),
    }
}

/// Waits for all tasks; the first breach or panic among them fails the law.
pub(super) async fn join<T: Send + 'static>(
    mut tasks: JoinSet<std::result::Result<T, Breach>>,
) -> std::result::Result<Vec<T>, Breach> {
    let mut outputs = Vec::with_capacity(tasks.len());
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(output) => outputs.push(output?),
            Err(error) => return Err(Breach::Failed(format!("a concurrent call panicked: {error}"))),
        }
    }
    Ok(outputs)
}
