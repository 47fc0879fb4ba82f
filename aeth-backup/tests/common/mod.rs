//! What the tests share: a sink on a directory, trees to back up, and their comparison.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

use aeth_backup::{KdfParams, Repository, RepositoryOptions};
use aeth_core::backup::{BackupSink, ObjectId, ObjectKind, ObjectMeta, SinkCapabilities};
use aeth_core::{Error, Result, Secret, async_trait};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub const PASSWORD: &str = "correct horse";

/// A repository in a directory, in restic's layout. Writes are atomic (a temporary file, then a rename), so
/// that a killed process leaves no torn file.
#[derive(Debug, Clone)]
pub struct DirSink {
    pub root: PathBuf,
    /// Writes that succeed before every further one fails; `u64::MAX` for never.
    pub fail_after: Arc<AtomicU64>,
}

impl DirSink {
    pub fn new(root: impl Into<PathBuf>) -> Arc<Self> {
        Arc::new(Self { root: root.into(), fail_after: Arc::new(AtomicU64::new(u64::MAX)) })
    }

    pub fn path(&self, id: &ObjectId) -> PathBuf {
        let name = id.name();
        match id.kind() {
            ObjectKind::Config => self.root.join("config"),
            ObjectKind::Pack => self.root.join("data").join(&name[..2]).join(name),
            kind => self.root.join(dir(kind)).join(name),
        }
    }
}

fn dir(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Key => "keys",
        ObjectKind::Pack => "data",
        ObjectKind::Index => "index",
        ObjectKind::Snapshot => "snapshots",
        ObjectKind::Lock => "locks",
        _ => "aetherius",
    }
}

#[async_trait]
impl BackupSink for DirSink {
    fn name(&self) -> Cow<'_, str> {
        self.root.to_string_lossy()
    }

    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(true)
    }

    async fn write(&self, id: &ObjectId, sealed: Bytes) -> Result<()> {
        let left = self.fail_after.load(Ordering::SeqCst);
        if left == 0 {
            return Err(Error::new(aeth_core::ErrorKind::Full, "no space left on device"));
        }
        if left != u64::MAX {
            self.fail_after.store(left - 1, Ordering::SeqCst);
        }
        let path = self.path(id);
        std::fs::create_dir_all(path.parent().unwrap())?;
        // Beside the repository's directories: a killed writer's half file is no lock and no pack.
        let temporaries = self.root.join("tmp");
        std::fs::create_dir_all(&temporaries)?;
        let temporary = temporaries.join(fastrand::u64(..).to_string());
        std::fs::write(&temporary, &sealed)?;
        Ok(std::fs::rename(temporary, path)?)
    }

    async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        use std::os::unix::fs::FileExt;
        let path = self.path(id);
        let Some(range) = range else { return Ok(std::fs::read(path)?.into()) };
        let mut buffer = vec![0; usize::try_from(range.end - range.start).unwrap()];
        std::fs::File::open(path)?.read_exact_at(&mut buffer, range.start)?;
        Ok(buffer.into())
    }

    async fn size(&self, id: &ObjectId) -> Result<u64> {
        Ok(std::fs::metadata(self.path(id))?.len())
    }

    fn list(&self, kind: ObjectKind) -> BoxStream<'_, Result<ObjectMeta>> {
        let mut found = Vec::new();
        walk(&self.root.join(dir(kind)), &mut |path, metadata| {
            let name = path.file_name().unwrap().to_string_lossy();
            if let Ok(id) = ObjectId::parse(kind, &name) {
                found.push(Ok(ObjectMeta::new(id, metadata.len())));
            }
        });
        futures_util::stream::iter(found).boxed()
    }

    async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        for id in ids {
            match std::fs::remove_file(self.path(id)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    async fn keep_until(&self, _: &[ObjectId], _: std::time::SystemTime) -> Result<()> {
        aeth_core::backup::no_object_lock(self)
    }
}

/// Every file below a directory.
pub fn walk(root: &Path, visit: &mut dyn FnMut(&Path, &std::fs::Metadata)) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            walk(&path, visit);
        } else {
            visit(&path, &metadata);
        }
    }
}

pub fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(root, &mut |path, _| files.push(path.to_path_buf()));
    files.sort();
    files
}

pub fn bytes_below(root: &Path) -> u64 {
    let mut bytes = 0;
    walk(root, &mut |_, metadata| bytes += metadata.len());
    bytes
}

pub fn options() -> RepositoryOptions {
    // The cheapest scrypt: these tests are not about passwords.
    RepositoryOptions::default().kdf(KdfParams::new(4, 8, 1).unwrap())
}

pub fn password() -> Secret {
    Secret::new(PASSWORD.to_owned())
}

pub fn sinks(roots: &[&Path]) -> Vec<Arc<dyn BackupSink>> {
    roots.iter().map(|root| -> Arc<dyn BackupSink> { DirSink::new(*root) }).collect()
}

pub async fn init(roots: &[&Path]) -> Repository {
    Repository::init(sinks(roots), &password(), options()).await.unwrap()
}

pub async fn open(roots: &[&Path]) -> Repository {
    Repository::open(sinks(roots), &password(), options()).await.unwrap()
}

