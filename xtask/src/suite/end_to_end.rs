//! The main job as a user runs it, judged by tools that are not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testkit::{Compare, Restic, Shape, Subject, restic_in, same_tree, temp_dir};

use crate::run::{self, Outcome};
use crate::{Result, workspace};

/// The password that `quickstart` uses when none is given.
const PASSWORD: &str = "quickstart";
/// The most resident memory, whatever the tree is.
const MEMORY: u64 = 400 << 20;
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Checks, each under its name, counted like tests.
#[derive(Default)]
struct Checks {
    outcome: Outcome,
}

impl Checks {
    /// Runs a check; `None` when it failed and what depends on it has nothing to stand on.
    fn check<T>(&mut self, name: &str, check: impl FnOnce() -> Result<T>) -> Option<T> {
        match check() {
            Ok(value) => {
                println!("check {name} ... ok");
                self.outcome.passed += 1;
                Some(value)
            }
            Err(why) => {
                println!("check {name} ... FAILED\n{why}");
                self.outcome.failed += 1;
                self.outcome.notes.push(format!("check {name}"));
                None
            }
        }
    }
}

/// Builds `quickstart` with the default features, as a host has them, and runs it on the project's own tree and on a
/// generated one. It is judged by what it does and not by its time, so it is built as the tests are.
pub(crate) fn run() -> Outcome {
    if !workspace::root().join("examples/quickstart.rs").is_file() {
        return Outcome::of(Err("examples/quickstart.rs is missing".into()));
    }
    let build = workspace::cargo(&["build", "--example", "quickstart"]);
    let built = run::stream(build, Duration::from_secs(30 * 60));
    if !built.ok {
        return built;
    }
    let mut checks = Checks::default();
    match workspace::target_dir() {
        Ok(target) => on_trees(&mut checks, &target.join("debug/examples/quickstart")),
        Err(why) => drop(checks.check("target directory", || Err::<(), _>(why))),
    }
    checks.outcome.ok = checks.outcome.failed == 0;
    checks.outcome
}

fn on_trees(checks: &mut Checks, program: &Path) {
    let scratch = temp_dir();
    let data = scratch.path().join("own");
    if checks.check("quickstart on the project's own tree", || quickstart(program, None, &data)).is_some() {
        for location in ["a", "b"] {
            let restic = repository(&data, location);
            checks.check(&format!("stock restic accepts its repository {location}"), || intact(&restic));
        }
    }

    let tree = scratch.path().join("tree");
    let data = scratch.path().join("data");
    let made = checks.check("a tree with everything odd in it", || {
        // Debian's restic is 0.14, which turns link targets that are not UTF-8 into U+FFFD.
        let shape = Shape::new(20_261_123).files(2000).bytes(48 << 20).foreign_targets(false);
        shape.build(&tree).map_err(|e| e.to_string())
    });
    let done =
        made.and_then(|_| checks.check("quickstart on it", || quickstart(program, Some(&tree), &data)));
    if done.is_none() {
        return;
    }
    for location in ["a", "b"] {
        let restic = repository(&data, location);
        checks.check(&format!("stock restic accepts repository {location}"), || intact(&restic));
        let out = scratch.path().join(format!("out-{location}"));
        checks.check(&format!("stock restic restores the same tree from {location}"), || {
            restored(&restic, &tree, &out)
        });
    }
    checks.check("a second run on the same data directory", || quickstart(program, Some(&tree), &data));
    checks.check("stock restic after the second run", || intact(&repository(&data, "a")));
}

fn repository(data: &Path, location: &str) -> Restic {
    restic_in(data.join("backups").join(location), PASSWORD)
}

/// Runs the example; it must end with its closing line, within its memory.
fn quickstart(program: &Path, tree: Option<&Path>, data: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command
        .current_dir(workspace::root())
        .args(tree)
        .arg("--data")
        .arg(data)
        .env_remove("AETHERIUS_PASSWORD");
    let ended = Subject::start(command).wait(LIMIT);
    println!("{}", ended.stdout.trim_end());
    println!("took {:.1?}, {} MiB resident at most", ended.took, ended.peak_memory >> 20);
    if !ended.ok() || ended.stdout.lines().last() != Some("quickstart: OK") {
        return Err(ended.output());
    }
    if ended.peak_memory > MEMORY {
        return Err(format!("took {} MiB of memory, {} are allowed", ended.peak_memory >> 20, MEMORY >> 20));
    }
    Ok(())
}

fn intact(restic: &Restic) -> Result<()> {
    let said = restic.try_run(["check", "--read-data"])?;
    if said.contains("no errors were found") { Ok(()) } else { Err(said) }
}

/// Restores every snapshot of the newest restore point and finds the tree among them.
fn restored(restic: &Restic, tree: &Path, out: &Path) -> Result<()> {
    let snapshots = restic.try_run(["snapshots", "--json"])?;
    let snapshots: serde_json::Value =
        serde_json::from_str(&snapshots).map_err(|e| format!("{e}: {snapshots}"))?;
    let snapshots = snapshots.as_array().ok_or("restic lists no snapshots")?;
    let mut looked = Vec::new();
    for id in snapshots.iter().filter_map(|snapshot| snapshot["id"].as_str()) {
        let target = out.join(id);
        let arguments = ["restore".as_ref(), id.as_ref(), "--target".as_ref(), target.as_os_str()];
        restic.try_run(arguments)?;
        if let Some(found) = find_copy(tree, &target) {
            let differences = same_tree(tree, &found, Compare::full()).map_err(|e| e.to_string())?;
            if differences.is_empty() {
                return Ok(());
            }
            let shown: Vec<String> = differences.iter().take(10).map(ToString::to_string).collect();
            return Err(format!("{} differences, the first: {}", differences.len(), shown.join("\n")));
        }
        looked.push(id.to_owned());
    }
    Err(format!("no restored snapshot holds the tree; there were {looked:?}"))
}

/// The directory under `within` that holds entries of the very names that `tree` holds.
fn find_copy(tree: &Path, within: &Path) -> Option<PathBuf> {
    let wanted = names(tree);
    let mut open = vec![within.to_path_buf()];
    while let Some(dir) = open.pop() {
        if names(&dir) == wanted {
            return Some(dir);
        }
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        open.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
    None
}

fn names(dir: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names
}
