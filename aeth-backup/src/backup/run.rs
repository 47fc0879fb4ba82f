//! A run from end to end.

use super::gate::Gates;
use super::packer::{OPEN, Packer, SealedPack};
use super::plan::{Parent, Plan};
use super::report::BackupReport;
use super::saver::Run;
use super::upload::{Unindexed, upload};
use super::walk::{Branch, arrange, walk};
use crate::Id;
use crate::error::cancelled;
use crate::format::{NodeTime, Snapshot, seal_unpacked};
use crate::hook::{Hooks, Outcome};
use crate::progress::Event;
use crate::repo::{LockGuard, Repository, SnapshotEntry, lock_lost, object};
use crate::source::Source;
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A pack may grow by one blob beyond its size, and by its header.
const SLACK: usize = 9 << 20;
/// The walker goes down one call per directory level.
const WALKER_STACK: usize = 64 << 20;

impl Repository {
    /// Backs up what `plan` names and makes one snapshot of it.
    ///
    /// Sinks that lack files which others have are brought up to date first; packs that an interrupted run left
    /// are used. What cannot be read is left out and named in the report. Runs of one handle take turns.
    ///
    /// # Errors
    /// `Invalid` for a plan without sources or with overlapping ones; `Busy` when the repository is locked
    /// exclusively; `Closed` when it was cancelled; the sinks' errors when fewer than the quorum are left. After
    /// any of them the repository is valid, and the next run goes on from what was stored.
    ///
    /// # Cancel safety
    /// Cancel-safe: dropping the future stops the threads; nothing that was stored is lost, and no snapshot is
    /// made. The lock is removed in the background then.
    pub async fn backup(&self, mut plan: Plan) -> Result<BackupReport> {
        let shared = &self.shared;
        let started = shared.clock.monotonic();
        let tree = arrange(&plan.sources)?;
        let _writing = tokio::select! {
            writing = shared.writer.lock() => writing,
            () = plan.cancel.cancelled() => return Err(cancelled()),
        };
        shared.revive().await;
        shared.sinks.check_quorum()?;
        let lock = LockGuard::acquire(shared, false).await?;
        let (before, after) = (std::mem::take(&mut plan.before), std::mem::take(&mut plan.after));
        let mut hooks = Hooks::new(shared, before, after);
        // Boxed: a run is long, and its state is large.
        let result = Box::pin(self.locked(plan, tree, &lock, &mut hooks)).await;
        lock.release().await;
        let outcome = match &result {
            Ok(report) if report.is_complete() => Outcome::Complete(report.snapshot.id),
            Ok(report) => Outcome::Incomplete(report.snapshot.id),
            Err(_) => Outcome::Failed,
        };
        let failures = hooks.after(&outcome).await;
        let mut report = result?;
        report.hooks = failures;
        report.elapsed = shared.clock.monotonic().saturating_sub(started);
        Ok(report)
    }

    async fn locked(
        &self,
        plan: Plan,
        tree: Branch,
        lock: &LockGuard,
        hooks: &mut Hooks,
    ) -> Result<BackupReport> {
        let shared = &self.shared;
        let begun = NodeTime::from(shared.clock.now()).local();
        // Dropped with this future: what the sinks still take in the background ends with it.
        let round = shared.sinks.round();
        let packs = shared.catch_up().await?;
        let held: u64 = packs.values().sum();
        let index = shared.reload_index().await?;
        let resumed = shared.unindexed(&packs).await?;
        resumed.iter().for_each(|pack| index.write().add(pack));
        let resumed_packs = u64::try_from(resumed.len()).unwrap_or(0);
        let paths: Vec<String> = plan.sources.iter().map(place_of).collect::<Result<_>>()?;
        let parent = self.find_parent(&plan, &paths).await?;
        tokio::select! {
            ready = hooks.before() => ready?,
            () = plan.cancel.cancelled() => return Err(cancelled()),
        }

        let (sender, receiver) = mpsc::unbounded_channel::<SealedPack>();
        let size = shared.options.pack_size;
        let run = Arc::new(Run::new(
            Arc::clone(shared),
            index,
            Packer::new(size, sender),
            Gates::new(OPEN, shared.options.upload_budget / size, size + SLACK),
            plan.progress.clone(),
            plan.watch.clone(),
            plan.stall,
        ));
        let waiting = Unindexed::new(resumed, shared.clock.monotonic());
        let root = drive(&run, tree, parent.as_ref(), receiver, waiting, &plan.cancel, lock).await?;

        let mut snapshot = Snapshot::new(plan.time.map_or(begun, |time| NodeTime::from(time).local()), root);
        snapshot.parent = parent.map(|parent| parent.id);
        snapshot.paths = paths;
        snapshot.tags = plan.tags;
        snapshot.excludes = excludes(&plan.sources);
        snapshot.hostname.clone_from(&shared.host.hostname);
        snapshot.username.clone_from(&shared.host.username);
        (snapshot.uid, snapshot.gid) = (shared.host.uid, shared.host.gid);
        snapshot.program_version = concat!("aetherius ", env!("CARGO_PKG_VERSION")).into();
        let mut summary = run.counts.lock().clone();
        summary.backup_start = begun;
        summary.backup_end = NodeTime::from(shared.clock.now()).local();
        let added = summary.data_added_packed;
        snapshot.summary = Some(summary);
        let sealed = seal_unpacked(&shared.key, &snapshot.encode()?, shared.config.compresses())?;
        let id = Id::of(&sealed);
        lock.check()?;
        shared.sinks.store(&object(ObjectKind::Snapshot, id), &sealed).await?;
        run.watch.event(&Event::SnapshotStored { id });
        // The snapshot is made: what the slower sinks lack concerns only them.
        if shared.sinks.settle().await
            && let Err(error) = shared.catch_up().await
        {
            tracing::warn!(%error, "a sink that fell behind could not be brought up to date");
        }
        drop(round);

        let changed = std::mem::take(&mut *run.changed.lock());
        let repository_bytes = held.saturating_add(added);
        Ok(BackupReport {
            snapshot: SnapshotEntry { id, snapshot },
            skipped: run.skipped.take(),
            skipped_total: run.skipped.total(),
            changed,
            sockets: run.sockets.load(Ordering::Relaxed),
            repository_bytes,
            resumed_packs,
            hooks: Vec::new(),
            sinks: shared.sinks.status(),
            elapsed: std::time::Duration::ZERO,
        })
    }

