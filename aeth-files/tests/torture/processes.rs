//! Local directories under several processes that are killed at random moments.
//!
//! The processes are this test binary itself, started again with `AETH_TORTURE_ROLE`.

use super::path;
use aeth_core::blob::{Attributes, BlobStore, BlobStoreExt, ETag, GetOptions, PutOptions};
use aeth_core::{Body, ErrorKind};
use aeth_files::{Durability, LocalDir, LocalDirOptions};
use bytes::Bytes;
use futures_util::stream;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use testkit::Subject;

const ROLE: &str = "AETH_TORTURE_ROLE";
const DIR: &str = "AETH_TORTURE_DIR";
const NAME: &str = "AETH_TORTURE_NAME";
const GOAL: &str = "AETH_TORTURE_GOAL";

fn options() -> LocalDirOptions {
    LocalDirOptions::default().with_durability(Durability::None)
}

/// Starts this binary in a role; the test of the same name does the role's work.
fn start(role: &str, dir: &Path, name: &str, goal: u64) -> Subject {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["processes::role", "--exact", "--nocapture"]);
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

/// Reads the counter and its mark; panics when bytes or attributes are not of one state.
async fn read_counter(store: &LocalDir) -> (u64, ETag) {
    let blob = store.get_opts(&path("deep/counter"), GetOptions::default()).await.unwrap();
    let etag = blob.meta.etag.clone().unwrap();
    let attribute = blob.meta.attributes.clone().unwrap().user.get("value").cloned().unwrap();
    let text = String::from_utf8(blob.bytes().await.unwrap().to_vec()).unwrap();
    let (value, rest) = text.split_once(' ').unwrap();
    assert_eq!(value, attribute, "bytes and attributes are of one state");
    let counted: u64 = value.parse().unwrap();
    // Of different lengths, so that a mixture shows.
    let whole = rest.len() as u64 == counted % 5_000 && rest.bytes().all(|byte| byte == b'.');
    assert!(whole, "a mixture");
    (counted, etag)
}

/// Adds one to the counter until this process has acknowledged `goal` increments in its journal.
async fn count(dir: &Path, name: &str, goal: u64) {
    let store = LocalDir::open_with(dir.join("store"), options()).await.unwrap();
    let journal = dir.join(format!("journal-{name}"));
    let mut journal = std::fs::File::options().append(true).create(true).open(journal).unwrap();
    let mut done = journal.metadata().unwrap().len();
    let counter = path("deep/counter");
    while done < goal {
        let (counted, etag) = read_counter(&store).await;
        let next = counted + 1;
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

/// Four processes increment one counter by compare-and-swap and are killed at random: no acknowledged increment is
/// lost, at most one per kill is made without being acknowledged, and a reader beside them sees whole states that
/// only grow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_compare_and_swap() {
    let (mut all, mut killed, mut looks) = (0, 0, 0);
    for case in testkit::campaign("compare-and-swap", 1) {
        let mut rng = case.rng();
        let dir = testkit::temp_dir();
        let store = LocalDir::open_with(dir.path().join("store"), options()).await.unwrap();
        let first = PutOptions::create().with_attributes(Attributes::default().with_user("value", "0"));
        store.put_opts(&path("deep/counter"), Body::from("0 "), first).await.unwrap();
        let goal = 1_000;
        let names = ["a", "b", "c", "d"];
        let begin = |name| (name, start("count", dir.path(), name, goal));
        let mut processes: Vec<(&str, Subject)> = names.into_iter().map(begin).collect();
        let over = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn({
            let (store, over) = (store.clone(), Arc::clone(&over));
            async move {
                let (mut last, mut looks) = (0, 0_u64);
                while !over.load(Relaxed) {
                    let (counted, _) = read_counter(&store).await;
                    assert!(counted >= last, "{counted} after {last}");
                    last = counted;
                    looks += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                looks
            }
        });
        let mut kills = 0;
        while processes.iter_mut().any(|(_, process)| process.running()) {
            tokio::time::sleep(Duration::from_millis(rng.u64(5..60))).await;
            let victim = rng.usize(..names.len());
            if kills < 40 && processes[victim].1.running() {
                kills += 1;
                let (name, process) = processes.swap_remove(victim);
                drop(process.kill());
                processes.push(begin(name));
            }
        }
        for (_, process) in processes {
            let ended = process.wait(Duration::from_secs(120));
            assert!(ended.ok(), "{}", ended.output());
        }
        over.store(true, Relaxed);
        looks += reader.await.unwrap();
        let acknowledged: u64 = names
            .iter()
            .map(|name| std::fs::metadata(dir.path().join(format!("journal-{name}"))).unwrap().len())
            .sum();
        assert_eq!(acknowledged, goal * 4);
        let (counted, _) = read_counter(&store).await;
        assert!(kills > 0, "nobody was killed");
        assert!(
            (acknowledged..=acknowledged + kills).contains(&counted),
            "{counted} counted, {acknowledged} acknowledged, {kills} killed"
        );
        all += acknowledged;
        killed += kills;
    }
    println!(
        "compare-and-swap: {all} increments, {killed} kills, {looks} looks beside them, 0 lost, 0 mixed"
    );
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
