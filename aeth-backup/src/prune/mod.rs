//! Removing what no snapshot refers to, beside running backups.
//!
//! ```text
//! phase one, shared lock     walk all snapshots ─▶ plan ─▶ copy used blobs out of half-used packs (new packs, new
//!                            index) ─▶ mark the packs that are then of no use, in the ledger
//! phase two, exclusive lock  look again ─▶ un-mark what has become used ─▶ new index ─▶ ledger: removed
//!                            ─▶ remove old indexes ─▶ remove packs
//! ```
//! Between the phases everything stays readable and indexed. A writer of ours that begins then takes marked blobs
//! for absent and stores them again; any other writer, and one that was under way, may still rely on them: it
//! holds a lock until its snapshot is there, phase two waits for it, and finds its blobs used.
//!
//! The plan is made once and carried out on every sink. A sink that is away learns of it by the ledger.

mod keep;
mod options;
mod phases;
mod plan;
mod reach;
mod repack;
mod report;
mod revive;
mod survey;
mod sweep;

pub use keep::ObjectLockReport;
pub use options::{MaxUnused, PruneOptions};
pub use report::{PruneBlobs, PruneBytes, PrunePacks, PruneReport};
pub(crate) use survey::pack_size;
