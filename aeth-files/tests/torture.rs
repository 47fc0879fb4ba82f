//! Local directories under several processes that are killed at random moments, and sealed bytes under mutation.
//!
//! The processes are this test binary itself, started again with `AETH_TORTURE_ROLE`.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use aeth_core::blob::{Attributes, BlobStore, BlobStoreExt, GetOptions, PutOptions};
use aeth_core::seal::{Keyset, SegmentSize};
use aeth_core::{BlobPath, Body, ErrorKind};
use aeth_files::{Durability, Encrypted, LocalDir, LocalDirOptions, MemoryStore};
use bytes::Bytes;
use futures_util::stream;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::Subject;

const ROLE: &str = "AETH_TORTURE_ROLE";
const DIR: &str = "AETH_TORTURE_DIR";
const NAME: &str = "AETH_TORTURE_NAME";
const GOAL: &str = "AETH_TORTURE_GOAL";

fn options() -> LocalDirOptions {
    LocalDirOptions::default().with_durability(Durability::None)
}

fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

/// Starts this binary in a role; the test of the same name does the role's work.
fn start(role: &str, dir: &Path, name: &str, goal: u64) -> Subject {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["role", "--exact", "--nocapture"]);
    command.env(ROLE, role).env(DIR, dir).env(NAME, name).env(GOAL, goal.to_string());
    Subject::start(command)
}

/// The work of a started process; without a role there is none.
#[tokio::test]
async fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = std::path::PathBuf::from(std::env::var(DIR).unwrap());
    let name = std::env::var(NAME).unwrap();
    let goal: u64 = std::env::var(GOAL).unwrap().parse().unwrap();
    match role.as_str() {
        "count" => count(&dir, &name, goal).await,
        "write" => write(&dir, &name, goal).await,
        other => panic!("there is no role {other}"),
    }
}

/// Adds one to the counter until this process has acknowledged `goal` increments in its journal.
async fn count(dir: &Path, name: &str, goal: u64) {
    let store = LocalDir::open_with(dir.join("store"), options()).await.unwrap();
    let journal = dir.join(format!("journal-{name}"));
    let mut journal = std::fs::File::options().append(true).create(true).open(journal).unwrap();
    let mut done = journal.metadata().unwrap().len();
    let counter = path("deep/counter");
    while done < goal {
        let blob = store.get_opts(&counter, GetOptions::default()).await.unwrap();
        let etag = blob.meta.etag.clone().unwrap();
        let attribute = blob.meta.attributes.clone().unwrap().user.get("value").cloned().unwrap();
        let text = String::from_utf8(blob.bytes().await.unwrap().to_vec()).unwrap();
        let (value, rest) = text.split_once(' ').unwrap();
        assert_eq!(value, attribute, "bytes and attributes are of one state");
        assert!(rest.bytes().all(|byte| byte == b'.'), "a mixture");
        let next = value.parse::<u64>().unwrap() + 1;
        // Of different lengths, so that a mixture would show.
        let content = format!("{next} {}", ".".repeat((next % 5_000) as usize));
        let attributes = Attributes::default().with_user("value", next.to_string());
        let swap = PutOptions::if_match(etag).with_attributes(attributes);
        match store.put_opts(&counter, Body::from(content), swap).await {
            Ok(_) => {
                journal.write_all(b".").unwrap();
                done += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Precondition, "{error}"),
        }
    }
}

async fn read_counter(store: &LocalDir) -> u64 {
    let text = store.get_bytes(&path("deep/counter")).await.unwrap();
    String::from_utf8(text.to_vec()).unwrap().split_once(' ').unwrap().0.parse().unwrap()
}

