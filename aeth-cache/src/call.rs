//! What can differ by call.

use crate::behind::WriteMode;
#[cfg(doc)]
use crate::options::CacheOptions;
use std::time::Duration;

/// What differs for some calls; see [`Cache::with`](crate::Cache::with). Everything is unset by default.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// Instead of [`CacheOptions::fresh_for`].
    pub fresh_for: Option<Duration>,
    /// Instead of [`CacheOptions::usable_for`].
    pub usable_for: Option<Duration>,
    /// Instead of [`CacheOptions::soft_timeout`].
    pub soft_timeout: Option<Duration>,
    /// Instead of [`CacheOptions::hard_timeout`].
    pub hard_timeout: Option<Duration>,
    /// Instead of [`CacheOptions::negative_for`].
    pub negative_for: Option<Duration>,
    /// Instead of [`CacheOptions::fail_safe`].
    pub fail_safe: Option<bool>,
    /// Instead of [`CacheOptions::retry_after`].
    pub retry_after: Option<Duration>,
    /// Instead of [`CacheOptions::local_fresh_for`].
    pub local_fresh_for: Option<Duration>,
    /// Instead of [`CacheOptions::jitter`]; what lies outside of 0 to 0.5 is brought to the nearer end.
    pub jitter: Option<f64>,
    /// Instead of [`CacheOptions::early_refresh`]; what lies outside of 0 to 100 is brought to the nearer end.
    pub early_refresh: Option<f64>,
    /// Instead of [`CacheOptions::lease_for`]; at least a millisecond.
    pub lease_for: Option<Duration>,
    /// Instead of [`CacheOptions::tier_timeout`], for reading.
    pub tier_timeout: Option<Duration>,
    /// Instead of [`CacheOptions::tier_soft_timeout`].
    pub tier_soft_timeout: Option<Duration>,
    /// `get` and `peek` give stale entries too.
    pub allow_stale: bool,
    /// Loads although there is a fresh entry.
    pub reload: bool,
    /// Instead of [`CacheOptions::write`].
    pub write: Option<WriteMode>,
}

impl CallOptions {
    /// Nothing differs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long what is stored by these calls is fresh.
    #[must_use]
    pub fn fresh_for(mut self, time: Duration) -> Self {
        self.fresh_for = Some(time);
        self
    }

    /// Sets how long what is stored by these calls may be used at all.
    #[must_use]
    pub fn usable_for(mut self, time: Duration) -> Self {
        self.usable_for = Some(time);
        self
    }

    /// Sets how long these calls wait for a load while there is a stale entry.
    #[must_use]
    pub fn soft_timeout(mut self, time: Duration) -> Self {
        self.soft_timeout = Some(time);
        self
    }

    /// Sets how long the loader of these calls may take.
    #[must_use]
    pub fn hard_timeout(mut self, time: Duration) -> Self {
        self.hard_timeout = Some(time);
        self
    }

    /// Sets how long an absence that these calls find is cached.
    #[must_use]
    pub fn negative_for(mut self, time: Duration) -> Self {
        self.negative_for = Some(time);
        self
    }

    /// Sets whether these calls are served a stale entry when its load fails.
    #[must_use]
    pub fn fail_safe(mut self, yes: bool) -> Self {
        self.fail_safe = Some(yes);
        self
    }

    /// Sets how long a stale entry is served without another attempt after a load of these calls has failed.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// Sets how long this process trusts what these calls store before it asks the lower tiers again.
    #[must_use]
    pub fn local_fresh_for(mut self, time: Duration) -> Self {
        self.local_fresh_for = Some(time);
        self
    }

    /// Sets how far what these calls store is spread in time.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = Some(part);
        self
    }

    /// Sets how early what these calls store is refreshed.
    #[must_use]
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.early_refresh = Some(beta);
        self
    }

    /// Sets how long the lease of a load lasts: for calls whose loads are known to take longer than others.
    #[must_use]
    pub fn lease_for(mut self, time: Duration) -> Self {
        self.lease_for = Some(time);
        self
    }

    /// Sets how long these calls wait for an answer of the lower tiers.
    #[must_use]
    pub fn tier_timeout(mut self, time: Duration) -> Self {
        self.tier_timeout = Some(time);
        self
    }

    /// Sets how long these calls wait for an answer of the lower tiers while there is a stale entry.
    #[must_use]
    pub fn tier_soft_timeout(mut self, time: Duration) -> Self {
        self.tier_soft_timeout = Some(time);
        self
    }

    /// Lets `get` and `peek` give stale entries too.
    #[must_use]
    pub fn allow_stale(mut self, yes: bool) -> Self {
        self.allow_stale = yes;
        self
    }

    /// Loads although there is a fresh entry, unless a load is on its way already.
    #[must_use]
    pub fn reload(mut self, yes: bool) -> Self {
        self.reload = yes;
        self
    }

    /// Sets which way puts take.
    #[must_use]
    pub fn write(mut self, mode: WriteMode) -> Self {
        self.write = Some(mode);
        self
    }
}
