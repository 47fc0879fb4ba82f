//! Settings of the cache.

use super::{Size, Span};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Settings of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CacheSettings {
    /// The budget of all caches together, for decoded values in memory. Default: 64 MiB; at least 1 MiB.
    pub memory: Size,
    /// What lies below the memory, the nearest first. Default: nothing.
    pub tiers: Vec<TierKind>,
    /// What tells the processes that share a tier of each other's changes. Default: nothing; their copies then end
    /// within each cache's `local_fresh_for`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backplane: Option<Via>,
    /// The budget of the tier in the database. Default: 1 GiB; at least 1 MiB.
    pub database_budget: Size,
    /// How long one call of a tier may take before it counts as unanswered. Default: 1 s.
    pub call_timeout: Span,
    /// Whether what is hot is remembered in the data directory across restarts; the host says when to warm up by
    /// `storage.caches().warm_up()`. Default: no.
    pub warm: bool,
}

/// A tier below the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TierKind {
    /// The Redis of [`Settings::redis`](super::Settings::redis), shared by all processes that use it.
    Redis,
    /// The database: tables of a PostgreSQL database, shared by all processes that use it; without one a SQLite file of
    /// its own in the data directory.
    Database,
}

/// Through which server processes speak to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Via {
    /// The Redis of [`Settings::redis`](super::Settings::redis).
    Redis,
    /// The PostgreSQL of [`DatabaseSettings::url`](super::DatabaseSettings::url).
    Database,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            memory: Size::from_mib(64),
            tiers: Vec::new(),
            backplane: None,
            database_budget: Size::from_mib(1_024),
            call_timeout: Span::new(Duration::from_secs(1)),
            warm: false,
        }
    }
}
