//! Ours as a process of its own: `aeth-vs backup-process …`, which the bench starts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use aeth_backup::{
    CheckOptions, Compression, PathSource, Plan, Repository, RepositoryOptions, RestoreOptions,
};
use aeth_core::Secret;
use aeth_core::backup::{BackupSink, BlobSink};
use aeth_files::LocalDir;
use serde_json::json;

use super::tools::{Level, PASSWORD, Tool};
use crate::BoxError;

/// The first argument of such a process.
pub(crate) const NAME: &str = "backup-process";

/// A run to several sinks.
pub(super) fn backup(sinks: &[&Path], source: &Path, level: Level) -> Result<Command, BoxError> {
    drop(Tool::ours()?);
    let mut command = Command::new(std::env::current_exe()?);
    backup_arguments(&mut command, sinks, source, level);
    Ok(command)
}

pub(super) fn backup_arguments(command: &mut Command, sinks: &[&Path], source: &Path, level: Level) {
    let level = if level == Level::Fast { "fast" } else { "auto" };
    command.args([NAME, "backup", level]).arg(source).args(sinks);
}

pub(super) fn restore_arguments(command: &mut Command, repository: &Path, target: &Path) {
    command.args([NAME, "restore", "auto"]).arg(target).arg(repository);
}

pub(super) fn check_arguments(command: &mut Command, repository: &Path) {
    command.args([NAME, "check", "auto", "-"]).arg(repository);
}

/// What the process does: an operation, a level, the other end, the sinks. Prints what it did as JSON.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> Result<(), BoxError> {
    let mut next = || arguments.next().ok_or("an argument is missing");
    let (operation, level, end) = (next()?, next()?, PathBuf::from(next()?));
    let compression = if level == "fast" { Compression::Fast } else { Compression::Auto };
    let roots: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let mut sinks: Vec<Arc<dyn BackupSink>> = Vec::new();
        for root in roots {
            sinks.push(Arc::new(BlobSink::new(Arc::new(LocalDir::open(root).await?), None)?));
        }
        let options = RepositoryOptions::default().compression(compression);
        let repository = Repository::open(sinks, &Secret::new(PASSWORD.to_owned()), options).await?;
        match operation.as_str() {
            "backup" => backup_into(&repository, &end).await,
            "restore" => {
                let latest = repository.snapshot("latest").await?;
                let report = repository.restore(&latest, RestoreOptions::new(end)).await?;
                complete(report.is_complete(), &report)
            }
            "check" => {
                let report = repository.check(CheckOptions::all_data()).await?;
                complete(report.is_ok(), &report)
            }
            other => Err(format!("no such operation: {other}").into()),
        }
    })?;
    println!("{done}");
    Ok(())
}

async fn backup_into(repository: &Repository, source: &Path) -> Result<String, BoxError> {
    let report = repository.backup(Plan::new().source(PathSource::new(source)?)).await?;
    let counts = report.snapshot.snapshot.summary.clone().unwrap_or_default();
    complete(report.is_complete(), &report)?;
    let blobs = json!({ "data": counts.data_blobs, "trees": counts.tree_blobs });
    Ok(blobs.to_string())
}

fn complete(ok: bool, report: &dyn std::fmt::Debug) -> Result<String, BoxError> {
    if ok { Ok("{}".into()) } else { Err(format!("{report:?}").into()) }
}
