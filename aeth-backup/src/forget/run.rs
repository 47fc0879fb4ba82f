//! Forgetting snapshots of a repository.

use super::apply::Retention;
use super::group::{GroupBy, GroupKey};
use super::policy::RetentionPolicy;
use crate::Id;
use crate::repo::{LockGuard, Repository, SinkStatus};
use crate::select::SnapshotFilter;
use aeth_core::{Error, ErrorKind, Result};

/// What is forgotten.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ForgetOptions {
    pub(crate) policy: RetentionPolicy,
    pub(crate) filter: SnapshotFilter,
    pub(crate) group_by: GroupBy,
    pub(crate) dry_run: bool,
    pub(crate) allow_remove_all: bool,
}

impl ForgetOptions {
    /// All snapshots that `policy` does not keep.
    #[must_use]
    pub fn new(policy: RetentionPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Only among the snapshots that pass this filter. Default: all.
    #[must_use]
    pub fn filter(mut self, filter: SnapshotFilter) -> Self {
        self.filter = filter;
        self
    }

    /// What the snapshots of a group have in common; the policy is applied to each group for itself. Default: host
    /// and paths.
    #[must_use]
    pub fn group_by(mut self, by: GroupBy) -> Self {
        self.group_by = by;
        self
    }

    /// Only says what would be removed.
    #[must_use]
    pub fn dry_run(mut self, dry: bool) -> Self {
        self.dry_run = dry;
        self
    }

    /// Lets an empty policy remove every snapshot that passes the filter, which must not be empty then.
    #[must_use]
    pub fn allow_remove_all(mut self, allow: bool) -> Self {
        self.allow_remove_all = allow;
        self
    }
}

/// A group of snapshots and what becomes of them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ForgetGroup {
    /// What they have in common.
    pub key: GroupKey,
    /// What is kept, and why, and what is not.
    pub retention: Retention,
}

/// What was forgotten, or in a dry run would be.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ForgetReport {
    /// Group by group.
    pub groups: Vec<ForgetGroup>,
    /// The snapshots removed. Their data stays until a [prune](crate::Repository::prune).
    pub removed: Vec<Id>,
    /// True when nothing was really removed.
    pub dry_run: bool,
    /// How each sink fared.
    pub sinks: Vec<SinkStatus>,
}

impl Repository {
    /// Forgets the snapshots that a policy does not keep. Runs beside backups; what only the forgotten snapshots
    /// refer to is removed by the next [prune](Self::prune). A command of stock restic that reads the snapshots at
    /// this very moment may find one gone, and fail without harm.
    ///
    /// # Errors
    /// `Invalid` for an empty policy (which would remove everything), and when the policy keeps no snapshot of a
    /// group; `Corrupt` when a snapshot cannot be read, as it cannot be judged; `Busy` when the repository is
    /// locked exclusively; `Denied` for append-only sinks; the sinks' errors when fewer than the quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: some of the snapshots may be gone, and the next call removes the others.
    pub async fn forget(&self, options: ForgetOptions) -> Result<ForgetReport> {
        options.check()?;
        if options.dry_run {
            self.shared.revive_unless_writing().await;
            return Ok(self.judge(&options).await?.dry());
        }
        let _writing = self.shared.writer.lock().await;
        self.shared.revive().await;
        self.shared.refuse_append_only("forget")?;
        let lock = LockGuard::acquire(&self.shared, false).await?;
        let result = async {
            let report = self.judge(&options).await?;
            lock.check()?;
            self.shared.remove_snapshots(&report.removed).await?;
            Ok(ForgetReport { sinks: self.shared.sinks.status(), ..report })
        }
        .await;
        lock.release().await;
        result.map_err(|error: Error| error.with_operation("forget"))
    }

    /// Forgets the snapshots with these ids; those that are not there are gone already. A damaged snapshot is
    /// forgotten like any other.
    ///
    /// # Errors
    /// `Busy` when the repository is locked exclusively; `Denied` for append-only sinks; the sinks' errors when
    /// fewer than the quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: some of the snapshots may be gone.
    pub async fn forget_snapshots(&self, ids: &[Id]) -> Result<()> {
        let _writing = self.shared.writer.lock().await;
        self.shared.revive().await;
        self.shared.refuse_append_only("forget")?;
        let lock = LockGuard::acquire(&self.shared, false).await?;
        let result = self.shared.remove_snapshots(ids).await;
        lock.release().await;
        result.map_err(|error| error.with_operation("forget"))
    }

    async fn judge(&self, options: &ForgetOptions) -> Result<ForgetReport> {
        let now = self.shared.clock.now();
        let snapshots = self.snapshots_matching(&options.filter).await?;
        let mut report = ForgetReport::default();
        for (key, snapshots) in options.group_by.split(snapshots) {
            let retention = options.policy.apply(&snapshots, now);
            if retention.keep.is_empty() && !options.policy.is_empty() {
                return Err(Error::invalid("the policy keeps no snapshot of a group")
                    .with_key(key)
                    .with_remedy(
                        "add a rule that keeps some, such as last 1, or forget the snapshots by their ids",
                    ));
            }
            report.removed.extend(retention.remove.iter().map(|entry| entry.id));
            report.groups.push(ForgetGroup { key, retention });
        }
        Ok(report)
    }
}

impl ForgetReport {
    fn dry(self) -> Self {
        Self { dry_run: true, ..self }
    }
}

impl ForgetOptions {
    fn check(&self) -> Result<()> {
        if !self.policy.is_empty() || (self.allow_remove_all && !self.filter.is_empty()) {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Invalid, "an empty policy keeps nothing: no snapshot is removed");
        Err(error.with_operation("forget").with_remedy("say what to keep, such as last 7"))
    }
}
