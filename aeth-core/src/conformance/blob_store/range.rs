//! Laws of ranged reading.

use super::BlobSubject;
use super::subject::difference;
use crate::ErrorKind;
use crate::blob::{Capability, GetOptions, GetRange};
use crate::conformance::Check;
use crate::conformance::law::ensure;
use crate::conformance::tools::{fails, pattern};
use bytes::Bytes;
use std::ops::Range;

/// law: a-range-gives-exactly-its-bytes. A range gives its bytes, says which they are, and the metadata is that
/// of the whole blob; an end past the blob's is cut.
pub(super) async fn a_range_gives_exactly_its_bytes(subject: &BlobSubject) -> Check {
    subject.needs(Capability::RangeGet)?;
    let path = subject.path("blob")?;
    let size = 150_003_u64;
    let bytes = pattern(1, 150_003);
    subject.put(&path, &bytes).await?;
    let cases = [
        (GetRange::Bounded(0..1), 0..1),
        (GetRange::Bounded(0..size), 0..size),
        (GetRange::Bounded(0..size + 1), 0..size),
        (GetRange::Bounded(10..u64::MAX), 10..size),
        (GetRange::Bounded(size - 1..size), size - 1..size),
        (GetRange::Bounded(size - 1..size + 50), size - 1..size),
        (GetRange::Bounded(65_535..65_537), 65_535..65_537),
        (GetRange::Bounded(65_536..131_072), 65_536..131_072),
        (GetRange::From(0), 0..size),
        (GetRange::From(1), 1..size),
        (GetRange::From(size - 1), size - 1..size),
    ];
    for (asked, given) in cases {
        gives(subject, &path, &bytes, asked, given).await?;
    }
    let one = subject.path("one")?;
    let byte = Bytes::from_static(b"x");
    subject.put(&one, &byte).await?;
    gives(subject, &one, &byte, GetRange::Bounded(0..100), 0..1).await?;
    gives(subject, &one, &byte, GetRange::From(0), 0..1).await
}

/// law: a-range-outside-is-invalid. A range that starts at or past the end, is empty or runs backwards is
/// `Invalid`.
pub(super) async fn a_range_outside_is_invalid(subject: &BlobSubject) -> Check {
    subject.needs(Capability::RangeGet)?;
    for size in [0_u64, 1, 1000] {
        let path = subject.path(format!("blob-{size}"))?;
        subject.put(&path, &pattern(1, usize::try_from(size).unwrap_or_default())).await?;
        // A backwards range cannot be written as a literal.
        let backwards = Range { start: size + 1, end: size };
        let cases = [
            GetRange::Bounded(size..size + 1),
            GetRange::Bounded(size + 10..size + 20),
            GetRange::Bounded(u64::MAX - 1..u64::MAX),
            GetRange::Bounded(0..0),
            GetRange::Bounded(size..size),
            GetRange::Bounded(backwards),
            GetRange::From(size),
            GetRange::From(u64::MAX),
        ];
        for range in cases {
            let what = format!("{range:?} of {size} bytes");
            let options = GetOptions::default().with_range(range);
            let get = subject.store.get_opts(&path, options).await;
            fails(&what, get, &[ErrorKind::Invalid])?;
        }
    }
    Ok(())
}

/// law: a-suffix-counts-from-the-end. A suffix gives the last bytes, the whole blob when it asks for more, the
/// empty blob of an empty one; a suffix of 0 bytes is `Invalid`.
pub(super) async fn a_suffix_counts_from_the_end(subject: &BlobSubject) -> Check {
    subject.needs(Capability::SuffixGet)?;
    let path = subject.path("blob")?;
    let size = 70_001_u64;
    let bytes = pattern(1, 70_001);
    subject.put(&path, &bytes).await?;
    for length in [1, 2, 4096, 65_536, size - 1, size, size + 1, u64::MAX] {
        let start = size.saturating_sub(length);
        gives(subject, &path, &bytes, GetRange::Suffix(length), start..size).await?;
    }
    let none = subject.store.get_opts(&path, GetOptions::default().with_range(GetRange::Suffix(0))).await;
    fails("a suffix of 0 bytes", none, &[ErrorKind::Invalid])?;
    let empty = subject.path("empty")?;
    subject.put(&empty, &Bytes::new()).await?;
    gives(subject, &empty, &Bytes::new(), GetRange::Suffix(10), 0..0).await
}

/// law: ranges-cut-large-blobs-anywhere. In a blob of many parts, segments or pages, ranges around every power of
/// two and at random places give exactly their bytes.
pub(super) async fn ranges_cut_large_blobs_anywhere(subject: &BlobSubject) -> Check {
    subject.needs(Capability::RangeGet)?;
    let path = subject.path("blob")?;
    let bytes = pattern(1, subject.large);
    let size = bytes.len() as u64;
    subject.put(&path, &bytes).await?;
    let mut random = fastrand::Rng::with_seed(2);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for power in 12..size.ilog2() + 1 {
        let at = 1_u64 << power;
        ranges.extend([at - 1..at + 1, at..at + 1, at - 3..at, at..at * 2]);
    }
    for _ in 0..subject.rounds {
        let start = random.u64(..size);
        ranges.push(start..start + 1 + random.u64(..200_000));
    }
    for range in ranges.into_iter().filter(|range| range.start < size) {
        let given = range.start..range.end.min(size);
        gives(subject, &path, &bytes, GetRange::Bounded(range), given).await?;
    }
    Ok(())
}

async fn gives(
    subject: &BlobSubject,
    path: &crate::BlobPath,
    whole: &Bytes,
    asked: GetRange,
    given: Range<u64>,
) -> Check {
    let what = format!("{asked:?} of {} bytes", whole.len());
    let blob = subject.store.get_opts(path, GetOptions::default().with_range(asked)).await?;
    ensure!(blob.range == given, "{what}: the range is said to be {:?}, it is {given:?}", blob.range);
    ensure!(blob.meta.size == whole.len() as u64, "{what}: the metadata says {} bytes", blob.meta.size);
    let read = blob.bytes().await?;
    let offset = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let wanted = whole.get(offset(given.start)..offset(given.end)).unwrap_or_default();
    ensure!(read == wanted, "{what}: {}", difference(&read, wanted));
    Ok(())
}
