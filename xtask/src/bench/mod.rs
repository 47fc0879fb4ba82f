//! `cargo xtask bench`: rows of ours against the peers, and the page that shows them.

mod machine;
mod page;
mod plot;
mod row;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;

use crate::{Result, provision, run, workspace};
use row::Row;

/// What is measured, in the order of the page, and under which heading.
const BENCHES: &[(&str, &str)] = &[
    ("cache", "Cache"),
    ("files", "Files"),
    ("db", "Database"),
    ("backup", "Backup"),
    ("postgres", "PostgreSQL backup"),
    ("metrics", "Metrics"),
];

/// What to measure, and how to show it.
#[derive(Args)]
pub(crate) struct Options {
    /// One of cache, files, db, backup, postgres, metrics; all when none is named.
    name: Option<String>,
    /// Prints the rows as JSON lines and leaves the page as it is.
    #[arg(long)]
    json: bool,
    /// Takes the rows from this file of JSON lines, as `aeth-vs` prints them, instead of measuring: for figures of
    /// a run that had the machine to itself.
    #[arg(long, requires = "name")]
    rows: Option<std::path::PathBuf>,
    /// Runs the root package's criterion benches of the same name as well.
    #[arg(long)]
    criterion: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen: Vec<(&str, &str)> = BENCHES
        .iter()
        .copied()
        .filter(|(name, _)| options.name.as_deref().is_none_or(|n| n == *name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        return Err(format!("no such bench; there are: {}", names.join(", ")));
    }
    if options.rows.is_none() {
        let provided = provision::everything().and_then(|()| provision::peers());
        provided.or_else(|why| if options.json { Ok(()) } else { Err(why) })?;
    }
    let mut missed = 0;
    for (name, title) in chosen {
        let rows = match &options.rows {
            Some(file) => read(file)?,
            None => measure(name)?,
        };
        for row in &rows {
            println!("{}", if options.json { row.json() } else { row.line() });
        }
        missed += rows.iter().filter(|row| !row.met).count();
        if !options.json && !rows.is_empty() {
            page::render(name, title, &rows)?;
        }
        if options.criterion {
            criterion(name)?;
        }
    }
    if missed == 0 { Ok(()) } else { Err(format!("{missed} targets are not met")) }
}

/// Runs `aeth-vs NAME`: rows come as JSON lines on its standard output, all else on the other.
fn measure(name: &str) -> Result<Vec<Row>> {
    let mut command =
        workspace::cargo(&["run", "--quiet", "--profile", "bench", "-p", "aeth-vs", "--", name]);
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| format!("{command:?}: {e}"))?;
    let out = child.stdout.take().ok_or("no output")?;
    let rows = parse(BufReader::new(out));
    let status = child.wait().map_err(|e| e.to_string())?;
    if status.success() { rows } else { Err(format!("the bench {name} ended with {status}")) }
}

fn read(file: &std::path::Path) -> Result<Vec<Row>> {
    let file_of_rows = std::fs::File::open(file).map_err(|e| format!("{}: {e}", file.display()))?;
    parse(BufReader::new(file_of_rows))
}

fn parse(lines: impl BufRead) -> Result<Vec<Row>> {
    lines
        .lines()
        .map_while(std::result::Result::ok)
        .filter(|line| !line.trim().is_empty())
        .map(|line| Row::parse(&line))
        .collect()
}

fn criterion(name: &str) -> Result<()> {
    let members = workspace::members()?;
    if !members.iter().any(|member| member.name == "aetherius" && member.has("bench", name)) {
        return Ok(());
    }
    let command = workspace::cargo(&["bench", "-p", "aetherius", "--all-features", "--bench", name]);
    if run::stream(command, Duration::from_secs(3600)).ok {
        Ok(())
    } else {
        Err(format!("criterion bench {name} failed"))
    }
}
