//! Keeping a repository well.

use super::args::{CatchUp, Check, Tag, Unlock};
use super::exit::Outcome;
use super::location::Access;
use super::output::{Output, clock, size};
use super::progress::follow;
use aetherius::backup::{CheckOptions, LockInfo, Progress, TagEdit};
use aetherius::{Error, Result};
use serde_json::json;

pub(super) async fn check(access: &Access, args: &Check, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let progress = Progress::new();
    let options = match (args.rotate, args.read_data_subset) {
        (Some(days), _) => CheckOptions::rotation(days),
        (None, Some((part, of))) => CheckOptions::subset(part - 1, of),
        (None, None) if args.read_data => CheckOptions::all_data(),
        (None, None) => CheckOptions::structure(),
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

pub(super) async fn tag(access: &Access, args: &Tag, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let mut snapshots = Vec::new();
    for name in &args.snapshot {
        snapshots.push(repository.snapshot(name).await?);
    }
    let edit = if args.set.is_empty() {
        TagEdit::Change { add: args.add.clone(), remove: args.remove.clone() }
    } else {
        TagEdit::set(&args.set)
    };
    let changes = repository.edit_tags(&snapshots, &edit).await?;
    for change in &changes {
        output.result(
            || format!("snapshot {} is {} now", change.old.short(), change.new.id.short()),
            || json!({ "message_type": "changed", "old": change.old.to_string(), "new": change.new.id.to_string() }),
        );
    }
    output.line(format!("{} of {} snapshots changed", changes.len(), snapshots.len()));
    Ok(Outcome::Complete)
}

pub(super) async fn catch_up(access: &Access, args: &CatchUp, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let before = repository.lag().await?;
    let healed = if args.dry_run { Vec::new() } else { repository.catch_up().await? };
    let mut complete = true;
    for (number, lag) in before.iter().enumerate() {
        let after = healed.get(number).map_or(&lag.error, |status| &status.error);
        if let Some(error) = after {
            output.warning(&format!("{} was not reached: {error}", lag.name));
        }
        complete &= after.is_none() && (!args.dry_run || lag.is_current());
        output.result(
            || {
                let verb = if args.dry_run { "lacks" } else { "lacked" };
                format!(
                    "{} {verb} {} snapshots, {} objects, {}",
                    lag.name,
                    lag.snapshots,
                    lag.objects,
                    size(lag.bytes)
                )
            },
            || {
                json!({
                    "message_type": "lag", "repository": lag.name, "snapshots": lag.snapshots,
                    "objects": lag.objects, "bytes": lag.bytes, "dry_run": args.dry_run,
                    "error": after.as_ref().map(ToString::to_string),
                })
            },
        );
    }
    Ok(Outcome::of(complete))
}

pub(super) async fn extend_locks(access: &Access, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let report = repository.extend_object_locks().await?;
    output.result(
        || {
            format!(
                "{} objects are kept for longer; {} packs that nothing needs are let go",
                report.kept, report.let_go
            )
        },
        || json!({ "message_type": "object_locks", "kept": report.kept, "let_go": report.let_go }),
    );
    for sink in report.sinks.iter().filter(|sink| sink.error.is_some()) {
        output.warning(&format!("{} was not reached", sink.name));
    }
    Ok(Outcome::of(report.sinks.iter().all(|sink| sink.error.is_none())))
}

pub(super) async fn unlock(access: &Access, args: &Unlock, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let removed = repository.remove_locks(args.remove_all).await?;
    let told = |lock: &LockInfo| {
        let LockInfo { sink, hostname, username, pid, time, .. } = lock;
        format!("{sink}: lock of process {pid} on {hostname} ({username}) since {time} removed")
    };
    for lock in &removed {
        output.line(told(lock));
    }
    let left = repository.locks().await?.len();
    output.line(format!("{} locks removed, {left} left", removed.len()));
    output.value(|| json!({ "message_type": "unlocked", "removed": removed.len(), "left": left }));
    Ok(Outcome::Complete)
}
