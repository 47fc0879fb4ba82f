//! One program, so that it is linked once: local directories, sealing, `Files` and archives in git.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod encrypted;
mod encrypted_tink;
mod files;
mod files_placed;
mod git;
mod local_attacks;
