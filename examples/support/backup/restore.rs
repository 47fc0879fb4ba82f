//! Getting things back.

use super::args::{Drill, Dump, Overwrite, Restore};
use super::exit::Outcome;
use super::location::Access;
use super::output::{Output, clock, size};
use super::progress::follow;
use aetherius::backup::{DrillOptions, Existing, Glob, Progress, RestoreOptions};
use aetherius::{Error, Result};
use futures_util::TryStreamExt;
use serde_json::json;
use std::io::Write;

pub(super) async fn restore(access: &Access, args: &Restore, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let snapshot = repository.snapshot_matching(&args.snapshot, &args.filter.build()).await?;
    let progress = Progress::new();
    let mut options = RestoreOptions::new(&args.target)
        .verify(args.verify)
        .delete(args.delete)
        .dry_run(args.dry_run)
        .progress(progress.clone());
    for pattern in &args.exclude {
        options = options.exclude(Glob::new(pattern)?);
    }
    if let Some(root) = &args.root {
        options = options.root(root);
    }
    for path in &args.include {
        options = options.include(path);
    }
    if let Some(overwrite) = args.overwrite {
        options = options.existing(match overwrite {
            Overwrite::Always => Existing::Update,
            Overwrite::IfChanged => Existing::IfChanged,
            Overwrite::IfNewer => Existing::IfNewer,
            Overwrite::Never => Existing::Keep,
        });
    }
    let bar = follow("restoring", None, &progress, output);
    let report = repository.restore(&snapshot, options).await;
    drop(bar);
    let report = report?;
    for item in &report.skipped {
        output.warning(&format!("not restored: {item}"));
    }
    let verb = if args.dry_run { "would restore" } else { "restored" };
    output.line(format!(
        "{verb} {} files, {} directories, {} of snapshot {} to {} in {}",
        report.files,
        report.directories,
        size(report.bytes),
        snapshot.id.short(),
        args.target.display(),
        clock(report.elapsed)
    ));
    if report.unchanged > 0 || report.deleted > 0 || report.unchanged_bytes > 0 {
        output.line(format!(
            "{} files stay as they are, {} were there already, {} entries {}",
            report.unchanged,
            size(report.unchanged_bytes),
            report.deleted,
            if args.dry_run { "would be deleted" } else { "deleted" }
        ));
    }
    if args.verify {
        output.line(format!("{} files were read again and are right", report.verified));
    }
    output.value(|| {
        json!({
            "message_type": "summary",
            "snapshot_id": snapshot.id.to_string(),
            "files_restored": report.files,
            "directories_restored": report.directories,
            "bytes_restored": report.bytes,
            "files_verified": report.verified,
            "files_unchanged": report.unchanged,
            "bytes_unchanged": report.unchanged_bytes,
            "deleted": report.deleted,
            "dry_run": report.dry_run,
            "errors": report.skipped_total,
            "seconds_elapsed": report.elapsed.as_secs_f64(),
        })
    });
    Ok(Outcome::of(report.is_complete()))
}

pub(super) async fn drill(access: &Access, args: &Drill, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let scratch = match &args.scratch {
        Some(scratch) => scratch.clone(),
        None => std::env::temp_dir().join(format!("aetherius-drill-{}", std::process::id())),
    };
    let progress = Progress::new();
    let mut options = DrillOptions::new(&scratch)
        .snapshot(&args.snapshot)
        .filter(args.filter.build())
        .progress(progress.clone());
    if let Some(sample) = args.sample {
        options = options.sample(sample.bytes());
    }
    let bar = follow("restoring", None, &progress, output);
    let report = repository.drill(options).await;
    drop(bar);
    if args.scratch.is_none() {
        // Empty by now; what is left of it is the system's to remove.
        drop(std::fs::remove_dir(&scratch));
    }
    let report = report?;
    for item in &report.problems {
        output.warning(&format!("not restored: {item}"));
    }
    let verdict = if report.passed() { "passed" } else { "FAILED" };
    output.line(format!(
        "drill of snapshot {} {verdict}: {} of {} files, {} restored and read again in {}",
        report.snapshot.short(),
        report.files,
        report.wanted,
        size(report.bytes),
        clock(report.elapsed)
    ));
    output.value(|| {
        json!({
            "message_type": "drill",
            "snapshot_id": report.snapshot.to_string(),
            "passed": report.passed(),
            "files_wanted": report.wanted,
            "files_restored": report.files,
            "files_verified": report.verified,
            "bytes_restored": report.bytes,
            "errors": report.problems_total,
        })
    });
    if report.passed() {
        return Ok(Outcome::Complete);
    }
    Err(Error::corrupt("the snapshot cannot be restored as it was backed up")
        .with_operation("drill")
        .with_key(report.snapshot)
        .with_remedy("check the repository, and repair it from another location"))
}

pub(super) async fn dump(access: &Access, args: &Dump) -> Result<Outcome> {
    let repository = access.open().await?;
    let snapshot = repository.snapshot_matching(&args.snapshot, &args.filter.build()).await?;
    let mut content = repository.dump(&snapshot, &args.file).await?;
    let mut out = std::io::stdout();
    while let Some(bytes) = content.try_next().await? {
        out.write_all(&bytes)?;
    }
    out.flush()?;
    Ok(Outcome::Complete)
}
