//! Faults of bytes and streams.

use super::plan::{FaultPlan, torn};
use crate::{Body, ByteStream, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

/// The same bytes with one bit changed; empty ones stay.
pub(super) fn flip(plan: &FaultPlan, bytes: &Bytes) -> Bytes {
    let mut changed = bytes.to_vec();
    let at = plan.below(changed.len());
    if let Some(byte) = changed.get_mut(at) {
        *byte ^= 1 << plan.below(8);
    }
    changed.into()
}

/// A stream of which the first chunk that has bytes has one bit changed.
pub(super) fn flip_stream(plan: &FaultPlan, inner: ByteStream) -> ByteStream {
    let plan = plan.clone();
    let mut done = false;
    inner
        .map(move |chunk| match chunk {
            Ok(bytes) if !done && !bytes.is_empty() => {
                done = true;
                Ok(flip(&plan, &bytes))
            }
            other => other,
        })
        .boxed()
}

/// A stream that fails after `length` bytes.
pub(super) fn cut_stream(inner: ByteStream, length: u64, operation: &'static str) -> ByteStream {
    stream::unfold(Some((inner, length)), move |state| async move {
        let (mut inner, left) = state?;
        let chunk: Option<Result<Bytes>> = if left == 0 { None } else { inner.next().await };
        match chunk {
            Some(Ok(mut chunk)) => {
                let taken = chunk.split_to(chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
                let left = left - taken.len() as u64;
                Some((Ok(taken), Some((inner, left))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Err(torn(operation)), None)),
        }
    })
    .boxed()
}

/// A body with one bit changed.
pub(super) fn flip_body(plan: &FaultPlan, body: Body) -> Body {
    let length = body.length();
    match body {
        Body::Bytes(bytes) => Body::Bytes(flip(plan, &bytes)),
        other => Body::Once(flip_stream(plan, other.into_stream()), length),
    }
}
