//! Which call fails, and how.

use super::SimRng;
use crate::{Clock, Error, ErrorKind, Result, SystemClock};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One way in which a call goes wrong.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Fault {
    /// It fails with this error, and nothing is done.
    Error(Error),
    /// It is done after this time.
    Delay(Duration),
    /// It never ends, and nothing is done.
    Hang,
    /// It is done, but the answer is lost: the caller gets `Unavailable`.
    Lost,
    /// A write is done in part, visibly, and fails with `Unavailable`; a read breaks off with `Unavailable` in the
    /// middle; a batch is done for its first half.
    Torn,
    /// One bit of what is read or written is another one. Calls without bytes are done as they are.
    Flip,
}

impl Fault {
    /// A failure with this kind.
    #[must_use]
    pub fn error(kind: ErrorKind) -> Self {
        Self::Error(Error::new(kind, "a simulated fault"))
    }

    /// An engine that does not answer.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::error(ErrorKind::Unavailable)
    }
}

/// What is left to do of a fault once the call is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Lost,
    Torn,
    Flip,
}

/// When a rule applies, counted in calls of its operation from 1.
#[derive(Debug, Clone)]
enum When {
    Nth(u64),
    Every(u64),
    Range(u64, u64),
    Chance(f64),
    Flapping(u64, u64),
}

#[derive(Debug, Clone)]
struct Rule {
    operation: Option<&'static str>,
    when: When,
    fault: Fault,
}

/// A plan of faults, deterministic by its seed; clones are one plan, so that a test keeps one and gives one to each
/// wrapper.
///
/// Operations have the names of the trait's methods without suffixes: for a store `get`, `put`, `delete`, `copy`,
/// `rename`, `list`, `begin_upload`, `resume_upload`, `presign`, `put_part`, `list_parts`, `complete`, `abort`; for
/// a tier `get`, `get_now`, `put`, `remove`, `tags`, `clear`, `lease`, `fill`, `release`; for a sink `write`,
/// `read`, `size`, `list`, `remove`, `keep`; for a backplane `publish`, `subscribe`, `event`; for a leader lock `acquire`,
/// `renew`, `release`; for a health check `check`. The first rule that applies to a call decides.
///
/// ```
/// use aeth_core::{ErrorKind, sim::{Fault, FaultPlan}};
/// use std::time::Duration;
///
/// let plan = FaultPlan::new(42)
///     .nth("put", 2, Fault::Lost) // the second put is done, but says that it failed
///     .chance("get", 0.1, Fault::Delay(Duration::from_secs(1)))
///     .every("list", 3, Fault::error(ErrorKind::Busy));
/// assert_eq!(plan.calls("put"), 0);
/// ```
#[derive(Clone)]
pub struct FaultPlan(Arc<Mutex<Inner>>);

struct Inner {
    rules: Vec<Rule>,
    random: SimRng,
    clock: Arc<dyn Clock>,
    calls: BTreeMap<&'static str, u64>,
    injected: u64,
    down: Option<Fault>,
}

