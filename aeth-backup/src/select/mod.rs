//! Which snapshots are meant, and changing what they are called.

mod filter;
mod lookup;
mod rewrite;
mod tags;

pub use filter::SnapshotFilter;
pub use lookup::AmbiguousId;
pub use tags::{TagChange, TagEdit};
