//! Checking a repository: each sink on its own, because each must be able to give everything back.

mod data;
mod options;
mod report;
mod rotation;
mod run;
mod trees;

pub use options::CheckOptions;
pub use report::{CheckFinding, CheckReport};
