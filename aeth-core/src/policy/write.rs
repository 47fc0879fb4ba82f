//! Writing bodies under time limits.

use crate::blob::BlobMeta;
use crate::{Body, Clock, Error, Result};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The entry of the caller's metadata by which a conditional put recognises its own blob.
pub(super) const MARK: &str = "aeth-put";

/// The slowest transfer that is still waited for, in bytes a second.
const SLOWEST: u64 = 256 << 10;

pub(super) fn mark_of(meta: &BlobMeta) -> Option<&str> {
    meta.attributes.as_ref()?.user.get(MARK).map(String::as_str)
}

/// The time that the transfer of a body may take on top of the limits; for one of unknown length no limit applies
/// but that it must go on.
pub(super) fn transfer_time(body: &Body) -> Duration {
    match body.length() {
        Some(length) => Duration::from_secs(length.div_ceil(SLOWEST)),
        None => Duration::MAX,
    }
}

/// Runs a write; one of unknown length fails when its body has not been read on for `limit`.
pub(super) async fn watched<T, F>(
    clock: &dyn Clock,
    limit: Option<Duration>,
    body: Body,
    write: impl FnOnce(Body) -> F + Send,
) -> Result<T>
where
    T: Send,
    F: Future<Output = Result<T>> + Send,
{
    let Some(limit) = limit.filter(|_| body.length().is_none()) else {
        return write(body).await;
    };
    let chunks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&chunks);
    let stream = body.into_stream().inspect(move |_| {
        counted.fetch_add(1, Relaxed);
    });
    let mut writing = pin!(write(Body::Once(stream.boxed(), None)));
    let mut seen = 0;
    loop {
        match select(writing.as_mut(), clock.sleep(limit)).await {
            Either::Left((result, _)) => return result,
            Either::Right(_) => {
                let now = chunks.load(Relaxed);
                if now == seen {
                    return Err(Error::timeout(format!("the write has not gone on for {limit:?}")));
                }
                seen = now;
            }
        }
    }
}
