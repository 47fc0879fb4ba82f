//! One program, so that it is linked once: what the contracts, their laws, policies and seals do.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod conformance_blob;
mod conformance_coord;
mod conformance_sink;
mod conformance_tier;
mod envelope_fixture;
mod laws_documented;
mod policy_guard;
mod policy_wrappers;
mod properties;
mod seal_damage;
mod seal_keyset;
mod seal_secret;
mod seal_stream;
mod seal_tink;
mod seal_vectors;
