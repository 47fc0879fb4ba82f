//! Generated trees are what they say, and the comparison sees every kind of difference.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{Compare, Shape, assert_same_tree, restic_in, same_tree, temp_dir};

#[test]
fn the_same_seed_gives_the_same_tree() {
    let dir = temp_dir();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let report = Shape::new(3).build(&a).unwrap();
    assert_eq!(report, Shape::new(3).build(&b).unwrap());
    assert_same_tree(&a, &b, Compare::full());
    assert_eq!(report.files, 200);
    assert!(report.bytes <= 8 << 20 && report.bytes > 1 << 20, "{report:?}");
    assert!(report.hardlinks > 0 && report.symlinks >= 4 && report.directories >= 12, "{report:?}");
    Shape::new(4).build(&dir.path().join("c")).unwrap();
    assert!(!same_tree(&a, &dir.path().join("c"), Compare::contents()).unwrap().is_empty());
}

fn small(root: &Path) {
    fs::create_dir_all(root.join("d")).unwrap();
    fs::write(root.join("d/f"), b"hello").unwrap();
    fs::write(root.join("g"), b"other").unwrap();
    fs::hard_link(root.join("g"), root.join("g2")).unwrap();
    symlink("g", root.join("l")).unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    for name in ["d/f", "g"] {
        fs::File::options().append(true).open(root.join(name)).unwrap().set_modified(time).unwrap();
    }
}

fn seen_after(change: impl FnOnce(&Path)) -> String {
    let dir = temp_dir();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    small(&a);
    small(&b);
    change(&b);
    let compare = Compare { times: false, ..Compare::full() };
    same_tree(&a, &b, compare).unwrap().iter().map(|d| format!("{d}\n")).collect()
}

#[test]
fn every_kind_of_difference_is_seen() {
    assert_eq!(seen_after(|_| ()), "");
    assert!(
        seen_after(|r| fs::write(r.join("d/f"), b"hellO").unwrap())
            .contains("d/f: contents differ from byte 4")
    );
    assert!(seen_after(|r| fs::write(r.join("d/f"), b"hell").unwrap()).contains("5 bytes, 4"));
    assert!(seen_after(|r| fs::remove_file(r.join("d/f")).unwrap()).contains("only on the left"));
    assert!(seen_after(|r| fs::write(r.join("new"), b"").unwrap()).contains("new: only on the right"));
    let mode = |r: &Path| fs::set_permissions(r.join("g"), PermissionsExt::from_mode(0o600)).unwrap();
    assert!(seen_after(mode).contains("mode 100644, 100600"));
    let relink = |r: &Path| {
        fs::remove_file(r.join("l")).unwrap();
        symlink("d", r.join("l")).unwrap();
    };
    assert!(seen_after(relink).contains(r#"points to "g", "d""#));
    let unlink = |r: &Path| {
        fs::remove_file(r.join("g2")).unwrap();
        fs::copy(r.join("g"), r.join("g2")).unwrap();
    };
    assert!(seen_after(unlink).contains("hard links only on the left"));
    let turn = |r: &Path| {
        fs::remove_file(r.join("g2")).unwrap();
        fs::create_dir(r.join("g2")).unwrap();
    };
    assert!(seen_after(turn).contains("g2: file, directory"));
}

#[test]
fn times_count_when_they_are_asked_for() {
    let dir = temp_dir();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    Shape::new(9).files(3).build(&a).unwrap();
    Shape::new(9).files(3).build(&b).unwrap();
    let file = fs::read_dir(&b)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.is_dir())
        .unwrap_or_else(|| b.clone());
    let mut touch = Command::new("touch");
    assert!(touch.arg("-d").arg("2001-02-03").arg(&file).status().unwrap().success());
    let seen = same_tree(&a, &b, Compare::full()).unwrap();
    assert!(seen.iter().any(|d| d.what.contains("modified")), "{seen:?}");
}

#[test]
fn stock_restic_brings_a_generated_tree_back_unchanged() {
    let dir = temp_dir();
    let tree = dir.path().join("tree");
    Shape::new(11).build(&tree).unwrap();
    let restic = restic_in(dir.path().join("repo"), "secret");
    restic.run(["init"]);
    restic.run(["backup".as_ref(), tree.as_os_str()]);
    restic.run(["check", "--read-data"]);
    let out = dir.path().join("out");
    restic.run(["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), out.as_os_str()]);
    let restored: PathBuf = out.join(tree.strip_prefix("/").unwrap());
    assert_same_tree(&tree, &restored, Compare::full());
    let wrong = restic_in(dir.path().join("repo"), "wrong").try_run(["snapshots"]);
    assert!(wrong.unwrap_err().contains("wrong password"));
}
