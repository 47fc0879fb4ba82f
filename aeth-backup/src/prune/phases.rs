//! A prune from end to end.

use super::options::PruneOptions;
use super::plan::{Plan, RepositoryShape};
use super::reach::Reach;
use super::report::PruneReport;
use super::survey::Survey;
use crate::Id;
use crate::error::cancelled;
use crate::format::NodeTime;
use crate::repo::{Change, IdSet, LockGuard, Repository, Shared, State};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Repository {
    /// Removes what no snapshot refers to, in every sink.
    ///
    /// By default in two phases: the long one beside running backups, the short one when nobody has a lock. When
    /// somebody keeps one, the report says so in [`postponed`](PruneReport::postponed), and the next prune removes
    /// what this one has marked. Killed at any moment, the repository is valid, and the next prune goes on. A sink
    /// that is away is cleaned up when it is back.
    ///
    /// # Errors
    /// `Corrupt` when a tree cannot be read, an index is damaged, or something that is in use is missing: nothing is
    /// removed then; `Busy` when the repository is locked (exclusively, for phase one); `Denied` for append-only
    /// sinks; `Closed` when it was cancelled; the sinks' errors when fewer than the quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: the repository is valid, and the next prune goes on. The lock is removed in the background then.
    pub async fn prune(&self, options: PruneOptions) -> Result<PruneReport> {
        let shared = &self.shared;
        let started = shared.clock.monotonic();
        let _writing = tokio::select! {
            writing = shared.writer.lock() => writing,
            () = options.cancel.cancelled() => return Err(cancelled()),
        };
        shared.revive().await;
        if options.dry_run {
            shared.sinks.check_quorum()?;
        } else {
            shared.refuse_append_only("prune")?;
        }
        let result = Box::pin(shared.prune(&options)).await;
        let mut report = result.map_err(|error| error.with_operation("prune"))?;
        report.dry_run = options.dry_run;
        report.sinks = shared.sinks.status();
        report.elapsed = shared.clock.monotonic().saturating_sub(started);
        Ok(report)
    }
}

/// What phase one leaves to phase two.
struct Marked {
    reach: Reach,
    snapshots: BTreeSet<Id>,
    /// What may go at once, when nobody was let in between.
    doomed: IdSet,
}

impl Shared {
    async fn prune(self: &Arc<Self>, options: &PruneOptions) -> Result<PruneReport> {
        let mut report = PruneReport::default();
        let alone = options.exclusive && !options.dry_run;
        let lock = match alone {
            true => LockGuard::acquire_within(self, true, options.wait, &options.cancel).await?,
            false => LockGuard::acquire(self, false).await?,
        };
        let first = self.phase_one(options, &lock, &mut report).await;
        let marked = match first {
            Ok(marked) if alone => {
                let second = self.phase_two(options, &lock, marked, &mut report).await;
                lock.release().await;
                return second.map(|()| report);
            }
            other => {
                lock.release().await;
                other?
            }
        };
        if options.dry_run {
            return Ok(report);
        }
        let lock = match LockGuard::acquire_within(self, true, options.wait, &options.cancel).await {
            Ok(lock) => lock,
            Err(error) if error.kind() == ErrorKind::Busy => {
                report.postponed = Some(error);
                return Ok(report);
            }
            Err(error) => return Err(error),
        };
        let second = self.phase_two(options, &lock, marked, &mut report).await;
        lock.release().await;
        second.map(|()| report)
    }

    /// Plans, copies what is used out of what goes, and marks.
    async fn phase_one(
        self: &Arc<Self>,
        options: &PruneOptions,
        lock: &LockGuard,
        report: &mut PruneReport,
    ) -> Result<Marked> {
        if !options.dry_run {
            self.catch_up().await?;
        }
        // What was read before may have been damaged since.
        self.trees.clear();
        let mut reach = Reach::default();
        let snapshots: BTreeSet<Id> = self.snapshot_ids().await?.into_iter().collect();
        let survey = Survey::take(self, options, &mut reach).await?;
        survey.refuse_gaps(&reach)?;
        report.snapshots = survey.snapshots;
        let pack_size = u64::try_from(self.options.pack_size).unwrap_or(u64::MAX);
        let shape = RepositoryShape { compresses: self.config.compresses(), pack_size };
        let plan = Plan::make(&survey, &reach, options, &shape, report);
        let mut doomed: IdSet = plan.remove.iter().chain(&plan.repack).copied().collect();
        if options.dry_run {
            return Ok(Marked { reach, snapshots, doomed });
        }
        lock.check()?;
        report.written_bytes = self.repack(&survey, &plan, options, lock).await?;
        // A pack that no index names may be a running writer's: only where phase two may not remove it at once has
        // it to be marked.
        if options.exclusive || !options.grace.is_zero() {
            doomed.extend(&plan.orphans);
        }
        let ids: Vec<Id> = doomed.iter().filter(|id| !survey.ledger.is_weak(id)).copied().collect();
        report.marked = u64::try_from(ids.len()).unwrap_or(0);
        if !options.exclusive {
            lock.check()?;
            self.record(&[Change { state: State::Marked, kind: ObjectKind::Pack, ids }]).await?;
        }
        Ok(Marked { reach, snapshots, doomed })
    }

    /// Looks again, now that nobody writes, and removes.
    async fn phase_two(
        self: &Arc<Self>,
        options: &PruneOptions,
        lock: &LockGuard,
        marked: Marked,
        report: &mut PruneReport,
    ) -> Result<()> {
        let Marked { mut reach, snapshots, doomed } = marked;
        if options.cancel.is_cancelled() {
            return Err(cancelled());
        }
        self.catch_up().await?;
        self.trees.clear();
        let now: BTreeSet<Id> = self.snapshot_ids().await?.into_iter().collect();
        if !snapshots.is_subset(&now) {
            // What they alone referred to may be gone: it must not count as missing.
            reach = Reach::default();
        }
        let survey = Survey::take(self, options, &mut reach).await?;
        survey.refuse_gaps(&reach)?;
        let mut candidates = if options.exclusive { doomed } else { IdSet::default() };
        let grace = if options.exclusive { std::time::Duration::ZERO } else { options.grace };
        let until = self.clock.now().checked_sub(grace).map(NodeTime::from);
        // Marks of this very moment are as old as a grace of nothing asks for.
        let until = if grace.is_zero() { Some(NodeTime::new(i64::MAX, 0)) } else { until };
        candidates.extend(until.map(|until| survey.ledger.marked(until)).unwrap_or_default());
        if options.exclusive || options.grace.is_zero() {
            candidates.extend(survey.stored.keys().filter(|id| !survey.packs.contains_key(*id)));
        }
        self.sweep(&survey, &reach, candidates, lock, report).await
    }
}

/// The error of a sweep that finds its lock lost.
pub(super) fn check(lock: &LockGuard) -> Result<()> {
    lock.check().map_err(|error: Error| {
        error.with_operation("prune").with_remedy("run the prune again; the repository is valid")
    })
}
