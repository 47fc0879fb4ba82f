//! What stands around every lower tier: a limit to each call, a circuit breaker, and a record of how long calls took.

mod gate;
mod tier;
mod timed;

pub(crate) use gate::Gate;
pub(crate) use tier::{GuardedTier, Limits};
pub(crate) use timed::{timed, urgent};
