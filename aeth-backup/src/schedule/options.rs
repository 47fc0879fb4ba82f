//! How a schedule runs.

use super::cron::Cron;
use super::state::ScheduleStore;
use crate::check::CheckOptions;
use crate::drill::DrillOptions;
use crate::forget::ForgetOptions;
use crate::monitor::BackupMonitor;
use crate::prune::PruneOptions;
use aeth_core::coord::LeaderLock;
use std::sync::Arc;
use std::time::Duration;

/// Restore drills that come by themselves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DrillSchedule {
    /// When.
    pub when: Cron,
    /// How.
    pub options: DrillOptions,
}

impl DrillSchedule {
    /// Drills of this kind at these times.
    #[must_use]
    pub fn new(when: Cron, options: DrillOptions) -> Self {
        Self { when, options }
    }
}

/// How a [`Schedule`](super::Schedule) runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScheduleOptions {
    /// Its name: for the leader lock, for the spread of the jitter, for messages.
    pub name: String,
    /// When a run is due.
    pub when: Cron,
    /// A run begins up to so much later than it is due, so that a fleet does not fall upon one server at once. How
    /// much, is fixed by the host's name, the schedule's and the time that is due. Default: none.
    pub jitter: Duration,
    /// Whether a run that was missed while no process ran is made up for at the start: once, however many were
    /// missed. Default: yes. It needs a [store](Self::store) to be noticed.
    pub catch_up: bool,
    /// How long to wait before a failed run is tried again; doubled each time, at most an hour. Default: 5 minutes.
    pub backoff: Duration,
    /// How often a failed run is tried again before the next one is due. Default: 3.
    pub retries: u32,
    /// Where the state is kept over restarts. Default: nowhere.
    pub store: Option<Arc<dyn ScheduleStore>>,
    /// Of several processes that have the schedule, the one that holds this lock runs. Default: none is needed.
    pub leader: Option<Arc<dyn LeaderLock>>,
    /// How long a leadership lasts without renewal. Default: 60 s.
    pub leader_ttl: Duration,
    /// What is forgotten after a successful run. Default: nothing.
    pub retention: Option<ForgetOptions>,
    /// How it is pruned after that. Default: not at all.
    pub prune: Option<PruneOptions>,
    /// Whether [`object locks`](crate::RepositoryOptions::object_lock) are extended after that. Default: no.
    pub extend_object_locks: bool,
    /// How it is checked after that. Default: not at all.
    pub check: Option<CheckOptions>,
    /// Restore drills. Default: none.
    pub drill: Option<DrillSchedule>,
    /// Keeps what the runs did. Default: nobody does, or the job itself.
    pub monitor: Option<BackupMonitor>,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        })*
    };
}

impl ScheduleOptions {
    /// A schedule of this name at these times, everything else by default.
    #[must_use]
    pub fn new(name: impl Into<String>, when: Cron) -> Self {
        Self {
            name: name.into(),
            when,
            jitter: Duration::ZERO,
            catch_up: true,
            backoff: Duration::from_secs(300),
            retries: 3,
            store: None,
            leader: None,
            leader_ttl: Duration::from_secs(60),
            retention: None,
            prune: None,
            extend_object_locks: false,
            check: None,
            drill: None,
            monitor: None,
        }
    }

    setters! {
        /// Sets [`jitter`](Self::jitter).
        jitter: Duration,
        /// Sets [`catch_up`](Self::catch_up).
        catch_up: bool,
        /// Sets [`backoff`](Self::backoff).
        backoff: Duration,
        /// Sets [`retries`](Self::retries).
        retries: u32,
        /// Sets [`extend_object_locks`](Self::extend_object_locks).
        extend_object_locks: bool,
        /// Sets [`leader_ttl`](Self::leader_ttl).
        leader_ttl: Duration,
    }

    /// Sets [`store`](Self::store).
    #[must_use]
    pub fn store(mut self, store: impl ScheduleStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets [`leader`](Self::leader).
    #[must_use]
    pub fn leader(mut self, lock: Arc<dyn LeaderLock>) -> Self {
        self.leader = Some(lock);
        self
    }

    /// Sets [`retention`](Self::retention).
    #[must_use]
    pub fn retention(mut self, options: ForgetOptions) -> Self {
        self.retention = Some(options);
        self
    }

    /// Sets [`prune`](Self::prune).
    #[must_use]
    pub fn prune(mut self, options: PruneOptions) -> Self {
        self.prune = Some(options);
        self
    }

    /// Sets [`check`](Self::check).
    #[must_use]
    pub fn check(mut self, options: CheckOptions) -> Self {
        self.check = Some(options);
        self
    }

    /// Sets [`drill`](Self::drill).
    #[must_use]
    pub fn drill(mut self, drill: DrillSchedule) -> Self {
        self.drill = Some(drill);
        self
    }

    /// Sets [`monitor`](Self::monitor).
    #[must_use]
    pub fn monitor(mut self, monitor: BackupMonitor) -> Self {
        self.monitor = Some(monitor);
        self
    }
}
