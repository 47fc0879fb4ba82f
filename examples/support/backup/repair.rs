//! Mending what is damaged.

use super::args::{Repair, RepairWhat};
use super::exit::Outcome;
use super::location::Access;
use super::output::Output;
use super::progress::follow;
use aetherius::Result;
use aetherius::backup::{Progress, RepairOptions};
use serde_json::json;

pub(super) async fn repair(access: &Access, args: &Repair, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let progress = Progress::new();
    let options = RepairOptions::new().dry_run(args.dry_run).forget(args.forget).progress(progress.clone());
    let bar = follow("repairing", None, &progress, output);
    let report = match args.what {
        RepairWhat::Replicas => Box::pin(repository.repair_replicas(options)).await,
        RepairWhat::Index => Box::pin(repository.repair_index(options.read_packs(args.read_packs))).await,
        RepairWhat::Packs => Box::pin(repository.repair_packs(&[], options)).await,
        RepairWhat::Snapshots => Box::pin(repository.repair_snapshots(options)).await,
    };
    drop(bar);
    let report = report?;
    for copied in &report.copied {
        output.line(format!("replaced from another location: {copied}"));
    }
    for snapshot in &report.snapshots {
        let new =
            snapshot.new.map_or_else(|| "nothing is left of it".into(), |id| format!("now {}", id.short()));
        output.line(format!("snapshot {} repaired: {new}", snapshot.old.short()));
        for path in &snapshot.damaged {
            output.line(format!("  lost or cut: {path}"));
        }
    }
    for error in &report.unrepaired {
        output.warning(&error.to_string());
    }
    output.line(format!(
        "{} files replaced, {} indexes written anew, {} packs added to the index, {} dropped from it, \
         {} blobs saved, {} lost",
        report.copied.len(),
        report.indexes_replaced,
        report.packs_added,
        report.packs_dropped,
        report.blobs_saved,
        report.blobs_lost
    ));
    output.value(|| {
        json!({
            "message_type": "repair",
            "dry_run": report.dry_run,
            "copied": report.copied,
            "indexes_replaced": report.indexes_replaced,
            "packs_added": report.packs_added,
            "packs_dropped": report.packs_dropped,
            "blobs_saved": report.blobs_saved,
            "blobs_lost": report.blobs_lost,
            "snapshots": report.snapshots.iter().map(|snapshot| json!({
                "old": snapshot.old.to_string(),
                "new": snapshot.new.map(|id| id.to_string()),
                "damaged": snapshot.damaged,
            })).collect::<Vec<_>>(),
            "unrepaired": report.unrepaired.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    Ok(Outcome::of(report.unrepaired.is_empty()))
}
