//! Repairing a repository, from the least to the most that is given up: damaged files from another sink, the index
//! from the packs, what is whole out of damaged packs, and snapshots without what is lost.

mod index;
mod options;
mod packs;
mod replicas;
mod report;
mod rewrite;
mod snapshots;

pub use options::RepairOptions;
pub use report::{RepairReport, RepairedSnapshot};
