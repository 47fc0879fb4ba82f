//! The engine for more than one machine.

mod backplane;
mod conn;
mod endpoint;
mod executor;
mod fleet;
mod handle;
mod link;
mod listen;
mod lock;
mod migrate;
mod node;
mod observe;
mod options;
mod probe;
mod query_cache;
mod route;
mod shared;
mod sight;
mod target;
mod tier;
mod token;
mod transact;
mod transaction;

pub use backplane::PostgresBackplane;
pub use conn::PostgresConn;
pub use fleet::Standing;
pub use handle::{PostgresDatabase, ServerStatus};
pub use listen::ListenEvent;
pub use lock::PostgresLeaderLock;
pub use options::{Pooler, PostgresOptions};
pub use query_cache::{CacheFreshness, CachedQuery, QueryCache, QueryCacheOptions, QueryCacheStatistics};
pub use route::Consistency;
pub use target::TargetSession;
pub use tier::{PostgresCacheTier, PostgresTierOptions};
pub use token::Token;
pub use transaction::{Begin, Isolation, PostgresTransaction};