/// Four processes increment one counter by compare-and-swap and are killed now and then: no acknowledged
/// increment is lost, and at most one per kill is made without being acknowledged.
#[tokio::test]
async fn torture_compare_and_swap() {
    for case in testkit::campaign("compare-and-swap", 1) {
        let mut rng = case.rng();
        let dir = testkit::temp_dir();
        let store = LocalDir::open_with(dir.path().join("store"), options()).await.unwrap();
        let first = PutOptions::create().with_attributes(Attributes::default().with_user("value", "0"));
        store.put_opts(&path("deep/counter"), Body::from("0 "), first).await.unwrap();
        let goal = 1_000;
        let names = ["a", "b", "c", "d"];
        let mut processes: Vec<Option<Subject>> =
            names.iter().map(|name| Some(start("count", dir.path(), name, goal))).collect();
        let mut kills = 0;
        for _ in 0..25 {
            tokio::time::sleep(Duration::from_millis(rng.u64(5..60))).await;
            let victim = rng.usize(..names.len());
            let mut process = processes[victim].take().unwrap();
            if process.running() {
                kills += 1;
                drop(process.kill());
                process = start("count", dir.path(), names[victim], goal);
            }
            processes[victim] = Some(process);
        }
        for process in processes.into_iter().flatten() {
            let ended = process.wait(Duration::from_secs(120));
            assert!(ended.ok(), "{}", ended.output());
        }
        let acknowledged: u64 = names
            .iter()
            .map(|name| std::fs::metadata(dir.path().join(format!("journal-{name}"))).unwrap().len())
            .sum();
        assert_eq!(acknowledged, goal * 4);
        let counted = read_counter(&store).await;
        assert!(kills > 0, "nobody was killed");
        assert!(
            (acknowledged..=acknowledged + kills).contains(&counted),
            "{counted} counted, {acknowledged} acknowledged, {kills} killed"
        );
    }
}

/// Blobs of one writer: every version is one byte repeated, of its own length.
fn content(version: u64) -> Bytes {
    let length = 1 + (version * 7_919) % (3 << 20);
    Bytes::from(vec![(version % 251) as u8; length as usize])
}

/// Overwrites blobs, some of them streamed, and notes each before and after.
async fn write(dir: &Path, name: &str, goal: u64) {
    let store = LocalDir::open_with(dir.join("store"), options()).await.unwrap();
    let mut journal =
        std::fs::File::options().append(true).create(true).open(dir.join(format!("journal-{name}"))).unwrap();
    for version in 1..=goal {
        let bytes = content(version);
        let body = if version % 2 == 0 {
            let chunks: Vec<_> =
                bytes.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            Body::once(stream::iter(chunks), Some(bytes.len() as u64))
        } else {
            Body::from(bytes)
        };
        let attributes = Attributes::default().with_user("version", version.to_string());
        let blob = path(&format!("dir/{}", version % 3));
        store.put_opts(&blob, body, PutOptions::default().with_attributes(attributes)).await.unwrap();
        writeln!(journal, "{version}").unwrap();
    }
}

/// A writer is killed at random moments: each blob is some whole version with that version's attributes, at least
/// as new as what was acknowledged, and the next open removes what was left.
#[tokio::test]
async fn torture_kill_during_put() {
    for case in testkit::campaign("kill-during-put", 15) {
        let mut rng = case.rng();
        let dir = testkit::temp_dir();
        let writer = start("write", dir.path(), "w", 1_000_000);
        let ended = writer.kill_after(Duration::from_millis(rng.u64(30..400)));
        assert_eq!(ended.signal, Some(9), "{}", ended.output());
        let store = LocalDir::open_with(dir.path().join("store"), options()).await.unwrap();
        let owners = std::fs::read_dir(dir.path().join("store/.aeth/tmp")).unwrap().count();
        assert_eq!(owners, 1, "the dead writer's temporary files are removed");
        let journal = std::fs::read_to_string(dir.path().join("journal-w")).unwrap_or_default();
        let acknowledged: u64 = journal.lines().filter_map(|line| line.parse().ok()).max().unwrap_or(0);
        for residue in 0..3 {
            let newest = (1..=acknowledged).rev().find(|version| version % 3 == residue);
            let blob = path(&format!("dir/{residue}"));
            let found = match store.get(&blob).await {
                Ok(found) => found,
                Err(error) => {
                    assert!(error.is_not_found() && newest.is_none(), "{error}; {newest:?} was acknowledged");
                    continue;
                }
            };
            let version: u64 = found.meta.attributes.clone().unwrap().user["version"].parse().unwrap();
            assert!(version % 3 == residue && version >= newest.unwrap_or(0), "{version}, {newest:?}");
            assert!(version <= acknowledged + 1);
            assert!(found.bytes().await.unwrap() == content(version), "a mixture of versions");
        }
        // The store works on.
        store.put(&path("dir/0"), "again").await.unwrap();
        assert_eq!(store.get_bytes(&path("dir/0")).await.unwrap(), "again");
    }
}

