//! How transactions are repeated.

use std::time::Duration;

/// How a transaction is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactOptions {
    /// How often it is tried in all, at least once. Default 5.
    pub attempts: u32,
    /// The longest wait before the second attempt; doubles with each. Default 10 ms.
    pub backoff: Duration,
    /// The longest wait of all. Default 1 s.
    pub backoff_max: Duration,
    /// Whether a transaction may be repeated though it was perhaps committed (the connection was lost meanwhile).
    /// Default false.
    pub idempotent: bool,
    /// Whether a transaction that waited for a lock longer than the lock timeout is repeated, which waits as long again.
    /// PostgreSQL only. Default false.
    pub lock_timeouts: bool,
}

impl Default for TransactOptions {
    fn default() -> Self {
        Self {
            attempts: 5,
            backoff: Duration::from_millis(10),
            backoff_max: Duration::from_secs(1),
            idempotent: false,
            lock_timeouts: false,
        }
    }
}

impl TransactOptions {
    /// Sets how often it is tried in all; 0 counts as 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the longest wait before the second attempt, and of all.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.backoff, self.backoff_max) = (first, longest);
        self
    }

    /// Sets whether a transaction may be repeated though it was perhaps committed.
    #[must_use]
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// Sets whether a transaction that waited too long for a lock is repeated.
    #[must_use]
    pub fn lock_timeouts(mut self, lock_timeouts: bool) -> Self {
        self.lock_timeouts = lock_timeouts;
        self
    }

    /// Full jitter: anything up to the doubled limit.
    pub(crate) fn wait(&self, attempt: u32) -> Duration {
        let limit = self.backoff.saturating_mul(1 << attempt.min(16)).min(self.backoff_max);
        limit.mul_f64(fastrand::f64())
    }
}
