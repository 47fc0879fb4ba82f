//! The toolchain's components.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::{Result, run, workspace};

/// rustfmt and clippy, added through rustup where they are missing.
pub(crate) fn components() -> Result<()> {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| {
            workspace::output(&mut workspace::cargo(&[subcommand, "--version"])).is_err()
        })
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add"]).args(&missing);
    if run::stream(rustup, Duration::from_secs(600)).ok {
        Ok(())
    } else {
        let names = missing.join(" ");
        Err(format!("this toolchain has no {names}: run `rustup component add {names}`"))
    }
}

/// The version that the tests and the notes on measurements speak of.
const RUSTIC: &str = "0.11.4";

/// `AETH_RUSTIC`, or the program that is built here when it is missing.
pub(super) fn rustic() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("AETH_RUSTIC") {
        return Ok(given.into());
    }
    let root = workspace::target_dir()?.join("xtask/rustic");
    let program = root.join("bin/rustic");
    if program.is_file() {
        return Ok(program);
    }
    let mut install = workspace::cargo(&["install", "rustic-rs", "--locked", "--version", RUSTIC, "--root"]);
    install.arg(&root);
    if run::stream(install, Duration::from_secs(2 * 3600)).ok {
        Ok(program)
    } else {
        Err(format!("rustic {RUSTIC} does not build: give a program in AETH_RUSTIC"))
    }
}
