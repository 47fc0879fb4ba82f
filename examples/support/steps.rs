//! The steps of the quickstart.

use crate::hashed;
use crate::index::{Index, Indexed};
use crate::input::{Found, Input, InputFile};
use crate::skew::Zipf;
use crate::{bar, blocking, table};
use aetherius::backup::{BackupReport, BackupRun, Progress, RestoreReport};
use aetherius::metrics::StorageMetrics;
use aetherius::prelude::*;
use aetherius::{BlobPath, Error, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Files that are stored at the same time: each waits for its fsync most of the while.
const CONCURRENT_PUTS: usize = 16;
/// Tasks that read, and how often each does.
const READERS: usize = 4;
const READS_EACH: usize = 10_000;
/// How much of a file a card shows.
const HEAD: u64 = 1 << 10;
/// Skipped items that are named; all are counted.
const NAMED: usize = 50;

/// What was not taken, or not taken whole.
#[derive(Default)]
pub(crate) struct Skipped {
    named: Vec<String>,
    total: u64,
}

impl Skipped {
    fn add(&mut self, what: impl std::fmt::Display, why: impl std::fmt::Display) {
        self.total += 1;
        if self.named.len() < NAMED {
            self.named.push(format!("{what}: {why}"));
        }
    }

    pub(crate) fn print(&self) {
        if self.total == 0 {
            return;
        }
        println!("\nskipped or changed meanwhile: {}", self.total);
        self.named.iter().for_each(|line| println!("  {line}"));
        if self.total > self.named.len() as u64 {
            println!("  and {} more", self.total - self.named.len() as u64);
        }
    }
}

/// What was stored.
#[derive(Default)]
pub(crate) struct Stored {
    pub files: u64,
    pub bytes: u64,
    others: u64,
    removed: u64,
}

/// Stores the files of the input and indexes them.
pub(crate) async fn store(storage: &Storage, input: &Input, skipped: &mut Skipped) -> Result<Stored> {
    let index = Index::begin(storage.database()?).await?;
    let bar = bar::bytes("storing", input.bytes);
    let mut stored = Stored::default();
    let found = stream::unfold(walk(input.clone()), |mut walk| async { Some((walk.recv().await?, walk)) });
    let put = found.map(|found| put(storage, found)).buffer_unordered(CONCURRENT_PUTS);
    let mut batches = std::pin::pin!(put.ready_chunks(256));
    while let Some(batch) = batches.next().await {
        let mut rows = Vec::with_capacity(batch.len());
        for outcome in batch {
            match outcome? {
                Outcome::Stored(mut row) => {
                    stored.files += 1;
                    stored.bytes += row.size;
                    row.id = stored.files.cast_signed();
                    bar.inc(row.size);
                    rows.push(row);
                }
                Outcome::Other => stored.others += 1,
                Outcome::Skipped(path, why) => skipped.add(path.display(), why),
            }
        }
        index.add(&rows).await?;
    }
    bar.finish_and_clear();
    stored.removed = sweep(storage, &index).await?;
    // So that the metrics know how much there is.
    storage.files().survey().await?;
    if stored.files == 0 {
        return Err(Error::invalid("no file could be read").with_key(input.root.display()));
    }
    Ok(stored)
}

enum Outcome {
    Stored(Indexed),
    Other,
    Skipped(PathBuf, String),
}

/// The walk, on a thread of its own, a few entries ahead.
fn walk(input: Input) -> tokio::sync::mpsc::Receiver<Found> {
    let (send, receive) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || input.walk(&mut |found| send.blocking_send(found).is_ok()));
    receive
}

/// Stores one file. What is wrong with the file is skipped; what is wrong with the store is an error.
async fn put(storage: &Storage, found: Found) -> Result<Outcome> {
    let InputFile { path, blob, .. } = match found {
        Found::File(file) => file,
        Found::Other => return Ok(Outcome::Other),
        Found::Skipped(path, why) => return Ok(Outcome::Skipped(path, why)),
    };
    let opened = async {
        let meta = tokio::fs::symlink_metadata(&path).await?;
        Ok::<_, Error>((hashed::body(&path).await?, (meta.mtime(), meta.mtime_nsec())))
    };
    let ((body, passed), modified) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return Ok(Outcome::Skipped(path, error.to_string())),
    };
    storage.files().put(&blob, body).await?;
    let (sha256, size) = passed.result();
    Ok(Outcome::Stored(Indexed { id: 0, path: blob.as_str().into(), size, modified, sha256 }))
}

