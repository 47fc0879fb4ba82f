//! The built `quickstart` and what the tests ask of it.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use testkit::{Ended, Restic, Subject, restic_in};

pub(crate) const PASSWORD: &str = "a test's own password";
/// Generous: an unoptimised build on a loaded machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// The example's binary: `AETH_QUICKSTART`, or the one that `cargo test` has built beside this test. Under
/// `--test NAME` alone cargo builds no examples, so a missing one is built here.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(given) = std::env::var_os("AETH_QUICKSTART") {
            return given.into();
        }
        let exe = std::env::current_exe().unwrap();
        let profile = exe.ancestors().nth(2).unwrap();
        let program = profile.join("examples/quickstart");
        if !program.is_file() {
            let mut build = Command::new(env!("CARGO"));
            build
                .args(["build", "--all-features", "--example", "quickstart"])
                .current_dir(env!("CARGO_MANIFEST_DIR"));
            assert!(build.status().unwrap().success(), "the example does not build");
        }
        program
    })
}

/// `quickstart ARGS` with the tests' password.
pub(crate) fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program());
    command.args(args).env("AETHERIUS_PASSWORD", PASSWORD).env_remove("RUST_BACKTRACE");
    command
}

/// `quickstart TREE --data DATA`.
pub(crate) fn on(tree: &Path, data: &Path) -> Command {
    command([tree.as_os_str(), "--data".as_ref(), data.as_os_str()])
}

pub(crate) fn run(command: Command) -> Ended {
    let ended = Subject::start(command).wait(LIMIT);
    assert!(!ended.stderr.contains("panicked"), "it panicked: {}", ended.output());
    ended
}

/// Runs it and wants success with the closing line.
#[track_caller]
pub(crate) fn succeeds(command: Command) -> Ended {
    let ended = run(command);
    assert!(ended.ok() && ended.stdout.lines().last() == Some("quickstart: OK"), "{}", ended.output());
    ended
}

/// Runs it and wants a refusal whose message holds one of each group of words.
#[track_caller]
pub(crate) fn refused(command: Command, wanted: &[&[&str]]) -> Ended {
    let ended = run(command);
    assert!(ended.code.is_some_and(|code| code != 0), "not refused: {}", ended.output());
    assert!(!ended.stdout.contains("quickstart: OK"), "claims success: {}", ended.output());
    let message = ended.stderr.to_lowercase();
    for words in wanted {
        let named = words.iter().any(|word| message.contains(&word.to_lowercase()));
        assert!(named, "the message has none of {words:?}: {}", ended.output());
    }
    assert!(!message.contains(PASSWORD), "the password is in the message");
    ended
}

/// Both repositories under `data`.
pub(crate) fn repositories(data: &Path) -> [Restic; 2] {
    ["a", "b"].map(|location| restic_in(data.join("backups").join(location), PASSWORD))
}

/// Stock restic finds nothing wrong in either repository, data read or not.
#[track_caller]
pub(crate) fn intact(data: &Path, read_data: bool) {
    for restic in repositories(data) {
        let said = if read_data { restic.run(["check", "--read-data"]) } else { restic.run(["check"]) };
        assert!(said.contains("no errors were found"), "{said}");
    }
}