pub fn random_bytes(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// A tree with everything that a file system can hold and a test may make.
pub fn sample_tree(root: &Path, seed: u64) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut random = fastrand::Rng::with_seed(seed);
    std::fs::create_dir_all(root.join("deep/er/still")).unwrap();
    std::fs::create_dir_all(root.join("empty directory")).unwrap();
    std::fs::write(root.join("empty"), b"").unwrap();
    std::fs::write(root.join("a small one"), b"hello").unwrap();
    std::fs::write(root.join("deep/er/still/random"), random_bytes(&mut random, 3 << 20)).unwrap();
    let text: Vec<u8> = (0..700_000).map(|_| b"etaoin shrdlu\n"[random.usize(..14)]).collect();
    std::fs::write(root.join("deep/text"), &text).unwrap();
    std::fs::write(root.join("deep/same text"), &text).unwrap();
    for i in 0..120 {
        let length = random.usize(..9000);
        std::fs::write(root.join(format!("deep/er/{i:03}")), random_bytes(&mut random, length)).unwrap();
    }
    for name in [
        b"caf\xe9".as_slice(),
        b"quote\"d\\ <&>",
        "naïve \u{1f600} \u{2028}".as_bytes(),
        b"new\nline\ttab\x01\x7f",
    ] {
        std::fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
    }
    // Ordered by bytes these come otherwise than by paths.
    for name in ["x", "x-y", "x.z"] {
        std::fs::create_dir_all(root.join("order").join(name)).unwrap();
        std::fs::write(root.join("order").join(name).join("file"), name).unwrap();
    }
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (5 << 20) - 3).unwrap();
    std::os::unix::fs::symlink("a small one", root.join("link")).unwrap();
    std::os::unix::fs::symlink("/nowhere/at all", root.join("dangling")).unwrap();
    std::os::unix::fs::symlink(OsStr::from_bytes(b"to\xff"), root.join("raw link")).unwrap();
    std::fs::hard_link(root.join("a small one"), root.join("deep/hard link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, 0o640.into(), 0)
        .unwrap();
    std::fs::set_permissions(root.join("deep/text"), std::fs::Permissions::from_mode(0o4751)).unwrap();
    std::fs::set_permissions(root.join("empty directory"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let set = |name: &str, value: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::lsetxattr(root.join("a small one"), name, value, flags) {
            Ok(()) | Err(rustix::io::Errno::NOTSUP) => {}
            Err(error) => panic!("{name}: {error}"),
        }
    };
    set("user.comment", b"a value \xff");
    set("user.empty", b"");
    for (name, seconds, nanos) in
        [("deep/text", 1, 5), ("empty", 1_700_000_000, 120_000_000), ("deep", 1_234_567_890, 0)]
    {
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, root.join(name), &times, rustix::fs::AtFlags::empty())
            .unwrap();
    }
}

/// What a tree holds: path below the root → everything about it that a backup keeps.
pub fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    describe_into(root, root, &mut found);
    found
}

fn describe_into(root: &Path, path: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let content = if metadata.is_file() {
        aeth_backup::Id::of(&std::fs::read(path).unwrap()).to_string()
    } else if metadata.is_symlink() {
        format!("{:?}", std::fs::read_link(path).unwrap())
    } else {
        String::new()
    };
    let links = if metadata.is_file() { metadata.nlink() } else { 0 };
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let xattrs: Vec<_> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 4096];
            let name = std::str::from_utf8(name).unwrap();
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (name.to_owned(), value[..length].to_vec())
        })
        .collect();
    let time = (metadata.mtime(), metadata.mtime_nsec());
    let text = format!(
        "{:o} {} {} {} {links} {time:?} {content} {xattrs:?}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        if metadata.is_dir() { 0 } else { metadata.len() },
    );
    found.insert(path.strip_prefix(root).unwrap().to_path_buf(), text);
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            describe_into(root, &entry.unwrap().path(), found);
        }
    }
}

/// Fails with the first differences.
pub fn assert_same_tree(a: &Path, b: &Path) {
    let (a, b) = (describe(a), describe(b));
    let differences: Vec<_> = a
        .iter()
        .filter(|(path, text)| b.get(*path) != Some(text))
        .map(|(path, text)| format!("{path:?}:\n  {text}\n  {:?}", b.get(path)))
        .chain(b.keys().filter(|path| !a.contains_key(*path)).map(|path| format!("{path:?} is new")))
        .take(5)
        .collect();
    assert!(differences.is_empty(), "the trees differ:\n{}", differences.join("\n"));
}

/// Runs Debian's restic on a repository in a directory.
pub fn restic(repository: &Path, arguments: &[&str]) -> std::process::Output {
    std::process::Command::new("restic")
        .args(["--no-cache", "--quiet", "--repo"])
        .arg(repository)
        .args(arguments)
        .env("RESTIC_PASSWORD", PASSWORD)
        .output()
        .expect("install restic: these tests need it as their oracle")
}

/// The same, and it must succeed.
pub fn restic_ok(repository: &Path, arguments: &[&str]) -> String {
    let output = restic(repository, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "restic {arguments:?}: {}\n{text}{errors}", output.status);
    text
}
