//! Letting go of what is old.

use super::args::{Forget, Prune, Pruning};
use super::browse::{snapshot_json, table};
use super::exit::Outcome;
use super::location::Access;
use super::output::{Output, clock, size};
use super::progress::follow;
use aetherius::Result;
use aetherius::backup::{
    ForgetGroup, ForgetOptions, Keep, Progress, PruneOptions, Repository, RetentionPolicy, SinkStatus, Span,
};
use serde_json::json;

pub(super) async fn forget(access: &Access, args: &Forget, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let mut complete = true;
    if args.snapshot.is_empty() {
        let options = ForgetOptions::new(policy(args))
            .filter(args.filter.build())
            .group_by(args.group_by)
            .dry_run(args.dry_run);
        let report = repository.forget(options).await?;
        report.groups.iter().for_each(|group| tell(group, args.dry_run, output));
        let verb = if args.dry_run { "would be forgotten" } else { "forgotten" };
        output.line(format!("{} snapshots {verb}", report.removed.len()));
        complete = reached(&report.sinks, output);
    } else {
        let mut ids = Vec::new();
        for name in &args.snapshot {
            ids.push(repository.snapshot(name).await?.id);
        }
        if !args.dry_run {
            repository.forget_snapshots(&ids).await?;
        }
        for id in ids {
            output.result(
                || format!("snapshot {} forgotten", id.short()),
                || json!({ "message_type": "forgotten", "snapshot": id.to_string(), "dry_run": args.dry_run }),
            );
        }
    }
    if args.prune {
        complete &= pruned(&repository, &args.pruning, args.dry_run, output).await?;
    }
    Ok(Outcome::of(complete))
}

fn policy(args: &Forget) -> RetentionPolicy {
    let keep = |keep: Option<Keep>| keep.unwrap_or_default();
    let span = |span: Option<Span>| span.unwrap_or_default();
    let policy = RetentionPolicy::new()
        .last(keep(args.keep_last))
        .hourly(keep(args.keep_hourly))
        .daily(keep(args.keep_daily))
        .weekly(keep(args.keep_weekly))
        .monthly(keep(args.keep_monthly))
        .quarterly(keep(args.keep_quarterly))
        .yearly(keep(args.keep_yearly))
        .within(span(args.keep_within))
        .within_daily(span(args.keep_within_daily))
        .within_weekly(span(args.keep_within_weekly))
        .within_monthly(span(args.keep_within_monthly));
    args.keep_tag.iter().fold(policy, |policy, tags| policy.tags(tags.split(',')))
}

fn tell(group: &ForgetGroup, dry: bool, output: Output) {
    let key = &group.key;
    let reasons = |reasons: &[aetherius::backup::KeepReason]| {
        reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    output.line(format!("snapshots of {} {} {}", key.host, key.paths.join(" "), key.tags.join(",")));
    let mut rows = vec![["", "ID", "Time", "Why"].map(str::to_owned)];
    for kept in &group.retention.keep {
        let time = kept.snapshot.snapshot.time.to_string();
        let time = time.get(..19).unwrap_or(&time).to_owned();
        rows.push(["keep".into(), kept.snapshot.id.short(), time, reasons(&kept.reasons)]);
    }
    for entry in &group.retention.remove {
        let time = entry.snapshot.time.to_string();
        let time = time.get(..19).unwrap_or(&time).to_owned();
        rows.push(["remove".into(), entry.id.short(), time, String::new()]);
    }
    output.line(table(&rows));
    output.value(|| {
        json!({
            "message_type": "group",
            "host": key.host, "paths": key.paths, "tags": key.tags,
            "dry_run": dry,
            "keep": group.retention.keep.iter().map(|kept| json!({
                "snapshot": snapshot_json(&kept.snapshot),
                "reasons": kept.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "remove": group.retention.remove.iter().map(snapshot_json).collect::<Vec<_>>(),
        })
    });
}

pub(super) async fn prune(access: &Access, args: &Prune, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    Ok(Outcome::of(pruned(&repository, &args.pruning, args.dry_run, output).await?))
}

async fn pruned(repository: &Repository, args: &Pruning, dry: bool, output: Output) -> Result<bool> {
    let progress = Progress::new();
    let mut options = PruneOptions::new().dry_run(dry).exclusive(args.exclusive).progress(progress.clone());
    if let Some(limit) = args.max_unused {
        options = options.max_unused(limit);
    }
    let bar = follow("pruning", None, &progress, output);
    let report = repository.prune(options).await;
    drop(bar);
    let report = report?;
    output.line(format!(
        "used {}, unused {}, of {} packs: {} removed ({}), {} marked for a later prune, {} written anew, in {}",
        size(report.bytes.used),
        size(report.bytes.unused),
        report.packs.used + report.packs.partly_used + report.packs.unused,
        report.removed_packs,
        size(report.removed_bytes),
        report.marked,
        size(report.written_bytes),
        clock(report.elapsed)
    ));
    if let Some(error) = &report.postponed {
        output.line(format!("what was marked is removed by a later prune: {error}"));
    }
    output.value(|| {
        json!({
            "message_type": "prune",
            "dry_run": dry,
            "bytes_used": report.bytes.used,
            "bytes_unused": report.bytes.unused,
            "packs_marked": report.marked,
            "packs_removed": report.removed_packs,
            "bytes_removed": report.removed_bytes,
            "bytes_written": report.written_bytes,
            "postponed": report.postponed.as_ref().map(ToString::to_string),
        })
    });
    Ok(reached(&report.sinks, output))
}

/// Names the locations that were not reached; true when there is none.
fn reached(sinks: &[SinkStatus], output: Output) -> bool {
    let mut all = true;
    for sink in sinks {
        if let Some(error) = &sink.error {
            output.warning(&format!("{} was not reached: {error}", sink.name));
            all = false;
        }
    }
    all
}
