//! Whole backup runs, each in a process of its own, against restic, borg and (where it is installed) rustic.
//!
//! Ours, restic and rustic start from copies of one empty repository that restic made: the same chunker, the same
//! cost of the password. All read the same files from a warm page cache and write to the same disk. Borg compresses
//! by zstd level 3, as restic and rustic do by default.
//!
//! - `AETH_BENCH_SCALE` scales the data (1 by default: 1 GiB, 1 GiB and 100,000 files),
//! - `AETH_BENCH_ROUNDS` repeats everything (2 by default; the best round of each figure counts),
//! - `AETH_BENCH_ONLY` names one data set (`random`, `mixed`, `small`),
//! - `AETH_BENCH_DIR` is where the data goes (6 times its size; the system's temporary directory by default). All
//!   contestants wait for what they wrote to be on the disk, so that on a slow one the walls of all are the disk's;
//!   a file system in memory shows what the programs do,
//! - `AETH_RUSTIC` is rustic's program, which no Debian package brings: `cargo install rustic-rs --locked` takes
//!   about 20 minutes of a processor; without it its rows are left out.

mod data;
mod figures;
pub(crate) mod process;
mod rows;
mod spend;
mod tools;

use std::path::{Path, PathBuf};

use crate::BoxError;
use crate::row::Row;
use data::Set;
use figures::{Figures, Operation};
use spend::spend;
use tools::{Level, Tool};

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let base = std::env::var_os("AETH_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::Builder::new().prefix("aeth-vs-").tempdir_in(base)?;
    let tools = tools::installed(dir.path())?;
    for set in Set::ALL {
        if std::env::var("AETH_BENCH_ONLY").is_ok_and(|only| only != set.name()) {
            continue;
        }
        let source = dir.path().join("source");
        set.generate(&source, scale())?;
        let mut figures = Figures::new(set, data::measure(&source)?);
        eprintln!("{}: {}", set.name(), figures.input);
        for round in 0..rounds() {
            // Whoever comes first pays for memory that the machine has to find.
            let mut tools: Vec<&Tool> = tools.iter().collect();
            let first = usize::try_from(round).unwrap_or(0) % tools.len();
            tools.rotate_left(first);
            cycle(dir.path(), &source, &tools, round, &mut figures)?;
        }
        rows::of(&figures, report);
        std::fs::remove_dir_all(&source)?;
    }
    Ok(())
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn scale() -> f64 {
    number("AETH_BENCH_SCALE", 1.0_f64).max(0.001)
}

fn rounds() -> u64 {
    number("AETH_BENCH_ROUNDS", 2_u64).max(1)
}

/// Everything that is asked of a data set, once; the tools take turns.
fn cycle(
    dir: &Path,
    source: &Path,
    tools: &[&Tool],
    round: u64,
    figures: &mut Figures,
) -> Result<(), BoxError> {
    let template = dir.join("template");
    if !template.exists() {
        tools::make_template(&template)?;
    }
    for tool in tools {
        let repository = dir.join(tool.key());
        tool.prepare(&template, &repository)?;
        let spent = spend(tool.backup(&repository, source, Level::Default))?;
        figures.add(tool, Operation::First, &spent, data::bytes_below(&repository)?);
    }
    if figures.set.measures_more_sinks() {
        more_sinks(dir, &template, source, figures)?;
    }
    if figures.set == Set::Small {
        for tool in tools {
            grown(dir, source, tool, Operation::Unchanged, figures)?;
        }
    }
    for tool in tools {
        let (repository, target) = (dir.join(tool.key()), dir.join("target"));
        std::fs::create_dir_all(&target)?;
        let spent = spend(tool.restore(&repository, &target))?;
        figures.add(tool, Operation::Restore, &spent, 0);
        let (back, went) = (data::measure(&target)?, data::measure(source)?);
        if back != went {
            return Err(format!("{} restored {back} instead of {went}", tool.name()).into());
        }
        std::fs::remove_dir_all(&target)?;
    }
    for tool in tools {
        let spent = spend(tool.check(&dir.join(tool.key())))?;
        figures.add(tool, Operation::Check, &spent, 0);
    }
    data::change(source, round)?;
    if figures.set != Set::Random {
        for tool in tools {
            grown(dir, source, tool, Operation::Changed, figures)?;
        }
    }
    judge(dir)?;
    for tool in tools {
        std::fs::remove_dir_all(dir.join(tool.key()))?;
    }
    Ok(())
}

/// A further run into a repository, and what it adds.
fn grown(
    dir: &Path,
    source: &Path,
    tool: &Tool,
    operation: Operation,
    figures: &mut Figures,
) -> Result<(), BoxError> {
    let repository = dir.join(tool.key());
    let before = data::bytes_below(&repository)?;
    let spent = spend(tool.backup(&repository, source, Level::Default))?;
    let added = data::bytes_below(&repository)?.saturating_sub(before);
    figures.add(tool, operation, &spent, added);
    Ok(())
}

/// Ours alone: at the fast level, to two and three sinks, and into what restic has filled with the same data.
fn more_sinks(dir: &Path, template: &Path, source: &Path, figures: &mut Figures) -> Result<(), BoxError> {
    let ours = Tool::ours()?;
    let sinks: Vec<PathBuf> = (0..3).map(|number| dir.join(format!("sink-{number}"))).collect();
    let fresh = |count: usize| -> Result<(), BoxError> {
        sinks.iter().take(count).try_for_each(|sink| ours.prepare(template, sink))
    };
    for (count, level, operation) in [
        (1, Level::Fast, Operation::Fast),
        (2, Level::Default, Operation::TwoSinks),
        (3, Level::Default, Operation::ThreeSinks),
    ] {
        fresh(count)?;
        let sinks: Vec<&Path> = sinks.iter().take(count).map(PathBuf::as_path).collect();
        let spent = spend(process::backup(&sinks, source, level)?)?;
        figures.add(&ours, operation, &spent, data::bytes_below(sinks[0])?);
    }
    tools::copy(&dir.join("restic"), &sinks[0])?;
    let spent = spend(process::backup(&[&sinks[0]], source, Level::Default)?)?;
    figures.add(&ours, Operation::IntoRestics, &spent, 0);
    sinks.iter().try_for_each(std::fs::remove_dir_all)?;
    Ok(())
}

/// Speed is worth nothing if the result is not right: restic judges every byte that we wrote.
fn judge(dir: &Path) -> Result<(), BoxError> {
    let mut check = tools::restic(&dir.join("ours"), &dir.join("judge"));
    check.args(["check", "--read-data"]);
    spend(check).map(drop)
}
