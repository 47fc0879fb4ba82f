//! One program, so that it is linked once: the cache in one process.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod conformance;
mod nodes;
mod single_flight;
mod times;
