//! Blob stores and layers whose promises are proven.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocking;
mod checksum;
mod encrypted;
mod local;
mod memory;
mod page;
mod random;
mod upload;

pub use encrypted::Encrypted;
pub use local::{Durability, Layout, LocalDir, LocalDirOptions};
pub use memory::MemoryStore;
