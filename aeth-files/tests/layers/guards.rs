//! Checksums, quotas, rate limits and rules of access.

use super::{content, path};
use aeth_core::blob::{
    Attributes, BlobStore, BlobStoreExt, Capability, Checksum, CopyAttributes, CopyOptions, ListOptions,
    PresignMethod, PresignOptions, PutOptions,
};
use aeth_core::sim::{Fault, FaultPlan, FaultyStore, MockClock};
use aeth_core::{Body, ClockExt, Error, ErrorKind};
use aeth_files::{
    Access, AccessPolicy, AccessRule, Action, Checksummed, MemoryStore, Quota, QuotaLimits, RateLimited,
    RateLimits, SumAlgorithm,
};
use bytes::Bytes;
use futures_util::stream;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

fn streamed(bytes: &Bytes, length: Option<u64>) -> Body {
    let chunks: Vec<_> = bytes.chunks(300_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    Body::once(stream::iter(chunks), length)
}

#[tokio::test]
async fn damage_is_found_by_reads_and_by_the_scrub() {
    for algorithm in [SumAlgorithm::Crc32c, SumAlgorithm::Crc64Nvme, SumAlgorithm::Sha256] {
        let below = MemoryStore::new();
        let store = Checksummed::new(below.clone(), algorithm).unwrap();
        let long = content(9 << 20, 1);
        let cases = [
            ("empty", Bytes::new(), false),
            ("short", content(1_000, 2), false),
            ("short-stream", content(1_000, 3), true),
            ("middling", content(2 << 20, 4), false),
            ("long-stream", long.clone(), true),
        ];
        for (name, bytes, as_stream) in &cases {
            let body = if *as_stream { streamed(bytes, None) } else { bytes.clone().into() };
            let put = store.put(&path(name), body).await.unwrap();
            assert_eq!(put.size, Some(bytes.len() as u64));
            assert!(store.get_bytes(&path(name)).await.unwrap() == *bytes, "{name}");
            let head = store.head(&path(name)).await.unwrap();
            assert!(head.checksum.is_some() && head.attributes.unwrap().is_empty(), "{name}");
        }
        below.put(&path("foreign"), "not through the layer").await.unwrap();
        let report = store.scrub("", 4).await.unwrap();
        assert_eq!((report.checked, report.unsummed), (6, 1));
        assert!(report.damaged.is_empty() && report.failed.is_empty());
        for (name, bytes, _) in &cases[1..] {
            let attributes = below.head(&path(name)).await.unwrap().attributes.unwrap();
            let mut damaged = bytes.to_vec();
            let at = damaged.len() / 2;
            damaged[at] ^= 1;
            let options = PutOptions::default().with_attributes(attributes);
            below.put_opts(&path(name), damaged.into(), options).await.unwrap();
            let error = store.get_bytes(&path(name)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}");
        }
        let report = store.scrub("", 2).await.unwrap();
        assert_eq!(report.damaged.len(), 4);
        assert_eq!(below.len(), 6, "nothing stays aside");
    }
}

#[tokio::test]
async fn checksums_follow_copies_and_are_found_wrong_by_writers() {
    let store = Checksummed::new(MemoryStore::new(), SumAlgorithm::Crc32c).unwrap();
    let sum = Checksum::Crc32c(crc32c::crc32c(b"text"));
    store.put(&path("a"), "text").await.unwrap();
    store.copy(&path("a"), &path("b")).await.unwrap();
    let attributes = Attributes::default().with_user("x", "y");
    let replace = CopyOptions::default().with_attributes(CopyAttributes::Replace(attributes.clone()));
    store.copy_opts(&path("b"), &path("c"), replace).await.unwrap();
    store.rename(&path("c"), &path("d")).await.unwrap();
    let head = store.head(&path("d")).await.unwrap();
    assert_eq!((head.checksum, head.attributes), (Some(sum), Some(attributes)));
    let upload = store.begin_upload(&path("e"), PutOptions::default()).await.unwrap();
    let parts = [
        upload.put_part(1, content(9 << 20, 1).into()).await.unwrap(),
        upload.put_part(2, "end".into()).await.unwrap(),
    ];
    upload.complete(&parts, None).await.unwrap();
    assert!(store.head(&path("e")).await.unwrap().checksum.is_some());
    let wrong = PutOptions::default().with_checksum(Checksum::Sha256([1; 32]));
    for body in ["text".into(), streamed(&content(9 << 20, 2), None)] {
        let error = store.put_opts(&path("d"), body, wrong.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(store.get_bytes(&path("d")).await.unwrap(), "text");
    }
    // What fails below is not a blob with a checksum.
    let plan = FaultPlan::new(1).every("rename", 1, Fault::unavailable());
    let below = MemoryStore::new();
    let store = Checksummed::new(FaultyStore::new(below.clone(), plan), SumAlgorithm::Crc32c).unwrap();
    let error = store.put(&path("a"), streamed(&content(9 << 20, 3), None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(below.is_empty());
}

#[tokio::test]
async fn flips_on_the_way_are_errors() {
    for seed in 0..20 {
        let plan = FaultPlan::new(seed).chance("get", 0.5, Fault::Flip).chance("put", 0.3, Fault::Flip);
        let store =
            Checksummed::new(FaultyStore::new(MemoryStore::new(), plan), SumAlgorithm::default()).unwrap();
        let bytes = content(5_000, seed);
        store.put(&path("a"), bytes.clone()).await.unwrap();
        for _ in 0..10 {
            match store.get_bytes(&path("a")).await {
                Ok(read) => assert!(read == bytes, "wrong bytes were given"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
            }
        }
    }
}

#[tokio::test]
async fn a_quota_is_kept_and_given_back() {
    let below = MemoryStore::new();
    below.put(&path("before"), content(100, 1)).await.unwrap();
    let limits = QuotaLimits::default().with_bytes(1_000).with_objects(4).with_blob_bytes(800);
    let store = Quota::open(below.clone(), limits).await.unwrap();
    assert_eq!((store.usage().bytes, store.usage().objects), (100, 1));
    store.put(&path("a"), content(700, 2)).await.unwrap();
    for body in
        [Body::from(content(300, 3)), streamed(&content(300, 3), None), streamed(&content(300, 3), Some(300))]
    {
        let error = store.put(&path("b"), body).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(store.get(&path("b")).await.is_err());
    }
    assert_eq!(store.put(&path("a"), content(801, 4)).await.unwrap_err().kind(), ErrorKind::Full);
    // What replaces a blob counts by what it has more.
    store.put(&path("a"), streamed(&content(800, 5), None)).await.unwrap();
    assert_eq!(store.copy(&path("a"), &path("c")).await.unwrap_err().kind(), ErrorKind::Full);
    store.rename(&path("a"), &path("c")).await.unwrap();
    let upload = store.begin_upload(&path("d"), PutOptions::default()).await.unwrap();
    let part = upload.put_part(1, content(200, 6).into()).await.unwrap();
    assert_eq!(upload.complete(std::slice::from_ref(&part), None).await.unwrap_err().kind(), ErrorKind::Full);
    store.delete(&path("before")).await.unwrap();
    upload.complete(&[part], None).await.unwrap();
    assert_eq!((store.usage().bytes, store.usage().objects), (1_000, 2));
    store.put(&path("e1"), "").await.unwrap();
    store.put(&path("e2"), "").await.unwrap();
    assert_eq!(store.put(&path("e3"), "").await.unwrap_err().kind(), ErrorKind::Full);
    let twice = [path("c"), path("c"), path("missing")];
    store.delete_many(&twice).await.unwrap();
    assert_eq!(store.usage(), store.recount().await.unwrap());
    assert_eq!(store.usage().bytes, 200);
    // A write that fails gives its room back.
    let failing = stream::iter([Ok(content(700, 7)), Err(Error::timeout("the client went"))]);
    assert!(store.put(&path("f"), Body::once(failing, None)).await.is_err());
    store.put(&path("f"), content(800, 8)).await.unwrap();
}

#[tokio::test]
async fn rates_hold_and_impatience_is_busy() {
    let clock = MockClock::new();
    let limits = RateLimits::default()
        .with_reads(10.0)
        .with_writes(5.0)
        .with_bytes_down(1_000.0)
        .with_patience(Duration::from_secs(3));
    let store = RateLimited::with_clock(MemoryStore::new(), limits, clock.shared());
    clock.drive(store.put(&path("a"), content(500, 1))).await.unwrap();
    let began = clock.unix_millis();
    clock
        .drive(async {
            for _ in 0..41 {
                store.head(&path("a")).await.unwrap();
            }
        })
        .await;
    let took = clock.unix_millis() - began;
    assert!((2_900..=3_200).contains(&took), "40 reads at 10 a second, 10 saved up, took {took} ms");
    clock.advance(Duration::from_secs(10));
    let began = clock.unix_millis();
    clock
        .drive(async {
            for _ in 0..8 {
                store.get_bytes(&path("a")).await.unwrap();
            }
        })
        .await;
    let took = clock.unix_millis() - began;
    assert!((2_400..=3_100).contains(&took), "4,000 bytes at 1,000 a second, 1,000 saved up, took {took} ms");
    clock.advance(Duration::from_secs(10));
    let paths: Vec<_> = (0..50).map(|n| path(&n.to_string())).collect();
    store.delete_many(&paths).await.unwrap();
    let error = store.put(&path("b"), "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.retry().is_worthwhile());
}

#[tokio::test]
async fn principals_do_what_rules_allow_and_it_is_noted() {
    let below = MemoryStore::new();
    let noted = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&noted);
    let policy = AccessPolicy::new([
        AccessRule::allow("ann", Action::ALL).below("a/"),
        AccessRule::allow("", [Action::Read, Action::List]).for_anyone().below("public/"),
        AccessRule::deny("", [Action::Read, Action::List]).for_anyone().below("public/secret/"),
    ]);
    let access = Access::new(below.clone(), policy).with_audit(Arc::new(move |audited| {
        let line = format!("{} {} {}", audited.principal, audited.action.as_str(), audited.path);
        notes.lock().push((line, audited.allowed));
    }));
    let (ann, ben) = (access.for_principal("ann"), access.for_principal("ben"));
    for name in ["a/1", "public/1", "public/secret/1", "b/1"] {
        below.put(&path(name), name.to_owned()).await.unwrap();
    }
    assert_eq!(ann.get_bytes(&path("a/1")).await.unwrap(), "a/1");
    assert_eq!(ben.get_bytes(&path("public/1")).await.unwrap(), "public/1");
    let url = PresignOptions::new(PresignMethod::Get, Duration::from_secs(1));
    let denied = [
        ben.get(&path("a/1")).await.map(drop),
        ben.put(&path("public/1"), "x").await.map(drop),
        ben.get(&path("public/secret/1")).await.map(drop),
        ann.copy(&path("b/1"), &path("a/2")).await.map(drop),
        ann.copy(&path("a/1"), &path("b/2")).await.map(drop),
        ann.rename(&path("public/1"), &path("a/2")).await.map(drop),
        ben.delete(&path("a/1")).await,
        ben.begin_upload(&path("a/1"), PutOptions::default()).await.map(drop),
        ben.list_page(ListOptions::prefix("b/")).await.map(drop),
    ];
    for result in denied {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(ann.presign(&path("a/1"), url).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(!ann.capabilities().has(Capability::Presign));
    assert_eq!(below.len(), 4);
    let seen = |store: aeth_files::AccessStore| async move {
        let page = store.list_page(ListOptions::default()).await.unwrap();
        page.blobs.into_iter().map(|meta| meta.path.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(seen(ann.clone()).await, ["a/1", "public/1"]);
    assert_eq!(seen(ben.clone()).await, ["public/1"]);
    let page = ben.list_page(ListOptions::default().with_delimiter()).await.unwrap();
    assert_eq!(page.prefixes, ["public/"]);
    let page = ben.list_page(ListOptions::prefix("public/").with_delimiter()).await.unwrap();
    assert!(page.prefixes.is_empty());
    let mixed = ann.delete_many(&[path("a/1"), path("b/1")]).await.unwrap();
    assert!(mixed[0].is_ok() && mixed[1].as_ref().unwrap_err().kind() == ErrorKind::Denied);
    let noted = noted.lock().clone();
    assert!(
        noted.contains(&("ann read a/1".into(), true)) && noted.contains(&("ben delete a/1".into(), false))
    );
    // Other rules hold for handles that are there.
    access.replace_policy(AccessPolicy::default());
    assert_eq!(ben.get(&path("public/1")).await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_expire() {
    let clock = MockClock::new();
    let below = || MemoryStore::with_clock(clock.shared());
    let keyset = aeth_core::seal::Keyset::generate(aeth_core::seal::SegmentSize::default()).unwrap();
    let hour = Duration::from_secs(3_600);
    let (sealed_below, summed_below) = (below(), below());
    let sealed = aeth_files::Encrypted::new(sealed_below.clone(), keyset);
    let summed = Checksummed::new(summed_below.clone(), SumAlgorithm::default()).unwrap();
    for store in [&sealed as &dyn BlobStore, &summed] {
        let old = store.begin_upload(&path("old"), PutOptions::default()).await.unwrap();
        old.put_part(1, "x".into()).await.unwrap();
        clock.advance(hour * 2);
        let kept = store.begin_upload(&path("kept"), PutOptions::default()).await.unwrap();
        kept.put_part(1, "y".into()).await.unwrap();
        let now = aeth_core::Clock::now(&clock);
        let expired = if store.name().starts_with("encrypted") {
            sealed.expire_uploads(now, hour).await.unwrap()
        } else {
            summed.expire_uploads(now, hour).await.unwrap()
        };
        assert_eq!(expired, 1);
        let gone = store.resume_upload(&path("old"), &old.id()).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        let parts = kept.list_parts().await.unwrap();
        kept.complete(&parts, None).await.unwrap();
    }
    assert_eq!((sealed_below.len(), summed_below.len()), (1, 1));
}