    async fn find_parent(&self, plan: &Plan, paths: &[String]) -> Result<Option<SnapshotEntry>> {
        match plan.parent {
            Parent::None => Ok(None),
            Parent::Of(id) => self.shared.snapshot(id).await.map(Some),
            Parent::Latest => {
                let mut wanted: Vec<_> = paths.iter().collect();
                wanted.sort();
                let mut all = self.shared.snapshots().await?;
                all.retain(|entry| {
                    let mut paths: Vec<_> = entry.snapshot.paths.iter().collect();
                    paths.sort();
                    entry.snapshot.hostname == self.shared.host.hostname && paths == wanted
                });
                Ok(all.pop())
            }
        }
    }
}

/// Stops the threads when the caller drops the future.
struct StopOnDrop<'a>(Option<&'a Run>);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.0 {
            run.fail(cancelled());
        }
    }
}

/// Ends the channel of packs when the walker thread ends, however it does.
struct CloseOnDrop<'a>(&'a Run);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.packer.close();
    }
}

async fn drive(
    run: &Arc<Run>,
    tree: Branch,
    parent: Option<&SnapshotEntry>,
    receiver: mpsc::UnboundedReceiver<SealedPack>,
    waiting: Unindexed,
    cancel: &CancellationToken,
    lock: &LockGuard,
) -> Result<Id> {
    let mut stop = StopOnDrop(Some(run));
    let (done, walked) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let previous = parent.map(|parent| parent.snapshot.tree);
    let thread_run = Arc::clone(run);
    std::thread::Builder::new()
        .name("aeth-backup-walk".into())
        .stack_size(WALKER_STACK)
        .spawn(move || {
            let closing = CloseOnDrop(&thread_run);
            let result = walk(&thread_run, tree, previous, &runtime);
            drop(closing);
            // Nobody listens when the caller has gone away.
            drop(done.send(result));
        })
        .map_err(|error| Error::from_io(error).with_operation("start the backup's threads"))?;
    let lost = lock.lost();
    let stopped = async {
        tokio::select! {
            () = cancel.cancelled() => cancelled(),
            () = lost.cancelled() => lock_lost(),
        }
    };
    let uploaded = tokio::select! {
        uploaded = upload(run, receiver, waiting) => uploaded,
        error = stopped => Err(error),
    };
    if let Err(error) = uploaded {
        run.fail(error);
    }
    let root = walked.await.map_err(|_| Error::other("the walker thread ended early"));
    stop.0 = None;
    match run.failure() {
        Some(error) => Err(error),
        None => root?,
    }
}

fn place_of(source: &Source) -> Result<String> {
    let segments = source.segments()?;
    Ok(segments.iter().map(|segment| format!("/{}", String::from_utf8_lossy(segment))).collect())
}

fn excludes(sources: &[Source]) -> Vec<String> {
    let labels = sources.iter().flat_map(|source| match source {
        Source::Path(path) => path.labels(),
        Source::Files { .. } | Source::Copy(_) => Vec::new(),
    });
    labels.collect()
}
