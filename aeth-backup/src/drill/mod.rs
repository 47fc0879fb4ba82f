//! Proof by doing: a snapshot is restored somewhere else and compared with what it says.

mod options;
mod run;
mod sample;

pub use options::{DrillOptions, DrillReport};
