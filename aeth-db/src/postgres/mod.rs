//! The engine for more than one machine.

mod conn;
mod endpoint;
mod executor;
mod fleet;
mod handle;
mod link;
mod migrate;
mod node;
mod observe;
mod options;
mod probe;
mod route;
mod shared;
mod sight;
mod target;
mod token;
mod transact;
mod transaction;

pub use conn::PostgresConn;
pub use fleet::Standing;
pub use handle::{PostgresDatabase, ServerStatus};
pub use options::{Pooler, PostgresOptions};
pub use route::Consistency;
pub use target::TargetSession;
pub use token::Token;
pub use transaction::{Begin, Isolation, PostgresTransaction};
