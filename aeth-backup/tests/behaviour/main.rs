//! What a repository does, as one program, so that the engine's generic code is compiled once for all of it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "tests")]

mod bad_input;
#[path = "../common/mod.rs"]
mod common;
mod engine;
mod faults;
mod hardening;
mod operations;
mod quorum;
#[cfg(feature = "integration")]
mod restic;
mod restore;
mod schedule;
mod sinks;
mod sources;
