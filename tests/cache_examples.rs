//! The examples of the cache, as a user runs them.
#![cfg(feature = "redis")]
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use testkit::{Ended, Subject};

/// Examples stand beside the tests' own directory; `cargo test` builds them before it runs any test.
fn example(name: &str) -> Command {
    let own = std::env::current_exe().unwrap();
    let program: PathBuf = own.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.is_file(), "{name} is not built: run `cargo build --examples --all-features`");
    Command::new(program)
}

fn run(command: Command) -> Ended {
    Subject::start(command).wait(Duration::from_secs(300))
}

#[test]
fn cache_cluster_shows_an_outage_that_nobody_notices() {
    let mut command = example("cache_cluster");
    command.args(["--seconds", "1"]);
    let ended = run(command);
    println!("{}", ended.stdout);
    assert!(ended.ok(), "{}", ended.output());
    assert_eq!(ended.stdout.lines().last(), Some("cache_cluster: OK"), "{}", ended.output());
    let mut command = example("cache_cluster");
    command.args(["--processes", "1"]);
    let ended = run(command);
    assert_eq!(ended.code, Some(2), "{}", ended.output());
}

#[test]
fn custom_tier_keeps_the_laws_and_its_values() {
    let dir = testkit::temp_dir();
    let mut command = example("custom_tier");
    command.arg("--dir").arg(dir.path().join("entries"));
    let ended = run(command);
    assert!(ended.ok(), "{}", ended.output());
    assert!(ended.stdout.contains("0 failed"), "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().last(), Some("custom_tier: OK"), "{}", ended.output());
    let mut command = example("custom_tier");
    command.args(["--dir", "/proc/nowhere"]);
    let ended = run(command);
    assert_eq!(ended.code, Some(1), "{}", ended.output());
    assert!(ended.stderr.contains("give a directory"), "{}", ended.output());
    assert!(
        run({
            let mut command = example("custom_tier");
            command.arg("--help");
            command
        })
        .stdout
        .contains("Usage")
    );
}
