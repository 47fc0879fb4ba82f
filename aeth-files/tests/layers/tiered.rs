//! Tiers: blobs that are moved are the same for whoever reads, and nothing that goes wrong loses one.

use super::{content, path};
use aeth_core::blob::{
    Attributes, Blob, BlobStore, BlobStoreExt, BlobTags, Capabilities, Capability, CopyAttributes,
    CopyOptions, GetOptions, GetRange, ListOptions, Page, PresignOptions, PutMode, PutOptions, PutResult,
    SignedUrl, Upload, UploadId, probe,
};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::sim::{Fault, FaultPlan, FaultyStore, MockClock};
use aeth_core::{BlobPath, Body, Clock, ErrorKind, Result};
use aeth_files::{
    Durability, Encrypted, Lifecycle, LifecycleRule, LocalDir, LocalDirOptions, MemoryStore, Metered,
    RecallOptions, Selector, Tiered,
};
use async_trait::async_trait;
use futures_util::TryStreamExt;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn two(hot: impl BlobStore, cold: impl BlobStore) -> Tiered {
    Tiered::builder(hot).tier("cold", cold).save_every(None).open().await.unwrap()
}

/// Whatever is written is away as soon as the write returns.
#[derive(Debug, Clone)]
struct Pushed(Tiered);

