//! The laws of each contract, as code.
//!
//! A suite takes an implementation behind its trait, checks one law after the other, and gives a [`Report`]:
//! passed, failed with how that showed, or skipped because the implementation does not claim the capability. It
//! needs no test framework, so that hosts run it on tiers and stores of their own, and a start-up check may run
//! it on a real server.
//!
//! ```
//! # async fn example(store: impl aeth_core::blob::BlobStore) -> aeth_core::Result<()> {
//! aeth_core::conformance::blob_store::run_all(store).await.into_result()?;
//! # Ok(())
//! # }
//! ```
//!
//! Laws that need it run calls on tasks of their own: on a multi-threaded runtime they are truly parallel, which
//! finds more. Every law works in a place of its own (a prefix, a namespace, a channel) and removes what it
//! made. The suite is a tool for tests: what it promises is the set of laws, and a release may add some.
#![doc = include_str!("laws.md")]

mod law;
mod report;
mod sha256;
mod tools;

pub mod backplane;
pub mod backup_sink;
pub mod blob_store;
pub mod cache_tier;
pub mod health_check;
pub mod leader_lock;
pub mod metrics_source;

pub use crate::blob::probe;
pub use law::{Breach, Check, Law};
pub use report::{Finding, Report, Verdict};
