//! The `backup` program as a user runs it: every command, its exit codes, and stock restic as the judge.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;

use program::{PASSWORD, Program, binary, lines, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::{Compare, Ended, Shape, Subject, assert_same_tree, restic_in, temp_dir};

fn backup(repos: &[&Path], args: &[&str], password: Option<&str>) -> Ended {
    let repos: Vec<&str> = repos.iter().map(|repo| text(repo)).collect();
    Program::default().run(&repos, args, password)
}

#[track_caller]
fn ok(repos: &[&Path], args: &[&str]) -> String {
    let repos: Vec<&str> = repos.iter().map(|repo| text(repo)).collect();
    Program::default().ok(&repos, args)
}

#[track_caller]
fn fails(repos: &[&Path], args: &[&str], code: i32, words: &[&str]) -> Ended {
    let repos: Vec<&str> = repos.iter().map(|repo| text(repo)).collect();
    Program::default().fails(&repos, args, code, words)
}

#[test]
fn a_user_backs_up_to_two_places_looks_around_and_gets_everything_back() {
    let dir = temp_dir();
    let at = |name: &str| dir.path().join(name);
    let (a, b, tree, target) = (at("a"), at("b"), at("tree"), at("target"));
    Shape::new(3).files(80).bytes(3 << 20).build(&tree).unwrap();
    let repos = [a.as_path(), b.as_path()];
    let said = ok(&repos, &["init"]);
    assert!(said.contains(text(&a)) && said.contains(text(&b)), "{said}");
    let run = ["run", "--source", text(&tree), "--tag", "first", "--exclude", "*.never"];
    let said = ok(&repos, &run);
    assert!(said.contains("snapshot") && said.contains("saved"), "{said}");
    std::fs::write(tree.join("added file"), "brand new").unwrap();
    let said = ok(&repos, &["run", "--source", text(&tree), "--json"]);
    let summary = lines(&said).pop().unwrap();
    assert_eq!(
        (&summary["message_type"], &summary["files_new"]),
        (&"summary".into(), &1.into()),
        "{summary}"
    );
    let id = summary["snapshot_id"].as_str().unwrap().to_owned();

    let listed = ok(&[&a], &["snapshots"]);
    assert!(
        listed.contains(&id[..8]) && listed.contains("first") && listed.contains("2 snapshots"),
        "{listed}"
    );
    let listed: Value = serde_json::from_str(&ok(&[&b], &["snapshots", "--json", "--tag", "first"])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let first = listed[0]["id"].as_str().unwrap().to_owned();
    let place = text(&tree.canonicalize().unwrap()).to_owned();
    let added = format!("{place}/added file");
    assert!(ok(&[&a], &["ls", &place]).lines().any(|line| line == added));
    assert!(ok(&[&a], &["ls", "--long", "--flat", &place]).contains("added file"));
    let diff = ok(&[&a], &["diff", &first, &id[..10]]);
    assert!(diff.lines().any(|line| line == format!("+    {added}")), "{diff}");
    assert!(ok(&[&a], &["find", "--ignore-case", "ADDED*"]).contains(&added));
    assert_eq!(ok(&[&b], &["dump", &added]), "brand new");

    // One location alone gives everything back, and stock restic finds nothing wrong with either.
    let restored =
        ["restore", "--snapshot", "latest", "--target", text(&target), "--root", &place, "--verify"];
    ok(&[&b], &restored);
    assert_same_tree(&tree, &target, Compare::full());
    fails(&[&b], &restored, 1, &["target"]);
    assert!(ok(&[&a], &["drill", "--sample", "200KiB"]).contains("passed"));

    // Over what is there: only what differs, strangers removed when that is wanted, and a dry run before.
    std::fs::write(target.join("added file"), "damaged").unwrap();
    std::fs::write(target.join("stranger"), "x").unwrap();
    let over = [&restored[..], &["--overwrite", "--delete"]].concat();
    let dry = ok(&[&b], &[&over[..], &["--dry-run", "--json"]].concat());
    let dry = lines(&dry).pop().unwrap();
    assert_eq!(
        (&dry["files_restored"], &dry["deleted"], &dry["dry_run"]),
        (&1.into(), &1.into(), &true.into())
    );
    assert_eq!(std::fs::read(target.join("added file")).unwrap(), b"damaged");
    let said = ok(&[&b], &over);
    assert!(said.contains("restored 1 files") && said.contains("1 entries deleted"), "{said}");
    assert_same_tree(&tree, &target, Compare::full());
    let kept = [&restored[..], &["--overwrite=never"]].concat();
    std::fs::write(target.join("added file"), "kept").unwrap();
    ok(&[&b], &kept);
    assert_eq!(std::fs::read(target.join("added file")).unwrap(), b"kept");
    assert!(ok(&[&a], &["check", "--read-data-subset", "1/2"]).contains("no errors"));
    fails(&[&a], &["check", "--read-data-subset", "3/2"], 2, &["N/T"]);

    // Tags; locks; a location that is away, and what it lacks.
    let tagged = ok(&repos, &["tag", "--add", "kept", &id]);
    assert!(tagged.contains("1 of 1 snapshots changed"), "{tagged}");
    let id = ok(&[&a], &["snapshots", "--json", "--tag", "kept"]);
    let id = lines(&id)[0][0]["id"].as_str().unwrap().to_owned();
    assert!(ok(&repos, &["unlock"]).contains("0 locks removed"));
    let modified = tree.metadata().unwrap().modified().unwrap();
    std::fs::write(tree.join("for one"), "only a").unwrap();
    ok(&[&a], &["run", "--source", text(&tree)]);
    let lacks = backup(&repos, &["catch-up", "--dry-run"], Some(PASSWORD));
    assert_eq!(lacks.code, Some(3), "{}", lacks.output());
    assert!(lacks.stdout.contains(&format!("{} lacks 1 snapshots", b.display())), "{}", lacks.output());
    ok(&repos, &["catch-up"]);
    assert_eq!(ok(&[&b], &["dump", &format!("{place}/for one")]), "only a");
    ok(&repos, &["forget", "latest"]);
    std::fs::remove_file(tree.join("for one")).unwrap();
    std::fs::File::open(&tree).unwrap().set_modified(modified).unwrap();
    assert!(ok(&repos, &["check", "--read-data"]).contains("no errors were found"));
    for repo in &repos {
        let said = restic_in(repo, PASSWORD).run(["check", "--read-data"]);
        assert!(said.contains("no errors were found"), "{said}");
    }

    // What no rule keeps goes; what is left is whole.
    let dry = ok(&repos, &["forget", "--keep-last", "1", "--dry-run"]);
    assert!(dry.contains("1 snapshots would be forgotten") && dry.contains("last snapshot"), "{dry}");
    fails(&repos, &["forget"], 1, &["keep"]);
    ok(&repos, &["forget", "--keep-last", "1", "--prune"]);
    assert!(ok(&repos, &["snapshots"]).contains("1 snapshots"));
    ok(&repos, &["prune", "--exclusive"]);
    for repo in &repos {
        let said = restic_in(repo, PASSWORD).run(["check", "--read-data"]);
        assert!(said.contains("no errors were found"), "{said}");
    }

    // Another repository with another password; keys; nothing is removed where nothing may be.
    let (other, file) = (at("other"), at("other password"));
    std::fs::write(&file, "another one").unwrap();
    let made = backup(&[&other], &["init"], Some("another one"));
    assert!(made.ok(), "{}", made.output());
    let copy = ["copy", "--to", text(&other), "--to-password-file", text(&file)];
    assert!(ok(&[&a], &copy).contains("1 snapshots copied"));
    assert!(ok(&[&a], &copy).contains("1 there already"));
    ok(&repos, &["key", "add", "--new-password-file", text(&file)]);
    assert!(backup(&[&b], &["snapshots"], Some("another one")).ok());
    let keys: Value = serde_json::from_str(&ok(&[&b], &["key", "list", "--json"])).unwrap();
    let added = keys.as_array().unwrap().iter().find(|key| key["current"] == false).unwrap();
    ok(&repos, &["key", "remove", added["id"].as_str().unwrap()]);
    assert_eq!(backup(&[&b], &["snapshots"], Some("another one")).code, Some(12));
    fails(&repos, &["forget", "latest", "--append-only"], 1, &["append-only"]);

    // Damage in one place is found there, and does no harm where another is whole.
    let pack = walk(&a.join("data")).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let damaged = fails(&repos, &["check", "--read-data", "--json"], 1, &[text(&a)]);
    assert!(lines(&damaged.stdout).pop().unwrap()["num_errors"].as_u64() > Some(0));
    let again = at("again");
    ok(&repos, &["restore", "--snapshot", &id, "--target", text(&again), "--root", &place]);
    assert_same_tree(&tree, &again, Compare::full());
    assert!(ok(&repos, &["repair", "replicas"]).contains("1 files replaced"));
    assert!(ok(&repos, &["check", "--read-data"]).contains("no errors were found"));
}

#[test]
fn every_refusal_has_its_code_and_says_what_to_do() {
    let dir = temp_dir();
    let at = |name: &str| dir.path().join(name);
    let (repo, tree, away) = (at("repo"), at("tree"), at("away"));
    Shape::new(4).files(5).bytes(4 << 10).build(&tree).unwrap();
    let run = ["run", "--source", text(&tree)];
    fails(&[&repo], &run, 10, &["no repository", "init", text(&repo)]);
    assert!(!repo.exists(), "looking made the place");
    ok(&[&repo], &["init"]);
    fails(&[&repo], &["init"], 1, &["already"]);
    ok(&[&repo], &run);
    let wrong = backup(&[&repo], &["snapshots"], Some("not it"));
    assert!(wrong.code == Some(12) && wrong.stderr.contains("password"), "{}", wrong.output());
    let none = backup(&[&repo], &["snapshots"], None);
    assert!(none.code == Some(1) && none.stderr.contains("AETHERIUS_PASSWORD"), "{}", none.output());
    let file = at("password");
    std::fs::write(&file, format!("{PASSWORD}\nanother line\n")).unwrap();
    let read = backup(&[&repo], &["snapshots", "--password-file", text(&file)], None);
    assert!(read.ok(), "{}", read.output());
    fails(&[], &["snapshots"], 1, &["--repo"]);
    fails(
        &[&repo],
        &["restore", "--snapshot", "zzz", "--target", text(&at("t"))],
        1,
        &["zzz", "list the snapshots"],
    );
    fails(&[&repo], &["run", "--source", text(&at("missing"))], 1, &["missing"]);
    fails(&[&repo], &["run", "--source", text(&tree), "--exclude", "a[b"], 1, &["a[b", "gitignore"]);
    fails(&[&repo], &["run"], 2, &["--source"]);
    for location in ["gopher://host/x", "ftp://x", "s3://"] {
        fails(&[Path::new(location)], &["snapshots"], 1, &[location]);
    }
    let json = fails(&[&away], &["snapshots", "--json"], 10, &["exit_error"]);
    assert_eq!(lines(&json.stderr).pop().unwrap()["code"], 10);

    // A run that hangs holds a lock that an exclusive prune must wait for.
    let (bin, git) = (at("bin"), at("git"));
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir(&git).unwrap();
    std::fs::write(bin.join("git"), "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(bin.join("git"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut hanging = Command::new(binary());
    hanging.args(["run", "--git", text(&git), "--repo", text(&repo)]).env("AETHERIUS_PASSWORD", PASSWORD);
    hanging.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let mut hanging = Subject::start(hanging);
    while walk(&repo.join("locks")).is_empty() {
        assert!(hanging.running(), "it ended before it took its lock");
        std::thread::sleep(Duration::from_millis(20));
    }
    fails(&[&repo], &["prune", "--exclusive"], 11, &["locked", "process"]);
    drop(hanging);
    let help = backup(&[], &["--help"], None);
    for word in ["Exit codes", "AETHERIUS_PASSWORD", "snapshots", "restore"] {
        assert!(help.ok() && help.stdout.contains(word), "{}", help.output());
    }
}

#[test]
fn what_cannot_be_read_makes_the_run_incomplete_and_is_named() {
    let dir = temp_dir();
    let (repo, tree) = (dir.path().join("repo"), dir.path().join("tree"));
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("kept"), "kept").unwrap();
    let git = dir.path().join("not a repository");
    std::fs::create_dir(&git).unwrap();
    ok(&[&repo], &["init"]);
    let failed =
        fails(&[&repo], &["run", "--source", text(&tree), "--git", text(&git)], 1, &["git repository"]);
    assert!(!failed.stdout.contains("saved"));
    // A replica that takes nothing: the other one has the snapshot.
    let second = dir.path().join("second");
    let both = [repo.as_path(), second.as_path()];
    ok(&both, &["init", "--attach"]);
    ok(&both, &["run", "--source", text(&tree)]);
    std::fs::write(second.join("config"), "damaged").unwrap();
    std::fs::write(tree.join("more"), "more").unwrap();
    let lagging = fails(&both, &["run", "--source", text(&tree), "--json"], 3, &["second"]);
    let summary = lines(&lagging.stdout).pop().unwrap();
    assert_eq!(summary["lagging"][0], text(&second), "{summary}");
    std::fs::copy(repo.join("config"), second.join("config")).unwrap();
    ok(&both, &["run", "--source", text(&tree)]);
    assert!(ok(&[&second], &["check", "--read-data"]).contains("no errors were found"));
    // A replica that is empty is not taken for a new disk.
    std::fs::remove_dir_all(&second).unwrap();
    std::fs::create_dir(&second).unwrap();
    fails(&both, &["run", "--source", text(&tree)], 10, &["second", "mounted"]);
}

/// Every file below a directory; none when it is not there.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