impl Pushed {
    async fn push(&self, path: &BlobPath, mut result: PutResult) -> Result<PutResult> {
        match self.0.move_to(path, "cold").await {
            // Others may write at the same time; what is too long stays.
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Busy | ErrorKind::Unsupported) => {
            }
            Err(error) => return Err(error),
        }
        // The mark is another one now.
        result.etag = None;
        Ok(result)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Pushed {
    fn name(&self) -> Cow<'_, str> {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.0.get_opts(path, options).await
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        let result = self.0.put_opts(path, body, options).await?;
        self.push(path, result).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        self.0.delete_many(paths).await
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let result = self.0.copy_opts(from, to, options).await?;
        self.push(to, result).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let result = self.0.rename_opts(from, to, options).await?;
        self.push(to, result).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.0.list_page(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        self.0.begin_upload(path, options).await
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        self.0.resume_upload(path, id).await
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.0.presign(path, options).await
    }
}

async fn is_lawful(store: impl BlobStore) {
    let store: Arc<dyn BlobStore> = Arc::new(store);
    let report = BlobSubject::new(Arc::clone(&store)).with_rounds(2).run().await;
    assert!(report.is_ok(), "{}: {report}", store.name());
    assert_eq!(probe(&store, &path("probe")).await.unwrap(), store.capabilities());
}

async fn entries(store: &MemoryStore) -> Vec<String> {
    store.list(None).map_ok(|meta| meta.path.as_str().to_owned()).try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_hold_wherever_the_blobs_are() {
    is_lawful(two(MemoryStore::new(), MemoryStore::new()).await).await;
    let cold = MemoryStore::new();
    is_lawful(Pushed(two(MemoryStore::new(), cold.clone()).await)).await;
    assert!(!entries(&cold).await.is_empty(), "nothing was ever moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_hold_over_directories_and_under_encryption() {
    let (hot, cold) = (testkit::temp_dir(), testkit::temp_dir());
    let options = || LocalDirOptions::default().with_durability(Durability::None);
    let keyset = aeth_core::seal::Keyset::generate(Default::default()).unwrap();
    let tiered = two(
        LocalDir::open_with(hot.path(), options()).await.unwrap(),
        Encrypted::new(LocalDir::open_with(cold.path(), options()).await.unwrap(), keyset.clone()),
    )
    .await;
    is_lawful(Metered::new(Pushed(tiered))).await;
    let tiered = two(MemoryStore::new(), MemoryStore::new()).await;
    is_lawful(Encrypted::new(Pushed(tiered), keyset)).await;
}

#[tokio::test]
async fn rules_plan_and_the_plan_is_done() {
    let clock = MockClock::new();
    let (hot, cold) = (MemoryStore::with_clock(clock.shared()), MemoryStore::with_clock(clock.shared()));
    let frozen = MemoryStore::with_clock(clock.shared());
    let open = async || {
        let tiers = Tiered::builder(hot.clone()).tier("cold", cold.clone()).tier("frozen", frozen.clone());
        tiers.clock(clock.shared()).save_every(None).open().await.unwrap()
    };
    let tiered = open().await;
    assert_eq!(tiered.tiers(), ["hot", "cold", "frozen"]);
    let attributes = Attributes::default().with_content_type("text/plain").with_user("a", "ä");
    let tags = BlobTags::from([("team".to_owned(), "blue".to_owned())]);
    let options = PutOptions::default().with_attributes(attributes.clone()).with_tags(tags.clone());
    for (name, size) in
        [("logs/a", 100_000), ("logs/b", 100_000), ("logs/tiny", 10), ("logs/keep.me", 100_000)]
    {
        tiered.put_opts(&path(name), content(size, size as u64).into(), options.clone()).await.unwrap();
    }
    let written = tiered.head(&path("logs/a")).await.unwrap().modified;
    let rules = Lifecycle::new([
        LifecycleRule::keep("marked", Selector::all().with_suffix(".me")),
        LifecycleRule::delete("ancient", Selector::prefix("logs/").with_older_than(400 * DAY)),
        LifecycleRule::move_to("hot", "in use again", Selector::all().with_used_within(DAY)),
        LifecycleRule::move_to(
            "frozen",
            "old",
            Selector::prefix("logs/").with_at_least(1_000).with_idle_for(100 * DAY),
        ),
        LifecycleRule::move_to(
            "cold",
            "idle",
            Selector::prefix("logs/").with_at_least(1_000).with_idle_for(30 * DAY),
        ),
    ]);
    assert!(tiered.plan(&rules).await.unwrap().is_empty());
    clock.advance(20 * DAY);
    tiered.get_bytes(&path("logs/b")).await.unwrap();
    clock.advance(11 * DAY);
    // A handle that is opened later knows what an earlier one has noted.
    tiered.save_use().await.unwrap();
    drop(tiered);
    let tiered = open().await;
    let plan = tiered.plan(&rules).await.unwrap();
    assert_eq!((plan.seen, plan.steps.len(), plan.bytes()), (4, 1, 100_000), "{plan}");
    assert!(plan.to_string().contains("move to cold") && plan.to_string().contains("logs/a"), "{plan}");
    assert!(cold.is_empty(), "a plan changes nothing");
    let report = tiered.apply(&rules, &plan).await.unwrap();
    assert_eq!(
        (report.moved, report.moved_bytes, report.changed, report.failed.len()),
        (1, 100_000, 0, 0),
        "{report}"
    );
    let again = tiered.apply(&rules, &plan).await.unwrap();
    assert_eq!((again.moved, again.changed), (0, 1), "{again}");

    // To a reader it is what it was.
    let moved = path("logs/a");
    assert_eq!(tiered.tier_of(&moved).await.unwrap(), "cold");
    let meta = tiered.head(&moved).await.unwrap();
    assert_eq!((meta.size, meta.modified, meta.attributes.as_ref()), (100_000, written, Some(&attributes)));
    assert_eq!(meta.tags, Some(tags.clone()));
    let listed: Vec<_> = tiered.list(Some("logs/a")).try_collect().await.unwrap();
    assert_eq!((listed[0].size, listed[0].modified), (100_000, written));
    assert_eq!(
        tiered.get_range(&moved, 99_990..200_000).await.unwrap(),
        content(100_000, 100_000).slice(99_990..)
    );
    assert_eq!(tiered.get_range(&moved, GetRange::Suffix(3)).await.unwrap().len(), 3);
    let outside = tiered.get_range(&moved, 100_000..100_001).await.unwrap_err();
    assert_eq!(outside.kind(), ErrorKind::Invalid);
    // In its tier any tool finds it by its name, with its attributes.
    let place: Vec<_> = cold.list(None).try_collect().await.unwrap();
    assert!(place.len() == 1 && place[0].path.as_str().starts_with("logs/a~"), "{place:?}");
    assert_eq!(cold.head(&place[0].path).await.unwrap().attributes, Some(attributes.clone()));
    assert_eq!(cold.get_bytes(&place[0].path).await.unwrap(), content(100_000, 100_000));

    // It was read just now: the rules bring it back, with everything.
    let plan = tiered.plan(&rules).await.unwrap();
    assert_eq!(tiered.apply(&rules, &plan).await.unwrap().moved, 1, "{plan}");
    assert!(cold.is_empty());
    let meta = tiered.head(&moved).await.unwrap();
    assert_eq!((meta.attributes, meta.tags), (Some(attributes), Some(tags)));
    assert_eq!(tiered.get_bytes(&moved).await.unwrap(), content(100_000, 100_000));

    // On to the next tier, from whichever it is in, and away in the end.
    tiered.move_to(&moved, "cold").await.unwrap();
    clock.advance(120 * DAY);
    let plan = tiered.plan(&rules).await.unwrap();
    assert_eq!(tiered.apply(&rules, &plan).await.unwrap().moved, 2, "{plan}");
    assert!(cold.is_empty() && frozen.len() == 2);
    clock.advance(400 * DAY);
    let plan = tiered.plan(&rules.clone().with_limit(2)).await.unwrap();
    assert!(plan.cut && plan.steps.len() == 2, "{plan}");
    let plan = tiered.plan(&rules).await.unwrap();
    assert_eq!(tiered.apply(&rules, &plan).await.unwrap().deleted, 3, "{plan}");
    assert!(frozen.is_empty(), "the bytes go with the blob");
    let left: Vec<_> = tiered.list(None).try_collect().await.unwrap();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn what_is_written_over_goes_with_the_sweep_and_others_places_stay() {
    let (hot, cold, other) = (MemoryStore::new(), MemoryStore::new(), MemoryStore::new());
    let (one, two_) = (two(hot.clone(), cold.clone()).await, two(other, cold.clone()).await);
    for tiered in [&one, &two_] {
        tiered.put(&path("a"), "first").await.unwrap();
        tiered.move_to(&path("a"), "cold").await.unwrap();
        tiered.copy(&path("a"), &path("b")).await.unwrap();
        tiered.rename(&path("b"), &path("c")).await.unwrap();
    }
    cold.put(&path("foreign~0011223344556677"), "not ours").await.unwrap();
    assert_eq!(cold.len(), 5);
    one.put(&path("a"), "second").await.unwrap();
    one.delete(&path("c")).await.unwrap();
    assert_eq!(cold.len(), 4, "a delete takes the bytes along at once");
    assert_eq!(one.sweep(DAY).await.unwrap().removed, 0, "what is young may be of a move under way");
    let swept = one.sweep(Duration::ZERO).await.unwrap();
    assert_eq!((swept.stubs, swept.removed, swept.removed_bytes, swept.missing), (0, 1, 5, 0));
    assert_eq!(cold.len(), 3);
    assert_eq!(two_.get_bytes(&path("a")).await.unwrap(), "first");
    assert_eq!(two_.get_bytes(&path("c")).await.unwrap(), "first");
    let swept = two_.sweep(Duration::ZERO).await.unwrap();
    assert_eq!((swept.stubs, swept.removed, swept.missing), (2, 0, 0));
    assert_eq!(one.get_bytes(&path("a")).await.unwrap(), "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_whatever_fails_on_the_way() {
    for seed in 0..40_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (hot, cold) = (MemoryStore::new(), MemoryStore::new());
        let failing = |seed| {
            FaultPlan::new(seed)
                .chance("put", 0.15, Fault::unavailable())
                .chance("put", 0.1, Fault::Lost)
                .chance("get", 0.1, Fault::unavailable())
                .chance("delete", 0.2, Fault::unavailable())
                .chance("copy", 0.2, Fault::Lost)
        };
        // The other tier may also give and take wrong bytes, and be cut off in the middle of a write.
        let worse = failing(seed + 1_000)
            .chance("put", 0.1, Fault::Torn)
            .chance("put", 0.1, Fault::Flip)
            .chance("get", 0.1, Fault::Torn);
        let (near, far) = (failing(seed), worse);
        let open = async |near: FaultPlan, far: FaultPlan| {
            let tiers = Tiered::builder(FaultyStore::new(hot.clone(), near));
            tiers.tier("cold", FaultyStore::new(cold.clone(), far)).save_every(None).open().await
        };
        let clean = open(FaultPlan::new(0), FaultPlan::new(0)).await.unwrap();
        let blobs: Vec<BlobPath> = (0..6).map(|i| path(&format!("blob {i}"))).collect();
        for (i, blob) in blobs.iter().enumerate() {
            clean.put(blob, content(3_000 + i * 900, i as u64)).await.unwrap();
        }
        let tiered = loop {
            if let Ok(tiered) = open(near.clone(), far.clone()).await {
                break tiered;
            }
        };
        for _ in 0..30 {
            let blob = &blobs[random.usize(..blobs.len())];
            let to = if random.bool() { "cold" } else { "hot" };
            // Now and then the caller goes away in the middle.
            let moving = tiered.move_to(blob, to);
            if random.u8(..4) == 0 {
                drop(tokio::time::timeout(Duration::from_micros(random.u64(..200)), moving).await);
            } else {
                drop(moving.await);
            }
        }
        for (i, blob) in blobs.iter().enumerate() {
            let read = clean.get_bytes(blob).await.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
            assert!(read == content(3_000 + i * 900, i as u64), "seed {seed}: {blob} has other bytes");
        }
        let swept = clean.sweep(Duration::ZERO).await.unwrap();
        assert_eq!((swept.missing, cold.len() as u64), (0, swept.stubs), "seed {seed}: {swept:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_beside_moves_lose_nothing_and_readers_never_see_a_stub() {
    let tiered = two(MemoryStore::new(), MemoryStore::new()).await;
    let counter = path("counter");
    tiered.put(&counter, "0").await.unwrap();
    let mover = {
        let (tiered, counter) = (tiered.clone(), counter.clone());
        tokio::spawn(async move {
            let mut moves = 0;
            for round in 0..400 {
                let to = if round % 2 == 0 { "cold" } else { "hot" };
                moves += u64::from(tiered.move_to(&counter, to).await.unwrap_or(false));
                tokio::task::yield_now().await;
            }
            moves
        })
    };
    let increments = async |times: u64| {
        for _ in 0..times {
            loop {
                let blob = tiered.get(&counter).await.unwrap();
                let mark = blob.meta.etag.clone().unwrap();
                let text = blob.bytes().await.unwrap();
                let value: u64 =
                    std::str::from_utf8(&text).unwrap().parse().expect("a reader saw something else");
                let put = tiered
                    .put_opts(
                        &counter,
                        (value + 1).to_string().into(),
                        PutOptions::default().with_mode(PutMode::Match(mark)),
                    )
                    .await;
                match put {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Precondition),
                }
            }
        }
    };
    futures_util::join!(increments(100), increments(100), increments(100));
    assert!(mover.await.unwrap() > 10, "too few moves to be a test");
    assert_eq!(tiered.get_bytes(&counter).await.unwrap(), "300");
}

#[tokio::test]
async fn what_is_read_comes_back_when_asked_for() {
    let cold = MemoryStore::new();
    let options = RecallOptions::default().with_at_most(1_000);
    let tiers =
        Tiered::builder(MemoryStore::new()).tier("cold", cold.clone()).recall(options).save_every(None);
    let tiered = tiers.open().await.unwrap();
    for (name, size) in [("small", 1_000), ("large", 1_001)] {
        tiered.put(&path(name), content(size, 1)).await.unwrap();
        tiered.move_to(&path(name), "cold").await.unwrap();
        tiered.head(&path(name)).await.unwrap();
        assert_eq!(tiered.tier_of(&path(name)).await.unwrap(), "cold", "a head is no read");
        assert_eq!(tiered.get_bytes(&path(name)).await.unwrap(), content(size, 1));
    }
    for _ in 0..500 {
        if tiered.tier_of(&path("small")).await.unwrap() == "hot" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(tiered.tier_of(&path("small")).await.unwrap(), "hot");
    assert_eq!(tiered.tier_of(&path("large")).await.unwrap(), "cold");
    assert_eq!(cold.len(), 1);
}

#[tokio::test]
async fn damage_in_a_tier_is_found_and_a_tier_that_lies_gets_nothing() {
    let cold = MemoryStore::new();
    let tiered = two(MemoryStore::new(), cold.clone()).await;
    let blob = path("a");
    tiered.put(&blob, content(10_000, 1)).await.unwrap();
    tiered.move_to(&blob, "cold").await.unwrap();
    let place = path(&entries(&cold).await[0]);
    let mut bytes = content(10_000, 1).to_vec();
    bytes[5_000] ^= 1;
    cold.put(&place, bytes).await.unwrap();
    let error = tiered.get_bytes(&blob).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.remedy().is_some(), "{error:?}");
    assert_eq!(tiered.move_to(&blob, "hot").await.unwrap_err().kind(), ErrorKind::Corrupt);
    cold.put(&place, content(9_999, 1)).await.unwrap();
    assert_eq!(tiered.get_range(&blob, 0..10).await.unwrap_err().kind(), ErrorKind::Corrupt);
    cold.delete(&place).await.unwrap();
    let error = tiered.get_bytes(&blob).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.key() == Some("a"), "{error:?}");
    assert_eq!(tiered.sweep(DAY).await.unwrap().missing, 1);
    // A new state is a new beginning.
    tiered.put(&blob, "new").await.unwrap();
    assert_eq!(tiered.get_bytes(&blob).await.unwrap(), "new");

    for fault in [Fault::Flip, Fault::Torn, Fault::Lost] {
        let below = MemoryStore::new();
        let lying = FaultyStore::new(below.clone(), FaultPlan::new(3).every("put", 1, fault));
        let tiered = two(MemoryStore::new(), lying).await;
        tiered.put(&blob, content(5_000, 2)).await.unwrap();
        assert!(tiered.move_to(&blob, "cold").await.is_err());
        assert_eq!(tiered.tier_of(&blob).await.unwrap(), "hot");
        assert_eq!(tiered.get_bytes(&blob).await.unwrap(), content(5_000, 2));
        assert!(below.is_empty(), "what went wrong is removed");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let kind = |result: Result<Tiered>| result.unwrap_err().kind();
    let memory = MemoryStore::new;
    for name in ["", "hot", "Cold", "a b", &"x".repeat(33)] {
        let tiers = Tiered::builder(memory()).tier(name, memory()).save_every(None);
        assert_eq!(kind(tiers.open().await), ErrorKind::Invalid, "{name:?}");
    }
    let twice = Tiered::builder(memory()).tier("a", memory()).tier("a", memory()).save_every(None);
    assert_eq!(kind(twice.open().await), ErrorKind::Invalid);
    assert_eq!(kind(Tiered::builder(memory()).save_every(None).open().await), ErrorKind::Invalid);
    for lacking in [Capability::CompareAndSwap, Capability::ConditionalGet] {
        let weak = super::support::Without::new(memory(), &[lacking]);
        let error = Tiered::builder(weak).tier("a", memory()).save_every(None).open().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unsupported && error.remedy().is_some(), "{error:?}");
    }
    let tiered = two(memory(), memory()).await;
    let posing = Attributes::default().with_user("aeth-tier", "1 cold 5 0 0 a");
    let options = PutOptions::default().with_attributes(posing.clone());
    let put = tiered.put_opts(&path("a"), "x".into(), options.clone()).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(tiered.begin_upload(&path("a"), options).await.unwrap_err().kind(), ErrorKind::Invalid);
    tiered.put(&path("a"), "x").await.unwrap();
    let copy = CopyOptions::default().with_attributes(CopyAttributes::Replace(posing));
    assert_eq!(tiered.copy_opts(&path("a"), &path("b"), copy).await.unwrap_err().kind(), ErrorKind::Invalid);
    for own in [".aeth-tiered/set", ".aeth-tiered/x"] {
        assert_eq!(tiered.put(&path(own), "x").await.unwrap_err().kind(), ErrorKind::Invalid);
        assert!(tiered.get_bytes(&path(own)).await.unwrap_err().is_not_found());
    }
    assert_eq!(tiered.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 1);
    assert_eq!(tiered.move_to(&path("a"), "nowhere").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(tiered.move_to(&path("missing"), "cold").await.unwrap_err().is_not_found());
    let long = path(&"x".repeat(1_020));
    tiered.put(&long, "x").await.unwrap();
    let error = tiered.move_to(&long, "cold").await.unwrap_err();
    assert!(error.remedy().is_some(), "{error:?}");
    assert_eq!(tiered.get_bytes(&long).await.unwrap(), "x");
    // Plain stores have no tiers.
    let rules = Lifecycle::new([LifecycleRule::move_to("cold", "all", Selector::all())]);
    let error = rules.plan(&memory(), std::time::SystemTime::now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let unknown = Lifecycle::new([LifecycleRule::move_to("nowhere", "all", Selector::all())]);
    assert_eq!(tiered.plan(&unknown).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_plan_for_a_plain_store_deletes_only_what_it_saw() {
    let clock = MockClock::new();
    let store = MemoryStore::with_clock(clock.shared());
    for name in ["tmp/a", "tmp/b", "tmp/c", "other/d"] {
        store.put(&path(name), name.to_owned()).await.unwrap();
    }
    let rules =
        Lifecycle::new([LifecycleRule::delete("drafts", Selector::prefix("tmp/").with_older_than(DAY))]);
    assert!(rules.plan(&store, clock.now()).await.unwrap().is_empty());
    clock.advance(2 * DAY);
    let plan = rules.plan(&store, clock.now()).await.unwrap();
    assert_eq!((plan.seen, plan.steps.len()), (3, 3), "only the rules' prefixes are listed");
    store.put(&path("tmp/b"), "again").await.unwrap();
    store.delete(&path("tmp/c")).await.unwrap();
    let report = rules.apply(&store, &plan).await.unwrap();
    assert_eq!((report.deleted, report.changed, report.failed.len()), (1, 2, 0), "{report}");
    assert_eq!(store.get_bytes(&path("tmp/b")).await.unwrap(), "again");
    // One that fails does not hold the others.
    let plan = rules.plan(&store, clock.now() + 3 * DAY).await.unwrap();
    let down = FaultyStore::new(store.clone(), FaultPlan::new(1).every("delete", 1, Fault::unavailable()));
    let report = rules.apply(&down, &plan).await.unwrap();
    assert_eq!((report.deleted, report.failed.len()), (0, 1), "{report}");
}
