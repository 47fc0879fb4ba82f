//! Making a repository, and snapshots in it.

use super::args::{Init, Run};
use super::exit::Outcome;
use super::location::Access;
use super::output::{Output, clock, size};
use super::progress::follow;
use aetherius::backup::{
    BackupReport, GitSource, PathSource, Plan, Progress, Repository, RepositoryOptions, Source,
};
use aetherius::{Error, Lifecycle, Result};
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(super) async fn init(access: &Access, args: &Init, output: Output) -> Result<Outcome> {
    let repository = if args.attach {
        access.open_with(RepositoryOptions::default().attach_empty(true)).await?
    } else {
        let sinks = access.sinks(true).await?;
        Repository::init(sinks, access.password(), access.options(RepositoryOptions::default())).await?
    };
    let id = repository.id();
    for sink in repository.sinks() {
        let name = &sink.name;
        output.line(format!("repository {} made at {name}", id.short()));
        output.value(|| json!({ "message_type": "initialized", "id": id.to_string(), "repository": name }));
    }
    output.line("Keep the password: without it nobody can read the repository, whoever they are.");
    Ok(Outcome::Complete)
}

pub(super) async fn run(access: &Access, args: &Run, output: Output) -> Result<Outcome> {
    let mut plan = Plan::new();
    for path in &args.source {
        plan = plan.source(source(path, args)?);
    }
    for path in &args.git {
        let real = path.canonicalize().map_err(|error| {
            Error::from(error).with_operation("open the git repository").with_key(path.display())
        })?;
        let name = real.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        plan = plan.source(Source::files(format!("/git/{name}.bundle"), GitSource::new(real)));
    }
    for tag in args.tag.iter().flat_map(|tags| tags.split(',')) {
        plan = plan.tag(tag);
    }
    if args.force {
        plan = plan.read_everything();
    }
    let mut options = RepositoryOptions::default();
    if let Some(host) = &args.host {
        options = options.hostname(host.clone());
    }
    let repository = access.open_with(options).await?;
    let (progress, token) = (Progress::new(), CancellationToken::new());
    let bar = follow("backing up", None, &progress, output);
    let plan = plan.progress(progress.clone()).cancel_with(token.clone());
    let mut work = Box::pin(repository.backup(plan));
    let report = tokio::select! {
        report = &mut work => report,
        _ = interrupted() => {
            token.cancel();
            work.await
        }
    };
    drop(bar);
    let report = report?;
    repository.close(Duration::from_secs(10)).await?;
    tell(&report, output);
    Ok(Outcome::of(report.is_complete()))
}

/// Ctrl-C, or the end that a service manager asks for.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => drop(result),
        _ = terminate.recv() => {}
    }
}

fn source(path: &std::path::Path, args: &Run) -> Result<PathSource> {
    let mut source = PathSource::new(path)?
        .one_file_system(args.one_file_system)
        .exclude_patterns(&args.exclude)?
        .iexclude_patterns(&args.iexclude)?;
    for file in &args.exclude_file {
        source = source.exclude_file(file)?;
    }
    for file in &args.iexclude_file {
        source = source.iexclude_file(file)?;
    }
    for tag in &args.exclude_if_present {
        source = source.exclude_if_present(tag)?;
    }
    if args.exclude_caches {
        source = source.exclude_caches();
    }
    if let Some(size) = args.exclude_larger_than {
        source = source.exclude_larger_than(size.bytes());
    }
    Ok(source)
}

fn tell(report: &BackupReport, output: Output) {
    for item in &report.skipped {
        output.warning(&format!("left out: {item}"));
    }
    let more = report.skipped_total.saturating_sub(u64::try_from(report.skipped.len()).unwrap_or(0));
    if more > 0 {
        output.warning(&format!("left out: {more} more"));
    }
    for path in &report.changed {
        output.warning(&format!("changed while it was read: `{path}`"));
    }
    for sink in &report.sinks {
        if let Some(error) = &sink.error {
            output.warning(&format!("{} was not reached: {error}", sink.name));
        }
    }
    let id = report.snapshot.id;
    let counts = report.snapshot.snapshot.summary.clone().unwrap_or_default();
    output.line(format!(
        "\nFiles:       {:5} new, {:5} changed, {:5} unmodified",
        counts.files_new, counts.files_changed, counts.files_unmodified
    ));
    output.line(format!(
        "Dirs:        {:5} new, {:5} changed, {:5} unmodified",
        counts.dirs_new, counts.dirs_changed, counts.dirs_unmodified
    ));
    output.line(format!(
        "Added to the repository: {} ({} stored)\n",
        size(counts.data_added),
        size(counts.data_added_packed)
    ));
    output.line(format!(
        "processed {} files, {} in {}",
        counts.total_files_processed,
        size(counts.total_bytes_processed),
        clock(report.elapsed)
    ));
    output.line(format!("snapshot {} saved", id.short()));
    output.value(|| {
        json!({
            "message_type": "summary",
            "snapshot_id": id.to_string(),
            "files_new": counts.files_new,
            "files_changed": counts.files_changed,
            "files_unmodified": counts.files_unmodified,
            "dirs_new": counts.dirs_new,
            "dirs_changed": counts.dirs_changed,
            "dirs_unmodified": counts.dirs_unmodified,
            "data_blobs": counts.data_blobs,
            "tree_blobs": counts.tree_blobs,
            "data_added": counts.data_added,
            "data_added_packed": counts.data_added_packed,
            "total_files_processed": counts.total_files_processed,
            "total_bytes_processed": counts.total_bytes_processed,
            "total_duration": report.elapsed.as_secs_f64(),
            "skipped": report.skipped_total,
            "changed": report.changed,
            "lagging": report.sinks.iter().filter(|sink| sink.error.is_some()).map(|sink| &sink.name).collect::<Vec<_>>(),
        })
    });
}
