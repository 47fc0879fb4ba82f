//! One program, so that it is linked once: the laws and object_store's own suite over every engine.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "object-store-0-14")]
#[macro_use]
mod suite;

mod conformance;
mod object_store_engines;
mod object_store_faults;
mod object_store_inward;
mod object_store_outward;
mod object_store_s3;
mod opendal;
mod rclone;
