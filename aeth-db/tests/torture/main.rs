//! Campaigns: seeded, short here, long by `cargo xtask torture db`.
#![cfg(all(feature = "postgres", feature = "integration"))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::clone_on_ref_ptr,
    clippy::large_futures,
    missing_docs
)]

mod drops;
mod failover;
mod pairs;
mod query_cache;
#[path = "../postgres/support.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod support;
