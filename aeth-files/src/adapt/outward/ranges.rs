//! Many ranges of one blob.

use aeth_core::blob::{BlobStore, ETag, GetOptions};
use aeth_core::{BlobPath, Error, ErrorKind, Result, Retry};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::ops::Range;
use std::time::Duration;

/// Ranges with a gap of at most this many bytes are read as one.
const GAP: u64 = object_store::OBJECT_STORE_COALESCE_DEFAULT;
/// How many reads are under way at once.
const PARALLEL: usize = 10;

/// The bytes of each range, in the order asked for, all from one state of the blob. An end past the blob's is cut.
///
/// # Errors
/// Invalid for a range that is empty or starts past the end; Busy when the blob changed between the reads.
pub(super) async fn get(store: &dyn BlobStore, path: &BlobPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    if let Some(range) = ranges.iter().find(|range| range.start >= range.end) {
        return Err(
            Error::invalid(format!("the range {}..{} is empty", range.start, range.end)).with_key(path)
        );
    }
    let merged = merge(ranges);
    let reads: Vec<(Range<u64>, Option<ETag>, Bytes)> = stream::iter(merged)
        .map(|range| async move {
            let options = GetOptions::default().with_range(range);
            let blob = store.get_opts(path, options).await?;
            let (range, etag) = (blob.range.clone(), blob.meta.etag.clone());
            Ok::<_, Error>((range, etag, blob.bytes().await?))
        })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    if reads.windows(2).any(|pair| matches!(pair, [a, b] if a.1 != b.1)) {
        return Err(Error::new(ErrorKind::Busy, "the blob was replaced between the reads of its ranges")
            .with_retry(Retry::After(Duration::ZERO))
            .with_key(path)
            .with_remedy("repeat the call, or put new states under new paths"));
    }
    ranges.iter().map(|range| cut(&reads, range, path)).collect()
}

/// The bytes of one range out of what was read.
fn cut(reads: &[(Range<u64>, Option<ETag>, Bytes)], range: &Range<u64>, path: &BlobPath) -> Result<Bytes> {
    let outside = || {
        Error::invalid(format!("the range starts at {}, past the end of the blob", range.start))
            .with_key(path)
    };
    let at = reads.partition_point(|(read, ..)| read.start <= range.start);
    let (read, _, bytes) = at.checked_sub(1).and_then(|at| reads.get(at)).ok_or_else(outside)?;
    let offset =
        |position: u64| usize::try_from(position - read.start).unwrap_or(usize::MAX).min(bytes.len());
    let (start, end) = (offset(range.start), offset(range.end));
    if start == end {
        return Err(outside());
    }
    Ok(bytes.slice(start..end))
}

/// Ranges in ascending order that cover those given, none of them within the gap of another.
fn merge(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_joined() {
        let one = |start, end| -> Vec<Range<u64>> { std::iter::once(start..end).collect() };
        assert_eq!(merge(&[]), []);
        assert_eq!(merge(&[5..9, 0..2, 3..4]), one(0, 9));
        assert_eq!(merge(&[0..2, GAP + 3..GAP + 4]), [0..2, GAP + 3..GAP + 4]);
        assert_eq!(merge(&[0..2, GAP + 2..GAP + 4]), one(0, GAP + 4));
        assert_eq!(merge(&[0..100, 2..3]), one(0, 100));
    }
}
