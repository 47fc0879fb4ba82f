//! The contracts of AETHERIUS.
//!
//! Applications depend on `aetherius`; whoever writes a cache tier, a blob store, a backup sink or a metrics
//! source of their own depends on this crate, which has no I/O of its own and moves only when a contract
//! moves.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod name;

pub use error::{Error, ErrorKind, Result, Retry};
pub use name::{BlobPath, InvalidName, Key, Namespace, Tag};
