//! A tier of one's own: a directory of files. First it must keep the laws of the contract, then it serves as the
//! lower level of a typed cache and carries what was loaded over a restart.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

#[path = "support/file_tier.rs"]
mod file_tier;

use aetherius::cache::{CacheOptions, Caches};
use aetherius::core::cache::CacheTier;
use aetherius::core::conformance::cache_tier::TierSubject;
use aetherius::{Error, Lifecycle, Result, SystemClock};
use clap::Parser;
use file_tier::FileTier;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Checks the laws of a cache tier on a tier of files, then uses it below a typed cache: values that were loaded
/// once are there after a restart.
///
/// Exit codes: 0 success, 1 failure (a law is broken, or a value is lost), 2 wrong usage.
#[derive(Parser)]
#[command(name = "custom_tier", version)]
struct Args {
    /// Where the entries lie; they are kept, and found again by the next run. Default: a temporary directory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Values to load.
    #[arg(long, value_name = "N", default_value_t = 200)]
    values: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run(args))) {
        Ok(()) => {
            println!("custom_tier: OK");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("custom_tier: {error}");
            if let Some(remedy) = error.remedy() {
                eprintln!("  {remedy}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let temporary = tempfile::Builder::new().prefix("aetherius-custom-tier-").tempdir()?;
    let dir = args.dir.unwrap_or_else(|| temporary.path().join("entries"));
    laws(&temporary.path().join("laws")).await?;
    for start in ["first", "second"] {
        serve(&dir, start, args.values).await?;
    }
    Ok(())
}

/// Two handles on one directory are what two processes have.
async fn laws(dir: &Path) -> Result<()> {
    let open = || FileTier::open(dir, SystemClock::shared());
    let subject = TierSubject::new(open()?, SystemClock::shared()).with_other(open()?);
    let report = subject.run().await;
    println!("{report}");
    report.into_result().map(drop)
}

/// What an application does: the tier is one line.
async fn serve(dir: &Path, start: &str, values: u64) -> Result<()> {
    let tier = FileTier::open(dir, SystemClock::shared())?;
    let caches = Caches::builder().memory(16 << 20).tier(Arc::new(tier.clone())).build()?;
    let squares = caches.open::<u64>("squares", CacheOptions::new().fresh_for(Duration::from_secs(3600)))?;
    let loads = Arc::new(AtomicU64::new(0));
    for n in 0..values {
        let counted = Arc::clone(&loads);
        let load = move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Error>(n * n)
        };
        let square = squares.get_or_load(&n, load).await?;
        if *square != n * n {
            return Err(Error::corrupt(format!("the square of {n} came back as {square}")));
        }
    }
    let loads = loads.load(Ordering::Relaxed);
    let told = tier.statistics();
    println!(
        "{start} start: {values} values, {loads} loaded, {} found in files, {} stored, {} damaged",
        told.hits, told.puts, told.damaged
    );
    caches.close(Duration::from_secs(5)).await?;
    if start == "second" && loads > 0 {
        return Err(Error::corrupt(format!("{loads} values were lost over a restart")));
    }
    Ok(())
}