/// Removes what an earlier run stored and the input no longer has.
async fn sweep(storage: &Storage, index: &Index) -> Result<u64> {
    let mut gone = Vec::new();
    let mut blobs = std::pin::pin!(storage.files().list(""));
    while let Some(meta) = blobs.next().await {
        let path = meta?.path;
        if !index.has(&path).await? {
            gone.push(path);
        }
    }
    for path in &gone {
        storage.files().delete(path).await?;
    }
    Ok(gone.len() as u64)
}

/// What a reader wants to know of a file; what the cache holds.
#[derive(Debug, Serialize, Deserialize)]
struct Card {
    path: String,
    size: u64,
    head: Vec<u8>,
}

/// What the readers saw.
pub(crate) struct Reads {
    total: usize,
    time: Duration,
}

/// Reads cards under a skewed load through the typed cache.
pub(crate) async fn read(storage: &Storage, files: u64) -> Result<Reads> {
    #[allow(clippy::disallowed_methods, reason = "a program may look at the clock")]
    let begun = Instant::now();
    let cards = storage.cache::<Card>("cards")?;
    let readers = (0..READERS as u64).map(|seed| {
        let (tasks, storage, cards) = (storage.tasks(), storage.clone(), cards.clone());
        tasks.spawn(async move {
            let mut ranks = Zipf::new(usize::try_from(files).unwrap_or(usize::MAX), 0.99, seed);
            for _ in 0..READS_EACH {
                let id = ranks.draw() as u64 + 1;
                let storage = storage.clone();
                let card = cards.get_or_load(&id, move || load(storage, id)).await?;
                if card.head.len() as u64 != card.size.min(HEAD) {
                    return Err(
                        Error::corrupt("a card of the cache is not what was stored").with_key(&card.path)
                    );
                }
            }
            Ok(())
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.map_err(|error| Error::other("a reader was interrupted").with_source(error))??;
    }
    Ok(Reads { total: READERS * READS_EACH, time: begun.elapsed() })
}

/// What a miss costs: a row of the index and the head of a blob.
async fn load(storage: Storage, id: u64) -> Result<Card> {
    let row = Index::of(storage.database()?).get(id.cast_signed()).await?;
    let head = match row.size {
        0 => Vec::new(),
        size => storage.files().get_range(row.path.as_str(), 0..size.min(HEAD)).await?.to_vec(),
    };
    Ok(Card { path: row.path, size: row.size, head })
}

/// One restore point at both locations.
pub(crate) async fn back_up(storage: &Storage, input: &Input, skipped: &mut Skipped) -> Result<BackupReport> {
    let progress = Progress::new();
    let bar = bar::follow("backing up", input.bytes * 2, &progress);
    let report = storage.backup().run_with(BackupRun::new().progress(progress)).await?;
    drop(bar);
    for item in &report.skipped {
        skipped.add("backup", item);
    }
    for path in &report.changed {
        skipped.add(path, "changed while it was backed up");
    }
    Ok(report)
}

/// What was proved.
#[derive(Default)]
pub(crate) struct Verified {
    files: u64,
    bytes: u64,
}

/// Reads every restored blob and compares it with the hash of what was stored.
pub(crate) async fn verify(storage: &Storage, stored: &Stored) -> Result<Verified> {
    let index = Index::of(storage.database()?);
    let bar = bar::bytes("verifying", stored.bytes);
    let mut verified = Verified::default();
    let mut after = 0;
    loop {
        let rows = index.page(after).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        let check = |row: Indexed| async move {
            let path = BlobPath::new(&row.path)?;
            let found = hashed::drain(storage.files().open(&path).await?.body).await?;
            same(&row.path, (row.sha256, row.size), found).map(|()| row.size)
        };
        let mut sizes = stream::iter(rows).map(check).buffer_unordered(4);
        while let Some(size) = sizes.try_next().await? {
            verified.files += 1;
            verified.bytes += size;
            bar.inc(size);
        }
    }
    bar.finish_and_clear();
    if verified.files == stored.files && verified.bytes == stored.bytes {
        return Ok(verified);
    }
    Err(Error::corrupt(format!("{} files were stored and {} are in the index", stored.files, verified.files)))
}

fn same(path: &str, wanted: ([u8; 32], u64), found: ([u8; 32], u64)) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    Err(Error::corrupt(format!("{} bytes were stored, and {} other ones came back", wanted.1, found.1))
        .with_operation("verify")
        .with_key(path))
}

/// What the restored directory showed.
pub(crate) struct Tree {
    report: RestoreReport,
    compared: u64,
    moved_on: u64,
}

/// Restores DIR itself beside the data, compares each file with the hash in the index, and removes it again.
/// The engine verifies every byte as well, those of files that changed between storing and backup included.
pub(crate) async fn verify_tree(storage: &Storage, input: &Input) -> Result<Tree> {
    let target = storage.data_dir().join("tmp").join("tree");
    let clear = target.clone();
    blocking(move || match std::fs::remove_dir_all(clear) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    })
    .await?;
    let progress = Progress::new();
    let bar = bar::follow("restoring DIR", input.bytes, &progress);
    let report =
        storage.backup().restore_directory(&RestorePoint::Latest, &input.root, &target, progress).await?;
    drop(bar);
    if let Some(problem) = report.skipped.first() {
        return Err(Error::corrupt(format!("the directory was not restored whole: {problem}")));
    }
    let index = Index::of(storage.database()?);
    let (mut compared, mut moved_on, mut after) = (0, 0, 0);
    loop {
        let rows = index.page(after).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        let root = target.clone();
        let (same, other) = blocking(move || compare(&root, &rows)).await?;
        compared += same;
        moved_on += other;
    }
    blocking(move || Ok(std::fs::remove_dir_all(target)?)).await?;
    Ok(Tree { report, compared, moved_on })
}

/// Compares restored files with the index; one whose time or size is another changed between storing and
/// backup, and is counted apart. Blocks on I/O.
fn compare(root: &std::path::Path, rows: &[Indexed]) -> Result<(u64, u64)> {
    use std::os::unix::ffi::OsStringExt;
    let (mut same_files, mut moved_on) = (0, 0);
    for row in rows {
        let relative = std::ffi::OsString::from_vec(BlobPath::new(&row.path)?.decode());
        let path = root.join(relative);
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if (meta.mtime(), meta.mtime_nsec()) == row.modified && meta.len() == row.size => {
                same(&row.path, (row.sha256, row.size), hashed::file(&path)?)?;
                same_files += 1;
            }
            _ => moved_on += 1,
        }
    }
    Ok((same_files, moved_on))
}

