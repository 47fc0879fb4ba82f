//! Each feature alone compiles.

use std::time::{Duration, Instant};

use crate::{Result, run, workspace};

/// Checks every published crate with no feature and with each feature by itself.
pub(crate) fn check() -> Result<()> {
    let mut broken = Vec::new();
    let mut passed = 0;
    for member in workspace::members()?.iter().filter(|member| member.published) {
        let alone = member.features.iter().map(String::as_str).filter(|feature| *feature != "default");
        for feature in std::iter::once("").chain(alone) {
            let name = if feature.is_empty() { "(none)" } else { feature };
            let started = Instant::now();
            let mut command =
                workspace::cargo(&["check", "--quiet", "-p", &member.name, "--no-default-features"]);
            command.args(["--features", feature]).env("RUSTFLAGS", "-Dwarnings");
            let ok = run::stream(command, Duration::from_secs(1800)).ok;
            println!(
                "{} {} {name}: {:.0?}",
                if ok { "ok  " } else { "FAIL" },
                member.name,
                started.elapsed()
            );
            if ok {
                passed += 1;
            } else {
                broken.push(format!("{} with {name}", member.name));
            }
        }
    }
    println!("{passed} passed, {} failed", broken.len());
    if broken.is_empty() { Ok(()) } else { Err(format!("does not compile alone: {}", broken.join("; "))) }
}
