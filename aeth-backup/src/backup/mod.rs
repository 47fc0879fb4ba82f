//! A backup run.
//!
//! ```text
//! walker thread ──files──▶ worker threads ──full packs──▶ the caller's task ──▶ all sinks at once
//!   (one: reads directories,   (read, cut, hash,             (packs, then indexes that name
//!    compares with the parent)  compress, seal)               them, then the snapshot)
//! ```
//! The walker and the workers are threads of their own, so that no runtime worker is ever kept busy. Memory is
//! bounded by the number of packs that may exist at once ([`gate`]) and by the bytes that may wait in the queue
//! of chunks ([`queue`]); whoever would exceed these waits.

mod buffer;
mod directory;
mod dirs;
mod file;
mod gate;
mod packer;
mod plan;
mod queue;
mod report;
mod run;
mod saver;
mod upload;
mod virtuals;
mod walk;

pub use plan::Plan;
pub use report::BackupReport;
