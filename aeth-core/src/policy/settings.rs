//! The settings.

use std::time::Duration;

/// How calls to a component that can fail are made: with which limits, how often, how many at once.
///
/// The parts are always applied in this order, from the outside in:
///
/// 1. **deadline**: bounds everything below, waiting included;
/// 2. **retry**: repeats an attempt that failed transiently, after a pause;
/// 3. **circuit breaker**: refuses the attempt at once while the component is down;
/// 4. **hedge**: sends a second request when the first one of a read is late;
/// 5. **concurrency**: each request takes a slot, and waits for one;
/// 6. **attempt timeout**: bounds the request itself.
///
/// Why so: the breaker sees every attempt, opens within one call, and an open breaker ends the retries. A pause
/// holds no slot, and a hedge needs one of its own, which it takes only when one is free, so that neither can
/// exceed the concurrency. Waiting for a slot is our own congestion: it counts against the deadline, but not
/// against the attempt, and does not open the breaker.
///
/// ```
/// use aeth_core::policy::{Policy, Retries};
/// use std::time::Duration;
///
/// let policy = Policy::default()
///     .with_attempt_timeout(Duration::from_secs(5))
///     .with_deadline(Duration::from_secs(20))
///     .with_retries(Retries::default().with_attempts(3))
///     .with_concurrency(64);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// How long one request may take; for a body that is written or read, how long it may take without progress.
    /// Default: 10 seconds. `None`: no limit.
    pub attempt_timeout: Option<Duration>,
    /// How long the whole call may take, waiting and pauses included. The transfer of a body that is written is
    /// allowed for on top, at 256 KiB/s; reading the body of a get is not part of the call. Default: 60 seconds.
    /// `None`: no limit.
    pub deadline: Option<Duration>,
    /// How attempts are repeated. Default: up to 4 attempts.
    pub retries: Retries,
    /// How many requests run at once; at least 1. Default: `None`, no limit.
    pub concurrency: Option<usize>,
    /// When requests are refused at once. Default: on. `None`: never.
    pub breaker: Option<BreakerSettings>,
    /// When a second request is sent. Default: `None`, never.
    pub hedge: Option<HedgeSettings>,
    /// Seeds the jitter of the pauses; `None` (default): by chance.
    pub seed: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempt_timeout: Some(Duration::from_secs(10)),
            deadline: Some(Duration::from_secs(60)),
            retries: Retries::default(),
            concurrency: None,
            breaker: Some(BreakerSettings::default()),
            hedge: None,
            seed: None,
        }
    }
}

impl Policy {
    /// No limits, one attempt, no breaker, no hedge.
    #[must_use]
    pub fn none() -> Self {
        Self {
            attempt_timeout: None,
            deadline: None,
            retries: Retries::default().with_attempts(1),
            concurrency: None,
            breaker: None,
            hedge: None,
            seed: None,
        }
    }

    /// Sets how long one request may take.
    #[must_use]
    pub fn with_attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout = Some(limit);
        self
    }

    /// Sets how long the whole call may take.
    #[must_use]
    pub fn with_deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Sets how attempts are repeated.
    #[must_use]
    pub fn with_retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// Sets how many requests run at once; 0 is taken as 1.
    #[must_use]
    pub fn with_concurrency(mut self, requests: usize) -> Self {
        self.concurrency = Some(requests.max(1));
        self
    }

    /// Sets when requests are refused at once.
    #[must_use]
    pub fn with_breaker(mut self, breaker: BreakerSettings) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// Never refuses a request.
    #[must_use]
    pub fn without_breaker(mut self) -> Self {
        self.breaker = None;
        self
    }

    /// Sets when a second request is sent.
    #[must_use]
    pub fn with_hedge(mut self, hedge: HedgeSettings) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// Seeds the jitter of the pauses, so that a test sees the same ones each time.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

/// How attempts are repeated: after a random pause between nothing and a bound that doubles each time ("full
/// jitter", Brooker, *Exponential Backoff and Jitter*, AWS 2015), and never before the time that the error asks
/// for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retries {
    /// The most attempts, the first one included; at least 1. Default: 4.
    pub attempts: u32,
    /// The bound of the first pause. Default: 50 ms.
    pub base: Duration,
    /// The greatest bound of a pause. Default: 5 seconds.
    pub cap: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 4, base: Duration::from_millis(50), cap: Duration::from_secs(5) }
    }
}

impl Retries {
    /// Sets the most attempts, the first one included; 0 is taken as 1.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets the bounds of the first and of the longest pause.
    #[must_use]
    pub fn with_backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.base = base;
        self.cap = cap;
        self
    }
}

/// When a component counts as down: too many of the last requests failed with `Unavailable` or `Timeout`. After a
/// while one request is let through as a probe; its outcome closes the breaker or keeps it open for twice as
/// long.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// How many of the last requests count; 1 to 64. Default: 32.
    pub window: u32,
    /// How many requests must have been made before the ratio counts; at most the window. Default: 8.
    pub least: u32,
    /// Opens from this ratio of failed requests on (0 to 1). Default: 0.5.
    pub ratio: f64,
    /// How long it stays open the first time. Default: 1 second.
    pub open: Duration,
    /// The longest time that it stays open. Default: 30 seconds.
    pub open_cap: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: 32,
            least: 8,
            ratio: 0.5,
            open: Duration::from_secs(1),
            open_cap: Duration::from_secs(30),
        }
    }
}

impl BreakerSettings {
    /// Sets how many of the last requests count, how many there must be, and the ratio of failed ones that opens.
    #[must_use]
    pub fn with_threshold(mut self, window: u32, least: u32, ratio: f64) -> Self {
        self.window = window.clamp(1, 64);
        self.least = least.clamp(1, self.window);
        self.ratio = ratio.clamp(0.0, 1.0);
        self
    }

    /// Sets how long it stays open, at first and at most.
    #[must_use]
    pub fn with_open(mut self, first: Duration, cap: Duration) -> Self {
        self.open = first;
        self.open_cap = cap.max(first);
        self
    }
}

/// When a late read is asked a second time, and the first answer taken (Dean and Barroso, *The Tail at Scale*, CACM
/// 2013). No read is while more than one in five of the last reads were late, or the circuit breaker has seen more
/// than one in ten of the last requests fail: in a brown-out more requests only add to it. Take a breaker along,
/// therefore. The quantile is that of the last one to two thousand reads.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct HedgeSettings {
    /// A read is late after this long, or after the quantile of the latencies seen lately, whichever is longer.
    /// Default: 50 ms.
    pub after: Duration,
    /// The quantile of the latencies seen lately (0 to 1). Default: 0.95.
    pub quantile: f64,
    /// The most extra requests as a share of all reads (0 to 1). Default: 0.05.
    pub budget: f64,
}

impl Default for HedgeSettings {
    fn default() -> Self {
        Self { after: Duration::from_millis(50), quantile: 0.95, budget: 0.05 }
    }
}

impl HedgeSettings {
    /// Sets the least time after which a read is late.
    #[must_use]
    pub fn with_after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// Sets the most extra requests as a share of all reads.
    #[must_use]
    pub fn with_budget(mut self, share: f64) -> Self {
        self.budget = share.clamp(0.0, 1.0);
        self
    }
}
