//! How calls to a component that can fail are made.
//!
//! A [`Policy`] is plain settings; a [`Guard`] applies it in the one right order (see [`Policy`]); the wrappers
//! apply it to whole contracts. An error that a guard gives after its attempts is marked
//! [`Retry::Exhausted`](crate::Retry::Exhausted), so that guards above never multiply the attempts.

mod backoff;
mod breaker;
mod guard;
mod hedge;
mod instruments;
mod resume;
mod settings;
mod sink;
mod store;
mod tier;
mod upload;
mod write;

pub use breaker::BreakerState;
pub use guard::{CallKind, Guard, Repeat};
pub use hedge::Hedge;
pub use settings::{BreakerSettings, HedgeSettings, Policy, Retries};
pub use sink::PolicySink;
pub use store::PolicyStore;
pub use tier::PolicyTier;
