//! Directory trees that hold what real file systems hold, and their comparison.

mod compare;
mod generate;
mod names;
mod xattr;

pub use compare::{Compare, Difference, assert_same_tree, same_tree};
pub use generate::{Shape, TreeReport};
