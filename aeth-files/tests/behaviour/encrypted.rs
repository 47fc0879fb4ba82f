//! What the encrypted layer hides, detects and survives.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use crate::support;

use aeth_core::blob::{
    Attributes, BlobStore, BlobStoreExt, Capability, Checksum, CopyAttributes, CopyOptions, GetOptions,
    GetRange, PutOptions,
};
use aeth_core::seal::{HEADER_LEN, Keyset, SegmentSize, TAG_LEN};
use aeth_core::{BlobPath, Body, Error, ErrorKind};
use aeth_files::{Encrypted, LocalDir, LocalDirOptions, MemoryStore, Metered};
use bytes::Bytes;
use futures_util::stream;
use std::sync::Arc;
use support::{Sums, Without};

const SEGMENT: usize = 1024;

fn keyset() -> Keyset {
    Keyset::generate(SegmentSize::new(SEGMENT as u32).unwrap()).unwrap()
}

fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

/// Bytes of which no two places are alike.
fn content(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

#[tokio::test]
async fn sizes_are_the_plaintexts_everywhere() {
    for lacking in [vec![], vec![Capability::Attributes, Capability::CopyReplace]] {
        let store = Encrypted::new(Without::new(MemoryStore::new(), &lacking), keyset());
        let first = SEGMENT - HEADER_LEN - TAG_LEN;
        let next = SEGMENT - TAG_LEN;
        for length in [0, 1, first - 1, first, first + 1, first + next, first + next + 1, 300_000, 2_000_000]
        {
            let blob = path("dir/blob");
            let bytes = content(length, 1);
            for streamed in [false, true] {
                let body = if streamed {
                    let chunks: Vec<_> =
                        bytes.chunks(777).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
                    Body::once(stream::iter(chunks), None)
                } else {
                    Body::Bytes(bytes.clone())
                };
                let put = store.put(&blob, body).await.unwrap();
                assert_eq!(put.size, Some(length as u64));
                assert_eq!(store.head(&blob).await.unwrap().size, length as u64);
                let page = store.list_page(Default::default()).await.unwrap();
                assert_eq!(page.blobs[0].size, length as u64);
                assert!(store.get_bytes(&blob).await.unwrap() == bytes);
            }
        }
    }
}

#[tokio::test]
async fn a_ranged_read_opens_only_what_it_touches() {
    let below = Metered::new(MemoryStore::new());
    let store = Encrypted::new(below.clone(), keyset());
    let blob = path("a");
    let bytes = content(100 * SEGMENT, 2);
    store.put(&blob, bytes.clone()).await.unwrap();
    let fetched = || Sums::of(&below).counter("aeth_files_downloaded_bytes");
    let calls = || Sums::of(&below).counter("aeth_files_operations");
    // The first one looks at the header and proves the length by the last segment.
    let before = (fetched(), calls());
    assert_eq!(store.get_range(&blob, 5_000..5_010).await.unwrap(), bytes[5_000..5_010]);
    let first = fetched() - before.0;
    assert!(first <= (HEADER_LEN + 2 * SEGMENT) as u64, "{first}");
    assert_eq!(calls() - before.1, 3);
    // Later ones are one request each: one segment, or two when the range straddles.
    for (range, segments) in [(5_000..5_010, 1), (50_000..50_300, 1), (1_970..1_990, 2), (0..1, 1)] {
        let before = (fetched(), calls());
        let got = store.get_range(&blob, range.start as u64..range.end as u64).await.unwrap();
        assert_eq!(got, bytes[range.clone()]);
        assert_eq!(fetched() - before.0, segments * SEGMENT as u64, "{range:?}");
        assert_eq!(calls() - before.1, 1);
    }
    // What is remembered of an older blob is not used for a newer one.
    let newer = content(70 * SEGMENT, 3);
    Encrypted::over(Arc::new(below.clone()), (*store.keyset()).clone())
        .put(&blob, newer.clone())
        .await
        .unwrap();
    assert_eq!(store.get_range(&blob, 5_000..5_010).await.unwrap(), newer[5_000..5_010]);
    assert_eq!(store.get_range(&blob, GetRange::Suffix(10)).await.unwrap(), newer[newer.len() - 10..]);
    let past = store.get_range(&blob, 90_000..90_001).await.unwrap_err();
    assert_eq!(past.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn an_object_in_anothers_place_is_detected() {
    let below = MemoryStore::new();
    let store = Encrypted::new(below.clone(), keyset());
    for name in ["a", "b"] {
        store.put(&path(name), content(5_000, 4)).await.unwrap();
    }
    // With its identity: only the binding to the path is wrong.
    below.copy(&path("a"), &path("b")).await.unwrap();
    for result in [store.get_bytes(&path("b")).await, store.get_range(&path("b"), 0..10).await] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Corrupt);
    }
    assert_eq!(store.head(&path("b")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.copy(&path("b"), &path("c")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    // Without attributes, and what was never sealed.
    let bytes = below.get_bytes(&path("a")).await.unwrap();
    for foreign in [bytes, Bytes::from_static(b"plain"), Bytes::new()] {
        below.put(&path("b"), foreign).await.unwrap();
        for result in [store.get_bytes(&path("b")).await, store.get_range(&path("b"), 0..10).await] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
    // On a store without attributes the path itself is sealed in.
    let weak = || Without::new(below.clone(), &[Capability::Attributes, Capability::CopyReplace]);
    let store = Encrypted::new(weak(), keyset());
    store.put(&path("a"), "a").await.unwrap();
    store.put(&path("b"), "b").await.unwrap();
    below.copy(&path("a"), &path("b")).await.unwrap();
    assert_eq!(store.get_bytes(&path("b")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    store.copy(&path("a"), &path("b")).await.unwrap();
    assert_eq!(store.get_bytes(&path("b")).await.unwrap(), "a");
}

#[tokio::test]
async fn keys_rotate_and_wrong_ones_are_refused() {
    let below = MemoryStore::new();
    let mut keys = keyset();
    let store = Encrypted::new(below.clone(), keys.clone());
    store.put(&path("old"), "old").await.unwrap();
    let first = keys.primary_id();
    let second = keys.rotate().unwrap();
    store.replace_keyset(keys.clone()).unwrap();
    store.put(&path("new"), "new").await.unwrap();
    assert_eq!(store.get_bytes(&path("old")).await.unwrap(), "old");
    let key = |meta: aeth_core::blob::BlobMeta| meta.attributes.unwrap().user["aeth-seal-key"].clone();
    assert!(key(below.head(&path("old")).await.unwrap()).contains(&format!(".{first}.")));
    assert!(key(below.head(&path("new")).await.unwrap()).contains(&format!(".{second}.")));
    // A copy keeps its key and is bound under the new one.
    store.rename(&path("old"), &path("moved")).await.unwrap();
    assert_eq!(store.get_bytes(&path("moved")).await.unwrap(), "old");
    keys.disable(first).unwrap();
    let without = Encrypted::new(below.clone(), keys);
    assert_eq!(without.get_bytes(&path("moved")).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(without.get_bytes(&path("new")).await.unwrap(), "new");
    let stranger = Encrypted::new(below.clone(), keyset());
    for name in ["moved", "new"] {
        let error = stranger.get_bytes(&path(name)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::Corrupt), "{error}");
        assert!(stranger.get_range(&path(name), 0..1).await.is_err());
    }
    let mut mixed = keyset();
    mixed.add_key(SegmentSize::new(4096).unwrap()).unwrap();
    assert_eq!(store.replace_keyset(mixed).unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn copies_move_no_byte_and_can_replace_attributes() {
    let below = Metered::new(MemoryStore::new());
    let store = Encrypted::new(below.clone(), keyset());
    let attributes = Attributes::default().with_content_type("text/plain").with_user("a", "1");
    let options = PutOptions::default().with_attributes(attributes.clone());
    store.put_opts(&path("a"), Body::from("text"), options).await.unwrap();
    let bytes = || {
        let sums = Sums::of(&below);
        sums.counter("aeth_files_downloaded_bytes") + sums.counter("aeth_files_uploaded_bytes")
    };
    let before = bytes();
    store.copy(&path("a"), &path("b")).await.unwrap();
    store.rename(&path("b"), &path("c")).await.unwrap();
    assert_eq!(bytes(), before);
    assert_eq!(store.head(&path("c")).await.unwrap().attributes, Some(attributes));
    let other = Attributes::default().with_user("b", "2");
    let replace = CopyOptions::default().with_attributes(CopyAttributes::Replace(other.clone()));
    store.copy_opts(&path("c"), &path("d"), replace).await.unwrap();
    assert_eq!(store.head(&path("d")).await.unwrap().attributes, Some(other));
    assert_eq!(store.get_bytes(&path("d")).await.unwrap(), "text");
    let reserved = Attributes::default().with_user("aeth-seal-id", "mine");
    let options = PutOptions::default().with_attributes(reserved);
    let refused = store.put_opts(&path("e"), Body::from("x"), options).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn what_goes_wrong_above_leaves_nothing_below() {
    let below = MemoryStore::new();
    let store = Encrypted::new(below.clone(), keyset());
    let big = content(2 << 20, 5);
    let wrong = PutOptions::default().with_checksum(Checksum::Crc32c(1));
    for bytes in [Bytes::from_static(b"small"), big.clone()] {
        let error = store.put_opts(&path("a"), Body::Bytes(bytes), wrong.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    let right = PutOptions::default().with_checksum(Checksum::Crc32c(crc32c::crc32c(&big)));
    store.put_opts(&path("right"), Body::Bytes(big.clone()), right).await.unwrap();
    assert_eq!(store.head(&path("right")).await.unwrap().checksum, None);
    let failing = stream::iter([Ok(big.clone()), Err(Error::timeout("the client went"))]);
    let error = store.put(&path("a"), Body::once(failing, None)).await.unwrap_err();
    assert_eq!(error.message(), "the client went");
    let short = stream::iter([Ok(big)]);
    let error = store.put(&path("a"), Body::once(short, Some(5 << 20))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(below.len(), 1);
    // Nothing of the plaintext is below.
    store.put(&path("b"), "a very secret sentence").await.unwrap();
    let sealed = below.get_bytes(&path("b")).await.unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"secret"));
}

#[tokio::test]
async fn ranged_reads_beside_writers_are_of_one_state() {
    let dir = testkit::temp_dir();
    let options = LocalDirOptions::default().with_durability(aeth_files::Durability::None);
    let below = LocalDir::open_with(dir.path(), options).await.unwrap();
    let store = Arc::new(Encrypted::new(below, keyset()));
    let blob = path("a");
    let version = |n: u64| Bytes::from(vec![(n % 251) as u8; 20_000]);
    store.put(&blob, version(0)).await.unwrap();
    let writer = tokio::spawn({
        let (store, blob) = (Arc::clone(&store), blob.clone());
        async move {
            for n in 1..150 {
                store.put(&blob, version(n)).await.unwrap();
            }
        }
    });
    let mut reads = 0;
    while !writer.is_finished() {
        match store.get_range(&blob, 1_000..15_000).await {
            Ok(bytes) => assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a mixture"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
        }
        let head = store.get_opts(&blob, GetOptions::head()).await.unwrap();
        assert_eq!(head.meta.size, 20_000);
        reads += 1;
    }
    writer.await.unwrap();
    assert!(reads > 0);
}

/// A ranged read of 4 KiB under segments of 64 KiB.
#[tokio::test]
async fn a_ranged_read_opens_one_segment_and_two_when_it_straddles() {
    const SIZE: usize = 64 << 10;
    let below = MemoryStore::new();
    let metered = Metered::new(below.clone());
    let store = Encrypted::new(metered.clone(), Keyset::generate(SegmentSize::default()).unwrap());
    let (blob, bytes) = (path("a"), content(1 << 20, 1));
    store.put(&blob, bytes.clone()).await.unwrap();
    assert_eq!(store.statistics().sealed_segments, 17);
    // Where the second segment of the plaintext ends.
    let seam = (2 * SIZE - HEADER_LEN - 2 * TAG_LEN) as u64;
    let fetched = || Sums::of(&metered).counter("aeth_files_downloaded_bytes");
    let mut before = (store.statistics().opened_segments, fetched());
    for (start, opened, what) in [
        (100_000, 2, "the first time, with the last segment, which proves the length"),
        (100_000, 1, "within a segment"),
        (seam - 4_096, 1, "up to a seam"),
        (seam, 1, "from a seam on"),
        (seam - 1, 2, "over a seam"),
        (seam - 4_095, 2, "over a seam"),
    ] {
        let read = store.get_range(&blob, start..start + 4_096).await.unwrap();
        assert_eq!(read, bytes[start as usize..start as usize + 4_096]);
        let now = (store.statistics().opened_segments, fetched());
        assert_eq!(now.0 - before.0, opened, "{what}");
        assert!(now.1 - before.1 <= opened * SIZE as u64 + HEADER_LEN as u64, "{what}: {}", now.1 - before.1);
        before = now;
    }
    // What is not touched may be anything.
    let sealed = below.get_bytes(&blob).await.unwrap();
    let attributes = below.head(&blob).await.unwrap().attributes.unwrap();
    let mut garbled = vec![0; sealed.len()];
    for touched in [0..HEADER_LEN, SIZE..2 * SIZE, 16 * SIZE..sealed.len()] {
        garbled[touched.clone()].copy_from_slice(&sealed[touched]);
    }
    let options = PutOptions::default().with_attributes(attributes);
    below.put_opts(&blob, Body::from(garbled), options).await.unwrap();
    assert_eq!(store.get_range(&blob, 100_000..104_096).await.unwrap(), bytes[100_000..104_096]);
    let error = store.get_range(&blob, seam..seam + 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}
