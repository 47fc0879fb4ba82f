//! Putting a snapshot back.
//!
//! ```text
//! driver thread ──packs──▶ worker threads
//!   (walks the trees, makes      (read a pack's ranges, open its blobs,
//!    directories, plans packs)    write them where they belong)
//! ```
//! Files are restored pack by pack, so that each range of a pack is read once however many files need it. Links
//! are made when all files are written, so that nothing can be written through one.

mod blobs;
mod delta;
mod driver;
mod existing;
mod metadata;
mod options;
mod target;
mod work;

pub use blobs::BlobRestoreReport;
pub use options::{Existing, RestoreOptions, RestoreReport};
