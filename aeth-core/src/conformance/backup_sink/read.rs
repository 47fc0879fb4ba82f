//! Laws of reading.

use super::SinkSubject;
use crate::ErrorKind;
use crate::backup::ObjectKind;
use crate::conformance::Check;
use crate::conformance::law::ensure;
use crate::conformance::tools::fails;

/// law: a-range-gives-exactly-its-bytes. A range inside the object gives its bytes, an empty one none; one that
/// reaches past the end is `Invalid`.
pub(super) async fn a_range_gives_exactly_its_bytes(subject: &SinkSubject) -> Check {
    let size = 200_001_usize;
    for kind in [ObjectKind::Pack, ObjectKind::Snapshot, ObjectKind::Sidecar] {
        let (id, bytes) = subject.object(kind, 1, size);
        subject.sink.write(&id, bytes.clone()).await?;
        let inside = [0..size, 0..1, 1..2, 65_535..65_537, 100_000..200_000, size - 1..size, size - 77..size];
        for range in inside {
            let asked = range.start as u64..range.end as u64;
            let read = subject.sink.read(&id, Some(asked)).await?;
            ensure!(read == bytes[range.clone()], "{range:?} gives {} bytes, or others", read.len());
        }
        let none = subject.sink.read(&id, Some(5..5)).await?;
        ensure!(none.is_empty(), "an empty range gives {} bytes", none.len());
        let end = size as u64;
        for range in [0..end + 1, end - 1..end + 1, end..end + 1, end + 10..end + 20, 0..u64::MAX] {
            let read = subject.sink.read(&id, Some(range.clone())).await;
            fails(&format!("the range {range:?} of {size} bytes"), read, &[ErrorKind::Invalid])?;
        }
    }
    Ok(())
}

/// law: a-missing-object-is-not-found. For every kind, a read, a ranged read and a size fail with `NotFound`.
pub(super) async fn a_missing_object_is_not_found(subject: &SinkSubject) -> Check {
    for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Config) {
        let (id, _) = subject.object(kind, 1, 100);
        subject.absent(&format!("a missing {kind:?}"), &id).await?;
        let read = subject.sink.read(&id, Some(0..10)).await;
        fails(&format!("a range of a missing {kind:?}"), read, &[ErrorKind::NotFound])?;
    }
    Ok(())
}
