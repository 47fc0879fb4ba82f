//! Copying snapshots into another repository, which has keys of its own.

mod report;
mod run;
mod transfer;

pub use report::{CopiedSnapshot, CopyOptions, CopyReport};
