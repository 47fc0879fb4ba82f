//! Private servers, trees and judges for the tests.
//!
//! Everything here is the real thing: servers are the distribution's own binaries on free loopback ports and
//! in private directories, judges are tools that are not ours (restic, Tink), trees hold what real file
//! systems hold. A tool that is missing fails the test with the command that installs it; nothing is
//! skipped silently. `cargo xtask setup` installs all of them.
//!
//! A server never outlives its owner. Dropping it stops it; and when the owner dies without dropping anything
//! (a panic that aborts, SIGKILL, a `static`), its supervisor sees the pipe between them close, stops the
//! server and removes its directory.
//!
//! Functions panic with a message that says what is wrong, as a test wants; those that a program can want
//! to recover from return a `Result`.
#![allow(
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    clippy::must_use_candidate,
    reason = "test support: real time is what servers live in, and a panic is how a test fails"
)]

mod account;
mod campaign;
mod dir;
mod process;
mod server;
mod tmpfs;
mod tool;
mod tree;

pub use campaign::{Campaign, Case, campaign};
pub use dir::{target_dir, temp_dir};
pub use process::{Ended, Subject, is_root, kill_group, kill_tree};
pub use server::{
    Emulator, Moto, PgBouncer, PgBouncerBuilder, Postgres, PostgresBuilder, Redis, RedisBuilder, free_port,
};
pub use tmpfs::Tmpfs;
pub use tool::{Missing, Restic, postgres_bin, python, restic_in, tool};
pub use tree::{Compare, Difference, Shape, TreeReport, assert_same_tree, same_tree};

pub use tempfile::TempDir;