pub(crate) fn print_results(
    stored: &Stored,
    reads: &Reads,
    report: &BackupReport,
    verified: &Verified,
    tree: &Tree,
) {
    let mut rows = vec![
        ("stored, encrypted".into(), format!("{} files, {}", stored.files, table::bytes(stored.bytes))),
        ("links and other".into(), format!("{}, in the backup only", stored.others)),
        ("read through the cache".into(), format!("{} in {:.2?}", reads.total, reads.time)),
        ("restore point".into(), report.snapshot.id.to_string()),
    ];
    for sink in &report.sinks {
        rows.push((
            format!("  {}", sink.name),
            sink.error.as_ref().map_or("whole".into(), ToString::to_string),
        ));
    }
    rows.push((
        "restored and verified".into(),
        format!("{} files, {}", verified.files, table::bytes(verified.bytes)),
    ));
    rows.push((
        "DIR restored, verified".into(),
        format!(
            "{} files, {}; {} compared with the index",
            tree.report.files,
            table::bytes(tree.report.bytes),
            tree.compared
        ),
    ));
    if tree.moved_on > 0 {
        rows.push((
            "  changed meanwhile".into(),
            format!("{}, verified against the restore point", tree.moved_on),
        ));
    }
    if stored.removed > 0 {
        rows.push(("swept".into(), format!("{} files of an earlier run", stored.removed)));
    }
    table::print("results", &rows);
}

/// The figures that `StorageMetrics` holds, from before the disaster, as name and value.
pub(crate) fn print_metrics(storage: &Storage, metrics: &StorageMetrics) {
    let mut rows = BTreeMap::new();
    if let Ok(value) = serde_json::to_value(metrics) {
        flatten("", &value, &mut rows);
    }
    table::print("metrics, before the disaster", &rows.into_iter().collect::<Vec<_>>());
    let text = storage.metrics().collect().render(aetherius::metrics::Format::OpenMetrics);
    println!("  ({} lines as OpenMetrics)", text.lines().count());
}

fn flatten(name: &str, value: &serde_json::Value, rows: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                flatten(&name, value, rows);
            }
        }
        serde_json::Value::Null => {}
        serde_json::Value::Number(number) if number.is_f64() => {
            rows.insert(name.into(), format!("{:.6}", number.as_f64().unwrap_or_default()));
        }
        other => {
            rows.insert(name.into(), other.to_string());
        }
    }
}

pub(crate) async fn print_health(storage: &Storage) {
    let report = storage.health().await;
    let row = |component: &aetherius::metrics::ComponentHealth| {
        let health = &component.health;
        let reason = health.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        (component.component.clone(), format!("{}{reason}", health.status))
    };
    table::print("health", &report.components.iter().map(row).collect::<Vec<_>>());
}
