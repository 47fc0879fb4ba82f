//! Looking at what is there.

use super::args::{Diff, Filter, Find, Ls};
use super::exit::Outcome;
use super::location::Access;
use super::output::{Output, size};
use aetherius::Result;
use aetherius::backup::{
    DiffOptions, FindOptions, Glob, LsOptions, SnapshotEntry, SnapshotFilter, TreeEntry,
};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

impl Filter {
    pub(super) fn build(&self) -> SnapshotFilter {
        let filter = SnapshotFilter::new();
        let filter = self.host.iter().fold(filter, |filter, host| filter.host(host));
        let filter = self.tag.iter().fold(filter, |filter, tags| filter.tags(tags.split(',')));
        self.path.iter().fold(filter, |filter, path| filter.path(path))
    }
}

pub(super) async fn snapshots(access: &Access, args: &Filter, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let found = repository.snapshots_matching(&args.build()).await?;
    if output.json {
        output.value(|| found.iter().map(snapshot_json).collect());
        return Ok(Outcome::Complete);
    }
    let row = |entry: &SnapshotEntry| {
        let snapshot = &entry.snapshot;
        let bytes =
            snapshot.summary.as_ref().map_or_else(String::new, |counts| size(counts.total_bytes_processed));
        let time = snapshot.time.to_string().replacen('T', " ", 1);
        [
            entry.id.short(),
            time.get(..19).unwrap_or(&time).to_owned(),
            snapshot.hostname.clone(),
            snapshot.tags.join(","),
            snapshot.paths.join(" "),
            bytes,
        ]
    };
    let mut rows = vec![["ID", "Time", "Host", "Tags", "Paths", "Size"].map(str::to_owned)];
    rows.extend(found.iter().map(row));
    output.line(table(&rows));
    output.line(format!("{} snapshots", found.len()));
    Ok(Outcome::Complete)
}

pub(super) fn snapshot_json(entry: &SnapshotEntry) -> Value {
    let mut value = serde_json::to_value(&entry.snapshot).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("id".into(), entry.id.to_string().into());
        object.insert("short_id".into(), entry.id.short().into());
    }
    value
}

/// Columns as wide as their widest entry.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn entry_json(entry: &TreeEntry) -> Value {
    let node = &entry.node;
    json!({
        "message_type": "node",
        "path": String::from_utf8_lossy(&entry.path),
        "type": node.kind.as_str(),
        "mode": node.mode.permissions(),
        "uid": node.uid,
        "gid": node.gid,
        "size": node.size,
        "mtime": node.mtime.to_string(),
    })
}

fn entry_text(entry: &TreeEntry, long: bool) -> String {
    if long { entry.long() } else { String::from_utf8_lossy(&entry.path).into_owned() }
}

pub(super) async fn ls(access: &Access, args: &Ls, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let snapshot = repository.snapshot_matching(&args.snapshot, &args.filter.build()).await?;
    let options = LsOptions::new().path(&args.at).recursive(!args.flat);
    let mut entries = repository.ls(&snapshot, options);
    while let Some(entry) = entries.try_next().await? {
        output.result(|| entry_text(&entry, args.long), || entry_json(&entry));
    }
    Ok(Outcome::Complete)
}

pub(super) async fn find(access: &Access, args: &Find, output: Output) -> Result<Outcome> {
    let mut options = FindOptions::new().snapshots(args.filter.build());
    for pattern in &args.pattern {
        options = options.matching(Glob::new(pattern)?.ignore_case(args.ignore_case));
    }
    let repository = access.open().await?;
    for name in &args.snapshot {
        options = options.snapshot(repository.snapshot(name).await?.id);
    }
    let mut last = None;
    for found in repository.find(&options).await? {
        if !output.json && last.replace(found.snapshot) != Some(found.snapshot) {
            output.line(format!("snapshot {}", found.snapshot.short()));
        }
        let value = || {
            let mut value = entry_json(&found.entry);
            value["snapshot"] = found.snapshot.to_string().into();
            value
        };
        output.result(|| entry_text(&found.entry, args.long), value);
    }
    Ok(Outcome::Complete)
}

pub(super) async fn diff(access: &Access, args: &Diff, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    let before = repository.snapshot(&args.before).await?;
    let after = repository.snapshot(&args.after).await?;
    let options = DiffOptions::new().metadata(args.metadata).each(move |change| {
        let text = || format!("{:<5}{}", change.kind, change.path());
        output.result(
            text,
            || json!({ "message_type": "change", "path": change.path(), "modifier": change.kind.modifier() }),
        );
    });
    let report = repository.diff(&before, &after, &options).await?;
    let (added, removed) = (&report.added, &report.removed);
    output.line(format!(
        "\nFiles:  {:5} new, {:5} removed, {:5} changed",
        added.files, removed.files, report.changed_files
    ));
    output.line(format!("Dirs:   {:5} new, {:5} removed", added.dirs, removed.dirs));
    output.line(format!("Others: {:5} new, {:5} removed", added.others, removed.others));
    output.line(format!("Added:   {}\nRemoved: {}", size(added.bytes), size(removed.bytes)));
    output.value(|| {
        let counts = |counts: &aetherius::backup::DiffCounts| {
            json!({
                "files": counts.files, "dirs": counts.dirs, "others": counts.others,
                "data_blobs": counts.data_blobs, "tree_blobs": counts.tree_blobs, "bytes": counts.bytes,
            })
        };
        json!({
            "message_type": "statistics",
            "source_snapshot": before.id.to_string(),
            "target_snapshot": after.id.to_string(),
            "changed_files": report.changed_files,
            "added": counts(added),
            "removed": counts(removed),
        })
    });
    Ok(Outcome::Complete)
}
