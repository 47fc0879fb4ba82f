//! The project's tool, run as `cargo xtask COMMAND`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command-line tool prints, and measures real time"
)]

mod bench;
mod features;
mod provision;
mod run;
mod suite;
mod torture;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What every command answers: the message of a failure is for the person at the terminal.
type Result<T> = std::result::Result<T, String>;

/// The project's tool.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Finds or installs what the tests need: restic, Redis, PostgreSQL, Python with Tink, promtool, rustfmt, clippy.
    Setup,
    /// Runs all the tests and gates, and ends with what passed and failed.
    Test(suite::Options),
    /// What continuous integration runs: the same as `test`.
    Ci,
    /// Checks that each feature of each published crate compiles alone.
    Features,
    /// Runs long seeded campaigns.
    Torture(torture::Options),
    /// Measures against the peers and renders docs/benchmarks.md.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Setup => provision::everything(),
        Command::Test(options) => suite::run(&options),
        Command::Ci => suite::run(&suite::Options::default()),
        Command::Features => features::check(),
        Command::Torture(options) => torture::run(&options),
        Command::Bench(options) => bench::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
