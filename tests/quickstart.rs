//! The main job with input and surroundings as bad as they come: every refusal names the thing and the
//! remedy, nothing of the caller's is touched, nothing that was stored is lost.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{command, intact, on, refused, repositories, run, succeeds};
use testkit::{Compare, Shape, Subject, TempDir, Tmpfs, assert_same_tree, temp_dir};

/// A scratch directory with a generated tree in it, and where its data may go.
struct Place {
    dir: TempDir,
    tree: PathBuf,
    data: PathBuf,
}

fn place(shape: &Shape) -> Place {
    let dir = temp_dir();
    let (tree, data) = (dir.path().join("tree"), dir.path().join("data"));
    shape.build(&tree).unwrap();
    Place { dir, tree, data }
}

fn small() -> Shape {
    Shape::new(5).files(60).bytes(1 << 20)
}

#[test]
fn a_tree_with_everything_odd_comes_through() {
    let place = place(&Shape::new(21).files(300).bytes(6 << 20));
    let before = place.dir.path().join("before");
    Shape::new(21).files(300).bytes(6 << 20).build(&before).unwrap();
    succeeds(on(&place.tree, &place.data));
    assert_same_tree(&before, &place.tree, Compare::full());
    intact(&place.data, true);
    succeeds(on(&place.tree, &place.data));
    intact(&place.data, false);
}

#[test]
fn a_missing_directory_is_named() {
    let dir = temp_dir();
    let missing = dir.path().join("not-here");
    refused(on(&missing, &dir.path().join("data")), &[&["not-here"]]);
}

#[test]
fn a_file_is_no_directory() {
    let dir = temp_dir();
    let file = dir.path().join("plain-file");
    fs::write(&file, b"x").unwrap();
    refused(on(&file, &dir.path().join("data")), &[&["plain-file"], &["directory"]]);
}

#[test]
fn an_empty_directory_is_named() {
    let dir = temp_dir();
    let empty = dir.path().join("nothing-in-it");
    fs::create_dir(&empty).unwrap();
    refused(
        on(&empty, &dir.path().join("data")),
        &[&["nothing-in-it"], &["empty", "no files", "nothing to"]],
    );
}

#[test]
fn an_impossible_limit_is_refused() {
    let place = place(&small());
    let with = |limit: &str| {
        let mut command = on(&place.tree, &place.data);
        command.args(["--limit", limit]);
        command
    };
    refused(with("many"), &[&["limit"], &["many"]]);
    refused(with("-3MiB"), &[&["limit", "-3"]]);
    refused(command(["--no-such-option"]), &[&["no-such-option"]]);
}

#[test]
fn a_wrong_or_empty_password_is_refused_and_harms_nothing() {
    let place = place(&small());
    succeeds(on(&place.tree, &place.data));
    for password in ["another one", ""] {
        let mut command = on(&place.tree, &place.data);
        command.env("AETHERIUS_PASSWORD", password);
        refused(command, &[&["password", "secret"]]);
    }
    intact(&place.data, true);
    succeeds(on(&place.tree, &place.data));
}

#[test]
fn an_unreadable_directory_is_named() {
    if testkit::is_root() {
        // Root reads everything; there is no unreadable directory to name.
        return;
    }
    let dir = temp_dir();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("f"), b"x").unwrap();
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    refused(on(&closed, &dir.path().join("data")), &[&["closed"], &["denied", "permission"]]);
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn a_read_only_data_directory_is_named() {
    let place = place(&small());
    if testkit::is_root() {
        let Some(disk) = mounted(4 << 20) else { return };
        disk.make_read_only().unwrap();
        let data = disk.path().join("data-here");
        refused(on(&place.tree, &data), &[&["data-here"], &["read-only", "permission", "denied"]]);
    } else {
        fs::create_dir(&place.data).unwrap();
        fs::set_permissions(&place.data, PermissionsExt::from_mode(0o555)).unwrap();
        refused(on(&place.tree, &place.data), &[&["data"], &["read-only", "permission", "denied"]]);
    }
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_source_alone() {
    let shape = Shape::new(8).files(200).bytes(24 << 20).sparse(false);
    let place = place(&shape);
    let before = place.dir.path().join("before");
    shape.build(&before).unwrap();
    let Some(disk) = mounted(16 << 20) else { return };
    refused(on(&place.tree, &disk.path().join("data")), &[&["full", "space"]]);
    assert_same_tree(&before, &place.tree, Compare::full());
}

/// A small disk; `None`, said aloud, where this process may not mount one.
#[allow(clippy::print_stdout, reason = "libtest shows what a test says")]
fn mounted(bytes: u64) -> Option<Tmpfs> {
    match Tmpfs::mount(bytes) {
        Ok(disk) => Some(disk),
        Err(why) => {
            println!("no disk to fill: {why}");
            None
        }
    }
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let place = place(&Shape::new(13).files(800).bytes(24 << 20));
    let mut first = Subject::start(on(&place.tree, &place.data));
    let pid = first.pid().to_string();
    let mut told = false;
    while !told && first.running() {
        // Before the first has taken its lock, the second must not take it: it is only started then.
        if !place.data.join("backups").exists() {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let second = refused(on(&place.tree, &place.data), &[&["process", "pid", "busy", "in use"]]);
        assert!(second.stderr.contains(&pid), "process {pid} is not named: {}", second.output());
        told = true;
    }
    assert!(told, "the first was done before the second could ask");
    let first = first.wait(support::LIMIT);
    assert!(first.ok(), "{}", first.output());
    succeeds(on(&place.tree, &place.data));
    intact(&place.data, false);
}

#[test]
fn files_that_grow_and_vanish_meanwhile_break_nothing() {
    let place = place(&Shape::new(34).files(300).bytes(6 << 20));
    let done = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        // Also when this test fails: a scope waits for its threads.
        let _stop = Stop(&done);
        scope.spawn(|| churn(&place.tree, &done));
        run(on(&place.tree, &place.data))
    });
    // A tree that moves may end in a report of what was skipped, never in a crash or a damaged repository.
    assert!(ended.code.is_some(), "{}", ended.output());
    if !ended.ok() {
        assert!(ended.output().contains("churn-"), "what moved is not named: {}", ended.output());
    }
    for restic in repositories(&place.data) {
        restic.run(["unlock"]);
    }
    intact(&place.data, true);
    succeeds(on(&place.tree, &place.data));
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets twenty files grow and vanish until `done`.
fn churn(tree: &Path, done: &AtomicBool) {
    let mut rng = fastrand::Rng::with_seed(1);
    while !done.load(Ordering::Relaxed) {
        let file = tree.join(format!("churn-{}", rng.u8(..20)));
        if rng.bool() {
            drop(fs::remove_file(&file));
        } else {
            let mut file = OpenOptions::new().append(true).create(true).open(&file).unwrap();
            file.write_all(&vec![7; rng.usize(..100_000)]).unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
