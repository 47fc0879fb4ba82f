//! Keeping a repository well.

use super::args::Check;
use super::exit::Outcome;
use super::location::Access;
use super::output::{Output, clock, size};
use super::progress::follow;
use aetherius::backup::{CheckOptions, Progress};
use aetherius::{Error, Result};
use serde_json::json;

pub(super) async fn check(access: &Access, args: &Check, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let progress = Progress::new();
    let options = match args.rotate {
        Some(days) => CheckOptions::rotation(days),
        None if args.read_data => CheckOptions::all_data(),
        None => CheckOptions::structure(),
    };
    let bar = follow("checking", None, &progress, output);
    let report = repository.check(options.progress(progress)).await;
    drop(bar);
    let report = report?;
    let told = |finding: &aetherius::backup::CheckFinding| match &finding.sink {
        Some(sink) => format!("{sink}: {}", finding.error),
        None => finding.error.to_string(),
    };
    for hint in &report.hints {
        output.line(format!("hint: {}", told(hint)));
    }
    for finding in &report.errors {
        output.warning(&told(finding));
    }
    output.line(format!(
        "{} snapshots, {} trees, {} packs looked at, {} read in {}",
        report.snapshots,
        report.trees,
        report.packs,
        size(report.read),
        clock(report.elapsed)
    ));
    output.value(|| {
        json!({
            "message_type": "summary",
            "num_errors": report.errors.len(),
            "errors": report.errors.iter().map(told).collect::<Vec<_>>(),
            "hints": report.hints.iter().map(told).collect::<Vec<_>>(),
            "snapshots": report.snapshots, "trees": report.trees, "packs": report.packs, "bytes_read": report.read,
        })
    });
    if report.is_ok() {
        output.line("no errors were found");
        return Ok(Outcome::Complete);
    }
    Err(Error::corrupt(format!("the repository has {} faults", report.errors.len()))
        .with_operation("check")
        .with_remedy("keep what you have; another location that is whole gives everything back"))
}
