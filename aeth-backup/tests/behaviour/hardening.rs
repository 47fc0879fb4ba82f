//! What must not be lost or claimed when a run, a replica, a clock or a store is not as it should be.

use crate::common::*;
use aeth_backup::{
    BlobSource, CheckOptions, Existing, PathSource, Plan, Progress, Quorum, Repository, RestoreOptions,
    Source, StreamSource, VirtualFile,
};
use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::{BlobPath, Clock, ErrorKind, SystemClock, async_trait};
use futures_util::StreamExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncWriteExt;

fn plan(source: &Path) -> Plan {
    Plan::new().source(PathSource::new(source).unwrap())
}

/// A tree of one file that takes several packs of the smallest size.
fn long_file(dir: &Path) -> PathBuf {
    let source = dir.join("s");
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(source.join("long"), random_bytes(&mut fastrand::Rng::with_seed(7), 6 << 20)).unwrap();
    source
}

fn lenient() -> aeth_backup::RepositoryOptions {
    options().pack_size(1 << 20).quorum(Quorum::AtLeast(1))
}

/// The packs of a sink, the longest first.
fn packs(sink: &Path) -> Vec<PathBuf> {
    let mut packs = files_below(&sink.join("data"));
    packs.sort_by_key(|path| std::cmp::Reverse(std::fs::metadata(path).unwrap().len()));
    packs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restoring_one_file_leaves_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink, target) = (dir.path().join("s"), dir.path().join("r"), dir.path().join("t/mine"));
    sample_tree(&source, 1);
    let repository = init(&[&sink]).await;
    let report = repository.backup(plan(&source)).await.unwrap();
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::write(&target, "precious").unwrap();
    // A file of one blob, one of several, one of none, and a link.
    for name in ["a small one", "deep/er/still/random", "empty", "link"] {
        let one = RestoreOptions::new(&target).root(source.join(name).to_str().unwrap());
        let error = repository.restore(&report.snapshot, one.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{name}: {error}");
        assert_eq!(std::fs::read(&target).unwrap(), b"precious", "{name}");
        let over = one.existing(Existing::Overwrite);
        assert!(repository.restore(&report.snapshot, over).await.unwrap().is_complete(), "{name}");
        assert_ne!(std::fs::read(&target).unwrap_or_default(), b"precious", "{name}");
        std::fs::remove_file(&target).unwrap();
        std::fs::write(&target, "precious").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_appears_during_the_restore_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink, target) = (dir.path().join("s"), dir.path().join("r"), dir.path().join("t"));
    std::fs::create_dir_all(&source).unwrap();
    std::fs::write(source.join("small"), "from the backup").unwrap();
    let repository = init(&[&sink]).await;
    let report = repository.backup(plan(&source)).await.unwrap();
    // The directory is made before the packs are read: in between somebody else writes.
    let path = target.join("small");
    let slow = Arc::new(Intruder { inner: DirSink::clone(&DirSink::new(&sink)), path: path.clone() });
    let lone = Repository::open(vec![slow], &password(), options()).await.unwrap();
    let wanted = RestoreOptions::new(&target).root(source.to_str().unwrap());
    let restored = lone.restore(&report.snapshot, wanted).await.unwrap();
    assert_eq!((restored.files, restored.skipped_total), (0, 1), "{restored:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody else's");
}

/// Writes a file into the restore's target whenever a pack is read.
#[derive(Debug)]
struct Intruder {
    inner: DirSink,
    path: PathBuf,
}

#[async_trait]
impl aeth_core::backup::BackupSink for Intruder {
    fn name(&self) -> std::borrow::Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> aeth_core::backup::SinkCapabilities {
        self.inner.capabilities()
    }

    async fn write(&self, id: &aeth_core::backup::ObjectId, sealed: bytes::Bytes) -> aeth_core::Result<()> {
        self.inner.write(id, sealed).await
    }

    async fn read(
        &self,
        id: &aeth_core::backup::ObjectId,
        range: Option<std::ops::Range<u64>>,
    ) -> aeth_core::Result<bytes::Bytes> {
        if id.kind() == aeth_core::backup::ObjectKind::Pack && self.path.parent().unwrap().exists() {
            std::fs::write(&self.path, "somebody else's").unwrap();
        }
        self.inner.read(id, range).await
    }

