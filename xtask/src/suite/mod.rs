//! `cargo xtask test`: every gate and every test, one after the other, and a table of what ran.

mod binaries;
mod dependencies;
mod end_to_end;
mod licence;
mod policy;

use std::time::{Duration, Instant};

use clap::Args;

use crate::run::{self, Outcome};
use crate::{Result, provision, workspace};

/// Which part of it to run.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Leaves out what needs a second build or runs long: the documentation and the end-to-end run.
    #[arg(long)]
    fast: bool,
    /// One step by its name (format, lint, test, doc, dependencies, end-to-end), or, when no step is named
    /// so, only the tests whose name contains it.
    filter: Option<String>,
}

/// A step: its name, whether `--fast` leaves it out, and what it does.
struct Step {
    name: &'static str,
    long: bool,
    run: fn(&Context) -> Outcome,
}

/// What the steps share.
struct Context {
    python: std::path::PathBuf,
    test_filter: Option<String>,
}

const STEPS: &[Step] = &[
    Step { name: "format", long: false, run: |_| cargo(&["fmt", "--all", "--", "--check", "-l"], 5) },
    Step { name: "lint", long: false, run: lint },
    Step { name: "test", long: false, run: test },
    Step { name: "doc", long: true, run: doc },
    Step { name: "dependencies", long: false, run: |_| Outcome::of(dependencies::check()) },
    Step { name: "end-to-end", long: true, run: |_| end_to_end::run() },
];

/// One line of the table.
struct Line {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

/// Runs the steps that `options` choose; an error when any of them failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let begun = Instant::now();
    let by_name = options.filter.as_deref().filter(|filter| STEPS.iter().any(|step| step.name == *filter));
    let test_filter = options.filter.clone().filter(|_| by_name.is_none());
    let only = by_name.or(test_filter.as_ref().map(|_| "test"));
    let mut lines = Vec::new();

    heading("prepare");
    let started = Instant::now();
    let prepared = provision::everything().and_then(|()| provision::python());
    let python = prepared.clone().unwrap_or_default();
    lines.push(Line {
        name: "prepare",
        took: started.elapsed(),
        outcome: Outcome::of(prepared.map(|_| Vec::new())),
    });

    let context = Context { python, test_filter };
    for step in
        STEPS.iter().filter(|step| only.map_or(!(options.fast && step.long), |name| name == step.name))
    {
        heading(step.name);
        let started = Instant::now();
        let outcome = (step.run)(&context);
        lines.push(Line { name: step.name, took: started.elapsed(), outcome });
    }
    summary(&lines, begun.elapsed())
}

fn heading(name: &str) {
    println!("\n==== {name} ====");
}

/// Prints the table; its last line is `N passed, N failed`.
fn summary(lines: &[Line], total: Duration) -> Result<()> {
    heading("summary");
    let (mut passed, mut failed) = (0, 0);
    for Line { name, took, outcome } in lines {
        let tests = if outcome.passed + outcome.failed > 0 {
            format!("{} of {} tests", outcome.passed, outcome.passed + outcome.failed)
        } else {
            String::new()
        };
        println!("{:<14}{:<6}{:>7}  {tests}", name, if outcome.ok { "ok" } else { "FAILED" }, clock(*took));
        for note in &outcome.notes {
            println!("{:14}{}", "", note.replace('\n', "\n              "));
        }
        passed += outcome.passed + u64::from(outcome.ok);
        // A step that failed by its tests counts by them alone.
        failed += outcome.failed + u64::from(!outcome.ok && outcome.failed == 0);
    }
    println!("{:<20}{:>7}", "total", clock(total));
    println!("{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err("not everything passed; the table above says what".into()) }
}

fn clock(took: Duration) -> String {
    format!("{}:{:02}", took.as_secs() / 60, took.as_secs() % 60)
}

fn cargo(arguments: &[&str], minutes: u64) -> Outcome {
    run::stream(workspace::cargo(arguments), Duration::from_secs(minutes * 60))
}

fn lint(_: &Context) -> Outcome {
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"], 25)
}

fn test(context: &Context) -> Outcome {
    binaries::run(&context.python, context.test_filter.as_deref())
}

fn doc(_: &Context) -> Outcome {
    let mut command = workspace::cargo(&["doc", "--workspace", "--no-deps", "--all-features"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    run::stream(command, Duration::from_secs(15 * 60))
}
