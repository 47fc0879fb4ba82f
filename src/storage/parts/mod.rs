//! Opening the parts, one by one.

#[cfg(feature = "backup")]
mod backup;
#[cfg(feature = "cache")]
mod cache;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod database;
#[cfg(feature = "files")]
mod files;

#[cfg(feature = "backup")]
pub(super) use backup::{BackupParts, backup};
#[cfg(feature = "cache")]
pub(super) use cache::{backplane, caches};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) use database::database;
#[cfg(all(feature = "files", feature = "backup"))]
pub(super) use files::stored_at;
#[cfg(feature = "files")]
pub(super) use files::{OpenFiles, files};

use aeth_core::Lifecycle;
use aeth_core::observe::{HealthCheck, MetricsSource};
use std::sync::Arc;

/// The database, where a build has one.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) type SharedDatabase<'a> = Option<&'a aeth_db::Database>;
/// The database, where a build has one.
#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
pub(super) type SharedDatabase<'a> = Option<&'a std::convert::Infallible>;

/// What the parts bring along: layers and servers with figures, health and an end of their own.
#[derive(Default)]
pub(super) struct Attached {
    /// What is closed after the part that stands on it.
    pub(super) closers: Vec<(&'static str, Arc<dyn Lifecycle>)>,
    pub(super) sources: Vec<Arc<dyn MetricsSource>>,
    pub(super) checks: Vec<Arc<dyn HealthCheck>>,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.closers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Attached").field("closers", &names).finish_non_exhaustive()
    }
}
