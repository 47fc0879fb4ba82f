//! Ours against the peers: `aeth-vs NAME` measures and prints one JSON row a line (see CONTRIBUTING.md,
//! *Benches*); everything else goes to standard error. `cargo xtask bench` runs it and renders the page.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::future_not_send,
    clippy::large_futures,
    reason = "a measuring program prints, measures real time, and awaits what it measures where it is"
)]

mod backup;
mod cache;
mod db;
mod files;
mod measure;
mod metrics;
mod row;

use std::process::ExitCode;

use row::Row;

/// Measures one area and hands each row over as soon as it has it.
type Bench = fn(&mut dyn FnMut(Row)) -> Result<(), BoxError>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can be measured. An area gets its line here together with its file.
const BENCHES: &[(&str, Bench)] = &[
    ("cache", cache::run),
    ("db", db::run),
    ("files", files::run),
    ("backup", backup::run),
    ("metrics", metrics::run),
];

/// What this program does as a process that it started itself.
type Role = fn(&mut dyn Iterator<Item = String>) -> Result<(), BoxError>;

const ROLES: &[(&str, Role)] = &[
    (backup::process::NAME, |arguments| backup::process::main(arguments)),
    (cache::process::NAME, |arguments| cache::process::main(arguments)),
    (files::memory::NAME, |arguments| files::memory::main(arguments)),
];

/// The areas that the page knows; one without a bench has no rows to print.
const AREAS: &[&str] = &["cache", "files", "db", "backup", "postgres", "metrics"];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next();
    if let Some((_, role)) = ROLES.iter().find(|(role, _)| name.as_deref() == Some(*role)) {
        return match role(&mut arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let known = name.as_deref().is_none_or(|name| AREAS.contains(&name));
    if !known || arguments.next().is_some() {
        eprintln!("usage: aeth-vs [{}]", AREAS.join("|"));
        return ExitCode::from(2);
    }
    for (area, bench) in BENCHES {
        if name.as_deref().is_none_or(|name| name == *area)
            && let Err(error) = bench(&mut |row| println!("{}", row.json(area)))
        {
            eprintln!("error: {area}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// A runtime of the caller's own thread: what is measured is the work, not the hand-over between threads.
fn runtime() -> Result<tokio::runtime::Runtime, BoxError> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
