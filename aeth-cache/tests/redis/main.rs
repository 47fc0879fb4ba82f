//! One program, so that it is linked once: Redis as a level, its outages and topologies.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod coherence;
mod conformance;
mod gathered;
mod outage;
mod quiet;
mod server;
mod topology;
mod typed;

#[cfg(feature = "integration")]
mod place;
