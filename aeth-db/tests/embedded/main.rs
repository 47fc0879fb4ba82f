//! One program, so that it is linked once: the embedded engine.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod disk;
mod kill;
mod laws;
mod migrate;
mod snapshot;
mod speed;
mod sqlite;
mod tier;
mod trouble;
