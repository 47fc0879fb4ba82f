//! One check: its limits, its cache, its damping.

use aeth_core::observe::{Health, HealthCheck, Status};
use aeth_core::{Clock, ClockExt};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// A question that an orchestrator asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Probe {
    /// Should the process be restarted? Only checks of the process itself belong here: a database that is away
    /// is no reason to restart.
    Liveness,
    /// Should the process get traffic now?
    Readiness,
    /// Has the process started? Once answered with pass, it stays so.
    Startup,
    /// Everything, whatever probe it belongs to.
    All,
}

/// How one check is run and what it counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckOptions {
    /// How long the check may take; longer is a failure. Default 5 s.
    pub timeout: Duration,
    /// How old an answer may be before the check runs again. Default 5 s.
    pub max_age: Duration,
    /// How many failures in a row make it down. The first answer of all counts at once. Default 2.
    pub fall: u32,
    /// How many good answers in a row make it better again. Default 2.
    pub rise: u32,
    /// Whether the whole is down when this is; otherwise the whole is degraded then. Default true.
    pub critical: bool,
    /// Asked by [`Probe::Liveness`]. Default false.
    pub liveness: bool,
    /// Asked by [`Probe::Readiness`]. Default true.
    pub readiness: bool,
    /// Asked by [`Probe::Startup`]. Default true.
    pub startup: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            max_age: Duration::from_secs(5),
            fall: 2,
            rise: 2,
            critical: true,
            liveness: false,
            readiness: true,
            startup: true,
        }
    }
}

impl CheckOptions {
    /// Sets how long the check may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how old an answer may be.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Sets how many failures in a row make it down; 0 counts as 1.
    #[must_use]
    pub fn fall(mut self, fall: u32) -> Self {
        self.fall = fall;
        self
    }

    /// Sets how many good answers in a row make it better; 0 counts as 1.
    #[must_use]
    pub fn rise(mut self, rise: u32) -> Self {
        self.rise = rise;
        self
    }

    /// Sets whether the whole is down when this is.
    #[must_use]
    pub fn critical(mut self, critical: bool) -> Self {
        self.critical = critical;
        self
    }

    /// Sets which probes ask it.
    #[must_use]
    pub fn probes(mut self, liveness: bool, readiness: bool, startup: bool) -> Self {
        (self.liveness, self.readiness, self.startup) = (liveness, readiness, startup);
        self
    }

    fn answers(&self, probe: Probe) -> bool {
        match probe {
            Probe::Liveness => self.liveness,
            Probe::Readiness => self.readiness,
            Probe::Startup => self.startup,
            Probe::All => true,
        }
    }
}

/// The damped health of one component.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ComponentHealth {
    /// The component's name.
    pub component: String,
    /// Whether the whole is down when this is.
    pub critical: bool,
    /// When the check ran.
    pub checked: SystemTime,
    /// The verdict; `since` is when it last changed.
    pub health: Health,
}

#[derive(Debug, Default)]
struct State {
    /// The published answer and the monotonic time of the check.
    last: Option<(ComponentHealth, Duration)>,
    failures: u32,
    successes: u32,
}

/// A registered check.
#[derive(Debug)]
pub(super) struct Component {
    check: Arc<dyn HealthCheck>,
    options: CheckOptions,
    /// Held while the check runs: whoever comes meanwhile waits for the answer instead of asking again.
    state: tokio::sync::Mutex<State>,
    /// The verdict (0 up, 1 degraded, 2 down; 255 none yet) and latency, for those who must not wait.
    status: AtomicU8,
    latency: AtomicU64,
}

pub(super) const NEVER: u8 = u8::MAX;

impl Component {
    pub(super) fn new(check: Arc<dyn HealthCheck>, options: CheckOptions) -> Self {
        Self {
            check,
            options,
            state: tokio::sync::Mutex::default(),
            status: AtomicU8::new(NEVER),
            latency: AtomicU64::new(0),
        }
    }

    pub(super) fn name(&self) -> String {
        self.check.component().into_owned()
    }

    pub(super) fn answers(&self, probe: Probe) -> bool {
        self.options.answers(probe)
    }

    /// The last verdict ([`NEVER`] before the first) and the nanoseconds that it took.
    pub(super) fn published(&self) -> (u8, u64) {
        (self.status.load(Relaxed), self.latency.load(Relaxed))
    }

    /// The cached answer, or that of a check run now (`fresh` runs it in any case).
    pub(super) async fn ask(&self, clock: &dyn Clock, fresh: bool) -> ComponentHealth {
        let arrived = clock.monotonic();
        let mut state = self.state.lock().await;
        if let Some((health, at)) = &state.last {
            let young = clock.monotonic().saturating_sub(*at) <= self.options.max_age;
            // A check that began after this call came is fresh enough for everybody.
            if (young && !fresh) || *at > arrived {
                return health.clone();
            }
        }
        let started = clock.monotonic();
        let raw = self.run(clock).await;
        let latency = clock.monotonic().saturating_sub(started);
        let health = self.damp(&mut state, raw.with_latency(latency), clock.now());
        state.last = Some((health.clone(), started));
        self.status.store(rank(health.health.status), Relaxed);
        self.latency.store(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        health
    }

    async fn run(&self, clock: &dyn Clock) -> Health {
        let limit = self.options.timeout;
        let check = AssertUnwindSafe(self.check.check()).catch_unwind();
        match clock.timeout(limit, check).await {
            Ok(Ok(health)) => health,
            Ok(Err(_)) => Health::down("the check panicked"),
            Err(_) => Health::down(format!("no answer within {limit:?}")),
        }
    }

    /// Turns the answer of one run into the published one.
    fn damp(&self, state: &mut State, mut raw: Health, now: SystemTime) -> ComponentHealth {
        if raw.status == Status::Down {
            (state.failures, state.successes) = (state.failures.saturating_add(1), 0);
        } else {
            (state.failures, state.successes) = (0, state.successes.saturating_add(1));
        }
        let previous = state.last.as_ref().map(|(last, _)| (last.health.status, last.health.since));
        let (fall, rise) = (self.options.fall.max(1), self.options.rise.max(1));
        if let Some((before, _)) = previous {
            let said = raw.status;
            let kept = (said == Status::Down && said != before && state.failures < fall)
                || (said < before && state.successes < rise);
            if kept {
                raw.status = before;
                let because = raw.reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
                let count =
                    if said == Status::Down { (state.failures, fall) } else { (state.successes, rise) };
                raw.reason = Some(format!("{said} {} of {} times{because}", count.0, count.1).into());
            }
        }
        raw.since = match previous {
            Some((before, since)) if before == raw.status => since,
            _ => Some(now),
        };
        ComponentHealth { component: self.name(), critical: self.options.critical, checked: now, health: raw }
    }
}

pub(super) fn rank(status: Status) -> u8 {
    match status {
        Status::Up => 0,
        Status::Degraded => 1,
        _ => 2,
    }
}
