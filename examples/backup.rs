//! Backups on the command line: restic repositories in one or several places.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

#[path = "support/backup/mod.rs"]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    support::main()
}
