//! A parquet scan over encrypted, cached and mirrored data.
//!
//! The table lies sealed in three local directories; `AsObjectStore` shows them as one `object_store`, and the crate
//! `parquet` reads it with its own reader. A query of a range of ids needs few pages of two of the four columns: the
//! program works out which from the file's page index, runs the scan, and holds the counters of the layers against
//! that: what was fetched from the mirror, and which segments were opened. It ends with `parquet_scan: OK`, or says
//! what was fetched or opened in vain.
//!
//! ```sh
//! cargo run --release -p parquet-scan -- --rows 2000000
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::future_not_send,
    clippy::large_futures,
    reason = "a program prints, and awaits what it does where it is"
)]

mod layers;
mod plan;
mod table;

use clap::Parser;
use layers::{Counts, Layers};
use plan::Plan;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Scans a parquet table over encrypted, cached and mirrored data, and shows what that fetches and opens.
#[derive(Debug, Parser)]
#[command(name = "parquet_scan")]
struct Options {
    /// Rows of the table.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100_000..=100_000_000))]
    rows: u64,
    /// Where the three copies are kept; a temporary directory by default.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => {
            println!("parquet_scan: OK");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("parquet_scan: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), BoxError> {
    let scratch = tempfile::tempdir()?;
    let dir = options.dir.unwrap_or_else(|| scratch.path().to_path_buf());
    let layers = Layers::open(&dir).await?;
    let table = table::write(&layers.outward, options.rows).await?;
    println!(
        "wrote {} rows, {} in {} pages, sealed in {} segments, to 3 locations",
        options.rows,
        mib(table.size),
        table.pages,
        layers.segments(table.size)?
    );

    // A narrow query in the middle, one over the border of two row groups, and the first one again.
    let middle = options.rows / 2 + options.rows / 7;
    let narrow = middle..middle + options.rows / 100;
    let border = table::rows_in_group(options.rows);
    let wide = border - options.rows / 200..border + options.rows / 200;
    scan(&layers, &table, "a narrow query, nothing cached", &narrow, false).await?;
    scan(&layers, &table, "over the border of two row groups", &wide, false).await?;
    scan(&layers, &table, "the narrow query again", &narrow, true).await
}

/// Runs a query and holds what it cost against its plan. `again` says that the same query ran before.
async fn scan(
    layers: &Layers,
    table: &table::Table,
    what: &str,
    ids: &Range<u64>,
    again: bool,
) -> Result<(), BoxError> {
    let reader = table.reader(&layers.outward).await?;
    let plan = Plan::new(reader.metadata(), ids, layers, table.size)?;
    let start = layers.counts();
    let answer = table.answer(reader, &plan, ids).await?;
    let cost = layers.counts().since(&start);
    println!("\n{what}: ids {}..{}", ids.start, ids.end);
    println!("  answer     {} rows, amounts of {:.2} in all", answer.rows, answer.sum);
    println!(
        "  touched    {} pages of {}, {}; {} segments of {}",
        plan.pages,
        table.pages,
        mib(plan.bytes),
        plan.segments.len(),
        layers.segments(table.size)?
    );
    println!("  fetched    {} cache pages in {} requests, {}", cost.misses, cost.requests, mib(cost.fetched));
    println!("  from disk  {} in {} locations", mib(cost.read), layers.locations.len());
    println!("  opened     {} segments; {} cache pages were there", cost.opened, cost.hits);
    if answer.rows != ids.end - ids.start || answer.sum.to_bits() != table::sum(ids).to_bits() {
        return Err(format!("another answer: {} rows, {}", answer.rows, answer.sum).into());
    }
    check(&plan, &cost, again)
}

/// Whether the counters are those of the plan.
fn check(plan: &Plan, cost: &Counts, again: bool) -> Result<(), BoxError> {
    let opens = plan.opens as u64;
    if cost.opened != opens {
        return Err(format!("{} segments were opened where {opens} were touched", cost.opened).into());
    }
    // Pages of the cache are as long as segments and lie on them; those of the file's metadata are there already.
    if cost.hits + cost.misses != opens {
        return Err(format!("{} cache pages were read, {opens} touched", cost.hits + cost.misses).into());
    }
    if again && (cost.misses, cost.requests, cost.fetched) != (0, 0, 0) {
        return Err("what was there already was fetched again".into());
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a figure to read")]
fn mib(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}
