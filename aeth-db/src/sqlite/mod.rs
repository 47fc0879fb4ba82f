//! The embedded engine.

mod conn;
mod connect;
mod control;
mod executor;
mod handle;
mod link;
mod maintain;
mod migrate;
mod observe;
mod options;
mod shared;
mod snapshot;
mod tier;
mod transact;

pub use conn::{SqliteConn, SqliteTransaction};
pub use handle::SqliteDatabase;
pub use maintain::Integrity;
pub use options::{SqliteOptions, Synchronous};
pub use snapshot::Snapshot;
pub use tier::{SqliteCacheTier, SqliteTierOptions};
