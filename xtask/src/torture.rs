//! Long seeded campaigns: the tests named `torture_*` of a crate's `tests/torture.rs`, with large counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::{Result, provision, run, workspace};

/// What to run, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// The crate's campaigns to run (`backup`, `files`, …, `aetherius`); all when none is named.
    name: Option<String>,
    /// Seed of the first case; the others count up from it. A fresh one by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Cases of each campaign.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// Builds with optimisation.
    #[arg(long)]
    release: bool,
    /// Only the tests whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let members = workspace::members()?;
    let campaigns: Vec<&str> =
        members.iter().filter(|m| m.has("test", "torture")).map(|m| m.name.as_str()).collect();
    let chosen: Vec<&str> = match options.name.as_deref() {
        None => campaigns.clone(),
        Some(name) => campaigns
            .iter()
            .copied()
            .filter(|c| *c == name || c.strip_prefix("aeth-") == Some(name))
            .collect(),
    };
    if chosen.is_empty() {
        return Err(format!("no such campaign; there are: {}", campaigns.join(", ")));
    }
    let seed = options.seed.unwrap_or_else(fresh);
    let python = provision::python()?;
    let mut failed = Vec::new();
    for name in &chosen {
        println!("torture {name}: seeds {seed}..{}", seed.saturating_add(options.count));
        let mut command = workspace::cargo(&["test", "-p", name, "--all-features", "--test", "torture"]);
        if options.release {
            command.arg("--release");
        }
        command.args(["--", "--nocapture"]).args(options.only.as_deref());
        command
            .env("AETH_TORTURE_SEED", seed.to_string())
            .env("AETH_TORTURE_COUNT", options.count.to_string());
        command.env("AETH_PYTHON", &python);
        if *name == "aeth-backup" {
            // Its campaigns with rustic are ignored by the default tests: building it takes a quarter of an hour.
            command.arg("--include-ignored").env("AETH_RUSTIC", provision::rustic()?);
        }
        if !run::stream(command, Duration::from_secs(7 * 24 * 3600)).ok {
            failed.push(*name);
        }
    }
    println!("{} passed, {} failed", chosen.len() - failed.len(), failed.len());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} failed; the seed that did is printed above and runs alone with `--seed S --count 1`",
            failed.join(", ")
        ))
    }
}

fn fresh() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs())
}
