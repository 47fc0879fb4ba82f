//! The toolchain's components.

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