    async fn size(&self, id: &aeth_core::backup::ObjectId) -> aeth_core::Result<u64> {
        self.inner.size(id).await
    }

    fn list(
        &self,
        kind: aeth_core::backup::ObjectKind,
    ) -> futures_util::stream::BoxStream<'_, aeth_core::Result<aeth_core::backup::ObjectMeta>> {
        self.inner.list(kind)
    }

    async fn remove(&self, ids: &[aeth_core::backup::ObjectId]) -> aeth_core::Result<()> {
        self.inner.remove(ids).await
    }

    async fn keep_until(
        &self,
        ids: &[aeth_core::backup::ObjectId],
        until: SystemTime,
    ) -> aeth_core::Result<()> {
        self.inner.keep_until(ids, until).await
    }
}

#[tokio::test]
async fn an_init_that_was_killed_before_the_config_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    init(&[&a]).await;
    std::fs::remove_file(a.join("config")).unwrap();
    let other = aeth_core::Secret::new("other".to_owned());
    let error = Repository::init(sinks(&[&a, &b]), &other, options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert!(!a.join("config").exists() && files_below(&b).is_empty());
    let id = init(&[&a, &b]).await.id();
    for sink in [&a, &b] {
        assert_eq!(files_below(&sink.join("keys")).len(), 1);
        assert_eq!(open(&[sink]).await.id(), id);
    }
}

