//! Looking into snapshots: what they hold, where a thing is, how two of them differ.

mod changes;
mod diff;
mod find;
mod glob;
mod ls;
mod walk;

pub use changes::{Change, ChangeKind, DiffCounts, DiffOptions, DiffReport};
pub use find::{FindOptions, Found, FoundBlob};
pub use glob::Glob;
pub use ls::LsOptions;
pub use walk::TreeEntry;
pub(crate) use walk::tree;
