//! The contracts of AETHERIUS.
//!
//! Applications depend on `aetherius`; whoever writes a cache tier, a blob store, a backup sink or a metrics
//! source of their own depends on this crate, which has no I/O of its own and moves only when a contract
//! moves.
//!
//! | module | contract |
//! |---|---|
//! | [`cache`] | [`CacheTier`](cache::CacheTier): bytes in, bytes out, with leases |
//! | [`blob`] | [`BlobStore`](blob::BlobStore): paths to blobs, with a capability report |
//! | [`backup`] | [`BackupSink`](backup::BackupSink): write-once objects |
//! | [`observe`] | instruments, [`MetricsSource`](observe::MetricsSource), [`HealthCheck`](observe::HealthCheck) |
//! | [`coord`] | [`Backplane`](coord::Backplane), [`LeaderLock`](coord::LeaderLock) |
//! | [`policy`] | limits, retries, circuit breaker and hedged reads, in one order |
//!
//! With the feature `conformance` the laws of each contract come as code that runs on any implementation; with
//! `sim` come a clock that tests own and wrappers that inject faults.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backup;
pub mod blob;
mod body;
pub mod cache;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod coord;
mod error;
mod lifecycle;
mod name;
pub mod observe;
pub mod policy;
#[cfg(feature = "seal")]
pub mod seal;
mod secret;
#[cfg(feature = "sim")]
pub mod sim;
mod tasks;

pub use body::{Body, ByteStream, Reopen, collect_sized, collect_stream};
pub use clock::{Clock, ClockExt, SystemClock};
pub use error::{Error, ErrorKind, Result, Retry};
pub use lifecycle::Lifecycle;
pub use name::{BlobPath, InvalidName, Key, Namespace, Tag};
pub use secret::Secret;
pub use tasks::Tasks;

pub use async_trait::async_trait;
pub use bytes;
