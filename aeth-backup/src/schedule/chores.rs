//! What comes after a run.

use super::notice::{Chore, Notice};
use super::options::ScheduleOptions;
use crate::check::CheckReport;
use crate::repo::Repository;
use aeth_core::{Error, ErrorKind, Result};
use tokio_util::sync::CancellationToken;

/// Forgets, prunes and checks, as far as the options say. What fails is told and does not keep the others from
/// coming.
pub(super) async fn run(
    repository: &Repository,
    options: &ScheduleOptions,
    cancel: CancellationToken,
    tell: impl Fn(Notice) + Send + Sync,
) {
    let failed = |chore: Chore, error: Error| {
        if error.kind() != ErrorKind::Closed {
            tell(Notice::ChoreFailed { chore, error });
        }
    };
    if let Some(retention) = &options.retention {
        match repository.forget(retention.clone()).await {
            Ok(report) => tell(Notice::Forgot { snapshots: report.removed.len() }),
            Err(error) => failed(Chore::Retention, error),
        }
    }
    if cancel.is_cancelled() {
        return;
    }
    if let Some(prune) = &options.prune {
        match repository.prune(prune.clone().cancel_with(cancel.clone())).await {
            Ok(report) => tell(Notice::Pruned { bytes: report.removed_bytes, marked: report.marked }),
            Err(error) => failed(Chore::Prune, error),
        }
    }
    if cancel.is_cancelled() {
        return;
    }
    if options.extend_object_locks {
        match repository.extend_object_locks().await {
            Ok(report) => tell(Notice::LocksExtended { objects: report.kept }),
            Err(error) => failed(Chore::ObjectLocks, error),
        }
    }
    if cancel.is_cancelled() {
        return;
    }
    if let Some(check) = &options.check {
        let checked = repository.check(check.clone().cancel_with(cancel.clone())).await;
        match checked.and_then(whole) {
            Ok(report) => tell(Notice::Checked { read: report.read }),
            Err(error) => failed(Chore::Check, error),
        }
    }
}

/// Damage as an error: the first, and how many there are.
fn whole(report: CheckReport) -> Result<CheckReport> {
    let Some(first) = report.errors.first() else { return Ok(report) };
    let place = first.sink.as_deref().map_or_else(String::new, |sink| format!(" in {sink}"));
    Err(Error::corrupt(format!("{} faults{place}, the first: {}", report.errors.len(), first.error))
        .with_operation("check")
        .with_remedy("repair the repository, from another location where there is one"))
}
