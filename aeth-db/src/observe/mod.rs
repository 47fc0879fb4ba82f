//! What the handle sees of its statements.

mod fingerprint;
mod prepared;
mod recorder;
mod session;
mod statements;

pub(crate) use prepared::Prepared;
pub(crate) use recorder::{Outcome, Recorder};
pub use statements::{SlowQuery, StatementStatistics};
