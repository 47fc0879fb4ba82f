//! What compresses, what does not, and what is damaged.

use super::support::Sums;
use super::{content, path};
use aeth_core::blob::{BlobStore, BlobStoreExt, Capability, GetRange, PutOptions};
use aeth_core::sim::{Fault, FaultPlan, FaultyStore};
use aeth_core::{Body, ErrorKind};
use aeth_files::{Compressed, MemoryStore, Metered};
use bytes::Bytes;
use futures_util::stream;

fn lines(count: usize) -> Bytes {
    let line = |n: usize| format!("{{\"number\":{n},\"text\":\"the same words again and again\"}}\n");
    (0..count).map(line).collect::<String>().into()
}

fn streamed(bytes: &Bytes) -> Body {
    let chunks: Vec<_> = bytes.chunks(70_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    Body::once(stream::iter(chunks), None)
}

#[tokio::test]
async fn what_compresses_is_smaller_and_stock_zstd_opens_it() {
    let below = MemoryStore::new();
    let store = Compressed::new(below.clone()).unwrap();
    for (bytes, smaller) in
        [(lines(20), true), (lines(30_000), true), (content(300_000, 1), false), ("short".into(), false)]
    {
        for stream in [false, true] {
            let body = if stream { streamed(&bytes) } else { bytes.clone().into() };
            let put = store.put(&path("a"), body).await.unwrap();
            assert_eq!(put.size, Some(bytes.len() as u64));
            assert!(store.get_bytes(&path("a")).await.unwrap() == bytes);
            let head = store.head(&path("a")).await.unwrap();
            assert_eq!(head.size, bytes.len() as u64);
            assert!(head.attributes.unwrap().is_empty());
            let stored = below.get_bytes(&path("a")).await.unwrap();
            if smaller {
                assert!(stored.len() < bytes.len() / 2);
                assert!(zstd::stream::decode_all(&stored[..]).unwrap() == bytes);
            } else {
                assert!(stored == bytes, "it is stored as it is");
            }
        }
    }
}

#[tokio::test]
async fn a_ranged_read_fetches_the_frames_that_it_touches() {
    let below = Metered::new(MemoryStore::new());
    let store = Compressed::new(below.clone()).unwrap();
    let bytes = lines(100_000);
    store.put(&path("a"), streamed(&bytes)).await.unwrap();
    let stored = below.head(&path("a")).await.unwrap().size;
    let fetched = || Sums::of(&below).counter("aeth_files_downloaded_bytes");
    let frames = (bytes.len() as u64).div_ceil(256 << 10);
    assert!(frames > 20);
    store.get_range(&path("a"), 0..1).await.unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..50 {
        let start = rng.usize(..bytes.len());
        let end = (start + rng.usize(1..4_000)).min(bytes.len());
        let before = fetched();
        let read = store.get_range(&path("a"), start as u64..end as u64).await.unwrap();
        assert!(read == bytes[start..end]);
        assert!(fetched() - before < stored * 4 / frames, "more than two frames were fetched");
    }
    let tail = store.get_range(&path("a"), GetRange::Suffix(100)).await.unwrap();
    assert!(tail == bytes[bytes.len() - 100..]);
    let past = store.get_range(&path("a"), bytes.len() as u64..u64::MAX).await.unwrap_err();
    assert_eq!(past.kind(), ErrorKind::Invalid);
    // What is remembered of an older state is not used for a newer one, whoever wrote it.
    let other = Compressed::new(below.clone()).unwrap();
    for newer in [lines(50_000).slice(7..), content(400_000, 2)] {
        other.put(&path("a"), newer.clone()).await.unwrap();
        assert!(store.get_range(&path("a"), 300_000..300_500).await.unwrap() == newer[300_000..300_500]);
    }
}

#[tokio::test]
async fn damage_is_found_and_faults_are_errors() {
    let below = MemoryStore::new();
    let store = Compressed::new(below.clone()).unwrap();
    let bytes = lines(20_000);
    store.put(&path("a"), bytes.clone()).await.unwrap();
    let stored = below.get(&path("a")).await.unwrap();
    let options = PutOptions::default().with_attributes(stored.meta.attributes.clone().unwrap());
    let stored = stored.bytes().await.unwrap();
    let mut rng = fastrand::Rng::with_seed(3);
    for round in 0..300 {
        let mut mutant = stored.to_vec();
        match round % 3 {
            0 => mutant[rng.usize(..stored.len())] ^= 1 << rng.u32(..8),
            1 => mutant.truncate(rng.usize(..stored.len())),
            _ => mutant.extend(std::iter::repeat_n(rng.u8(..), rng.usize(1..50))),
        }
        below.put_opts(&path("a"), mutant.into(), options.clone()).await.unwrap();
        if let Ok(read) = store.get_bytes(&path("a")).await {
            // Only what is no data can be damaged unseen: the table, when all is read.
            assert!(read == bytes, "wrong bytes were given");
        }
        let start = rng.u64(..bytes.len() as u64 - 1_000);
        let fresh = Compressed::new(below.clone()).unwrap();
        if let Ok(read) = fresh.get_range(&path("a"), start..start + 1_000).await {
            assert!(read == bytes[start as usize..start as usize + 1_000], "wrong bytes were given");
        }
    }
    for seed in 0..10 {
        let plan = FaultPlan::new(seed)
            .chance("get", 0.3, Fault::Torn)
            .chance("get", 0.2, Fault::unavailable())
            .chance("get", 0.2, Fault::Flip);
        let store = Compressed::new(FaultyStore::new(MemoryStore::new(), plan)).unwrap();
        store.put(&path("a"), bytes.clone()).await.unwrap();
        for _ in 0..10 {
            match store.get_bytes(&path("a")).await {
                Ok(read) => assert!(read == bytes),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unavailable), "{error}");
                }
            }
        }
    }
    let error = Compressed::with_level(below.clone(), 99).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let without = super::support::Without::new(below, &[Capability::Attributes, Capability::CopyReplace]);
    assert_eq!(Compressed::new(without).unwrap_err().kind(), ErrorKind::Unsupported);
}
