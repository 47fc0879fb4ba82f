//! One program, so that it is linked once: the metrics, their text, health and volumes.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/open_metrics.rs"]
mod open_metrics;

mod health;
mod http;
mod laws;
mod promtool;
mod storage;
mod text;
mod volumes;
