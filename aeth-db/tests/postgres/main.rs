//! PostgreSQL, the real one: private clusters.
#![cfg(all(feature = "postgres", feature = "integration"))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::clone_on_ref_ptr,
    clippy::large_futures,
    missing_docs
)]

mod advise;
mod bouncer;
mod cancel;
mod cluster;
mod coord;
mod pool;
mod query_cache;
mod support;
mod tier;
mod tls;
mod transact;
mod trouble;
mod verdicts;