const SEGMENT: usize = 1024;

/// Bytes of which no two places are alike.
fn unlike(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

/// Puts other bytes under a sealed blob's attributes.
async fn tamper(below: &MemoryStore, at: &BlobPath, bytes: impl Into<Bytes>) {
    let attributes = below.head(at).await.unwrap().attributes.unwrap();
    let options = PutOptions::default().with_attributes(attributes);
    below.put_opts(at, Body::Bytes(bytes.into()), options).await.unwrap();
}

/// Flips, cuts, extensions, reorderings, splices and swaps of sealed objects: a full read detects each, a ranged read
/// wherever it opens.
#[tokio::test]
async fn torture_mutations_of_sealed_bytes_are_detected() {
    for case in testkit::campaign("sealed-mutations", 3_000) {
        let mut rng = case.rng();
        let below = MemoryStore::new();
        let keys = Keyset::generate(SegmentSize::new(SEGMENT as u32).unwrap()).unwrap();
        let store = Encrypted::new(below.clone(), keys.clone());
        let (blob, other) = (path("a"), path("b"));
        let bytes = unlike(rng.usize(0..6 * SEGMENT), case.seed());
        store.put(&blob, bytes.clone()).await.unwrap();
        store.put(&other, unlike(4 * SEGMENT, case.seed() + 1)).await.unwrap();
        let sealed = below.get_bytes(&blob).await.unwrap();
        let foreign = below.get_bytes(&other).await.unwrap();
        let mut mutant = sealed.to_vec();
        match rng.u32(..7) {
            0 => mutant[rng.usize(..sealed.len())] ^= 1 << rng.u32(..8),
            1 => mutant.truncate(rng.usize(..sealed.len())),
            2 => mutant.extend(std::iter::repeat_n(rng.u8(..), rng.usize(1..40))),
            3 => mutant.truncate(rng.usize(..=sealed.len() / SEGMENT) * SEGMENT),
            // Two segments change places.
            4 if sealed.len() >= 3 * SEGMENT => {
                let (a, b) = mutant.split_at_mut(2 * SEGMENT);
                a[SEGMENT..].swap_with_slice(&mut b[..SEGMENT]);
            }
            // A segment of another object.
            5 if sealed.len() > 2 * SEGMENT => {
                mutant[SEGMENT..2 * SEGMENT].copy_from_slice(&foreign[SEGMENT..2 * SEGMENT]);
            }
            // The whole of another object, without its identity.
            _ => mutant = foreign.to_vec(),
        }
        if mutant == sealed {
            continue;
        }
        tamper(&below, &blob, mutant).await;
        let error = store.get_bytes(&blob).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        // A ranged read gives the genuine bytes or an error, never others.
        let fresh = Encrypted::new(below.clone(), keys);
        let (start, length) = (rng.u64(..5_000), rng.u64(1..2_000));
        if let Ok(read) = fresh.get_range(&blob, start..start + length).await {
            let end = bytes.len().min((start + length) as usize);
            assert_eq!(read, bytes[start as usize..end]);
        }
    }
}
