//! Contracts by which several nodes act together: the backplane and the leader lock.

mod backplane;
mod leader;

pub use backplane::{Backplane, BackplaneEvent, Message, NodeId};
pub use leader::{LeaderLock, Leadership};