#[tokio::test]
async fn a_key_that_fits_nothing_does_not_hide_the_one_that_does() {
    let dir = tempfile::tempdir().unwrap();
    let a = dir.path().join("a");
    let id = init(&[&a]).await.id();
    // Names are hashes: with this many strangers some come first.
    for number in 0..8 {
        let other = dir.path().join(format!("other {number}"));
        init(&[&other]).await;
        for key in files_below(&other.join("keys")) {
            std::fs::copy(&key, a.join("keys").join(key.file_name().unwrap())).unwrap();
        }
    }
    assert_eq!(open(&[&a]).await.id(), id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_gets_no_snapshot_whose_packs_it_cannot_get() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let source = long_file(dir.path());
    init(&[&a, &b]).await;
    let lone = Repository::open(sinks(&[&a]), &password(), lenient()).await.unwrap();
    lone.backup(plan(&source)).await.unwrap();
    let pack = packs(&a).remove(0);
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&pack, &bytes).unwrap();
    let both = Repository::open(sinks(&[&a, &b]), &password(), lenient()).await.unwrap();
    let report = both.backup(plan(&source)).await.unwrap();
    let error = report.sinks[1].error.clone().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(files_below(&b.join("index")).is_empty() && files_below(&b.join("snapshots")).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_pack_of_a_killed_run_keeps_no_sink_out() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let source = long_file(dir.path());
    let repository = init(&[&a, &b]).await;
    let half = a.join("data/ab").join(format!("ab{}", "0".repeat(62)));
    std::fs::create_dir_all(half.parent().unwrap()).unwrap();
    std::fs::write(&half, random_bytes(&mut fastrand::Rng::with_seed(1), 5000)).unwrap();
    let report = repository.backup(plan(&source)).await.unwrap();
    assert!(report.is_complete() && report.sinks.iter().all(|sink| sink.error.is_none()), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_copy_is_not_written_over_because_a_damaged_one_is_longer() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let source = long_file(dir.path());
    init(&[&a, &b]).await.backup(plan(&source)).await.unwrap();
    let good = packs(&a).remove(0);
    let before = std::fs::read(&good).unwrap();
    let other = b.join(good.strip_prefix(&a).unwrap());
    let mut longer = before.clone();
    longer.extend_from_slice(b"more");
    std::fs::write(&other, &longer).unwrap();
    // The lock is written, then nothing any more.
    let full = DirSink::new(&a);
    let both = Repository::open(vec![Arc::<DirSink>::clone(&full), DirSink::new(&b)], &password(), lenient())
        .await
        .unwrap();
    full.fail_after.store(1, Ordering::SeqCst);
    both.backup(plan(&source)).await.unwrap();
    assert_eq!(std::fs::read(&good).unwrap(), before, "the good copy");
    assert_eq!(std::fs::read(&other).unwrap(), before, "the damaged copy was not repaired");
}

/// A source of a long file and one that ends when the writer is dropped.
fn gated() -> (Source, tokio::io::DuplexStream) {
    let (gate, reader) = tokio::io::duplex(64);
    let long = random_bytes(&mut fastrand::Rng::with_seed(3), 6 << 20);
    let files = StreamSource::new()
        .reader(VirtualFile::new("a", UNIX_EPOCH), std::io::Cursor::new(long))
        .reader(VirtualFile::new("b", UNIX_EPOCH), reader);
    (Source::files("/files", files), gate)
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_takes_no_sink_back_in_while_a_run_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    init(&[&a, &b]).await;
    let weak = DirSink::new(&b);
    let repository =
        Repository::open(vec![DirSink::new(&a), Arc::<DirSink>::clone(&weak)], &password(), lenient())
            .await
            .unwrap();
    // The lock is written, the first pack is not.
    weak.fail_after.store(1, Ordering::SeqCst);
    let (source, mut gate) = gated();
    let run = repository.clone();
    let run = tokio::spawn(async move { run.backup(Plan::new().source(source)).await });
    until(|| repository.sinks()[1].error.is_some()).await;
    weak.fail_after.store(u64::MAX, Ordering::SeqCst);
    repository.check(CheckOptions::default()).await.unwrap();
    assert!(repository.sinks()[1].error.is_some(), "the sink is back in the middle of a run");
    gate.write_all(b"the end").await.unwrap();
    drop(gate);
    let report = run.await.unwrap().unwrap();
    assert!(report.sinks[1].error.is_some(), "{report:?}");
    assert!(files_below(&b.join("snapshots")).is_empty());
    // The run is over: now it is taken back in, and caught up.
    repository.check(CheckOptions::default()).await.unwrap();
    assert!(repository.sinks()[1].error.is_none());
}

/// The system's clock, whose time of day can be put forward as a suspend does.
#[derive(Debug)]
struct Suspended(Arc<dyn Clock>, AtomicU64);

#[async_trait]
impl Clock for Suspended {
    fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.1.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_slept_through_its_lock_makes_no_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let a = dir.path().join("a");
    init(&[&a]).await;
    let clock = Arc::new(Suspended(SystemClock::shared(), AtomicU64::new(0)));
    let repository =
        Repository::open_with_clock(sinks(&[&a]), &password(), lenient(), Arc::<Suspended>::clone(&clock))
            .await
            .unwrap();
    let (source, mut gate) = gated();
    let run = repository.clone();
    let run = tokio::spawn(async move { run.backup(Plan::new().source(source)).await });
    until(|| !files_below(&a.join("data")).is_empty()).await;
    clock.1.store(31 * 60, Ordering::SeqCst);
    gate.write_all(b"the end").await.unwrap();
    drop(gate);
    let error = run.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(files_below(&a.join("snapshots")).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_below_a_blob_is_named_and_the_rest_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let blobs: Arc<dyn BlobStore> = Arc::new(aeth_files::MemoryStore::new());
    for name in ["x/a", "x/a-b", "x/a/b", "z"] {
        blobs.put(&BlobPath::new(name).unwrap(), bytes::Bytes::from(name)).await.unwrap();
    }
    let repository = init(&[&dir.path().join("r")]).await;
    for _ in 0..2 {
        let plan = Plan::new().source(Source::files("/app/blobs", BlobSource::new(Arc::clone(&blobs))));
        let report = repository.backup(plan).await.unwrap();
        assert_eq!(report.skipped_total, 1, "{report:?}");
        assert_eq!(report.skipped[0].path, "/app/blobs/x/a", "{report:?}");
        let back = aeth_files::MemoryStore::new();
        let restored =
            repository.restore_blobs(&report.snapshot, "/app/blobs", &back, &Progress::new()).await.unwrap();
        assert_eq!((restored.blobs, restored.skipped_total), (3, 0), "{restored:?}");
        assert_eq!(back.get_bytes(&BlobPath::new("x/a").unwrap()).await.unwrap(), "x/a");
        assert_eq!(back.list(None).count().await, 3);
    }
}