impl FaultPlan {
    /// A plan without faults yet, with chance by this seed and delays by the machine's clock.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            rules: Vec::new(),
            random: SimRng::new(seed),
            clock: SystemClock::shared(),
            calls: BTreeMap::new(),
            injected: 0,
            down: None,
        })))
    }

    /// Delays by this clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.0.lock().clock = clock;
        self
    }

    fn rule(self, operation: Option<&'static str>, when: When, fault: Fault) -> Self {
        self.0.lock().rules.push(Rule { operation, when, fault });
        self
    }

    /// The `n`-th call (from 1) of an operation goes wrong.
    #[must_use]
    pub fn nth(self, operation: &'static str, n: u64, fault: Fault) -> Self {
        self.rule(Some(operation), When::Nth(n), fault)
    }

    /// The calls `first` to `last` (from 1, both included) of an operation go wrong.
    #[must_use]
    pub fn range(self, operation: &'static str, first: u64, last: u64, fault: Fault) -> Self {
        self.rule(Some(operation), When::Range(first, last), fault)
    }

    /// Every `n`-th call of an operation goes wrong.
    #[must_use]
    pub fn every(self, operation: &'static str, n: u64, fault: Fault) -> Self {
        self.rule(Some(operation), When::Every(n.max(1)), fault)
    }

    /// Each call of an operation goes wrong with this probability (0 to 1).
    #[must_use]
    pub fn chance(self, operation: &'static str, probability: f64, fault: Fault) -> Self {
        self.rule(Some(operation), When::Chance(probability), fault)
    }

    /// Each call of any operation goes wrong with this probability (0 to 1).
    #[must_use]
    pub fn chance_any(self, probability: f64, fault: Fault) -> Self {
        self.rule(None, When::Chance(probability), fault)
    }

    /// Of every operation, `up` calls go well, then `down` go wrong, and so on.
    #[must_use]
    pub fn flapping(self, up: u64, down: u64, fault: Fault) -> Self {
        self.rule(None, When::Flapping(up, down), fault)
    }

    /// From now on every call goes wrong.
    pub fn go_down(&self, fault: Fault) {
        self.0.lock().down = Some(fault);
    }

    /// Ends what [`go_down`](Self::go_down) began; the rules hold again.
    pub fn come_up(&self) {
        self.0.lock().down = None;
    }

    /// How often an operation was called.
    #[must_use]
    pub fn calls(&self, operation: &str) -> u64 {
        self.0.lock().calls.get(operation).copied().unwrap_or(0)
    }

    /// How many calls went wrong.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.0.lock().injected
    }

    /// Counts a call and gives the fault that it meets.
    #[must_use]
    pub fn next(&self, operation: &'static str) -> Option<Fault> {
        let mut inner = self.0.lock();
        let call = inner.calls.entry(operation).or_default();
        *call += 1;
        let call = *call;
        let fault = match &inner.down {
            Some(fault) => Some(fault.clone()),
            None => inner.decide(operation, call),
        };
        inner.injected += u64::from(fault.is_some());
        fault
    }

    /// A number below `bound` from the plan's chance.
    pub(super) fn below(&self, bound: usize) -> usize {
        let number = self.0.lock().random.below(bound as u64);
        usize::try_from(number).unwrap_or(0)
    }

    /// Lets a call through, late or never or not at all.
    pub(super) async fn enter(&self, operation: &'static str) -> Result<After> {
        match self.next(operation) {
            None => Ok(After::Nothing),
            Some(Fault::Error(error)) => Err(error.with_operation(operation)),
            Some(Fault::Delay(time)) => {
                let clock = Arc::clone(&self.0.lock().clock);
                clock.sleep(time).await;
                Ok(After::Nothing)
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Lost) => Ok(After::Lost),
            Some(Fault::Torn) => Ok(After::Torn),
            Some(Fault::Flip) => Ok(After::Flip),
        }
    }

    /// Runs a call that has no parts and no bytes.
    pub(super) async fn around<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        match self.enter(operation).await? {
            After::Nothing | After::Flip => call.await,
            After::Lost => {
                call.await?;
                Err(lost(operation))
            }
            After::Torn => Err(torn(operation)),
        }
    }
}

/// The error of a call that was done.
pub(super) fn lost(operation: &'static str) -> Error {
    Error::unavailable("a simulated fault: the answer was lost").with_operation(operation)
}

/// The error of a call that was done in part.
pub(super) fn torn(operation: &'static str) -> Error {
    Error::unavailable("a simulated fault: broken off").with_operation(operation)
}

impl Inner {
    fn decide(&self, operation: &'static str, call: u64) -> Option<Fault> {
        let applies = |rule: &&Rule| {
            rule.operation.is_none_or(|its| its == operation)
                && match rule.when {
                    When::Nth(n) => call == n,
                    When::Every(n) => call.is_multiple_of(n),
                    When::Range(first, last) => (first..=last).contains(&call),
                    When::Chance(probability) => self.random.chance(probability),
                    When::Flapping(up, down) => (call - 1) % (up + down).max(1) >= up,
                }
        };
        self.rules.iter().find(applies).map(|rule| rule.fault.clone())
    }
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.lock();
        f.debug_struct("FaultPlan")
            .field("seed", &inner.random.seed())
            .field("rules", &inner.rules)
            .field("injected", &inner.injected)
            .finish_non_exhaustive()
    }
}
