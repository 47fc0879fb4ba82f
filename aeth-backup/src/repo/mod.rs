//! A repository: one set of keys and content, in any number of sinks.

pub(crate) mod host;
mod index;
mod keyring;
mod keys;
mod ledger;
mod ledger_store;
mod load;
mod lock;
mod open;
mod opener;
mod options;
mod refill;
mod sinks;
mod snapshots;
mod sync;

use host::Host;
pub(crate) use index::{IdMap, IdSet, Index, Location};
pub use keyring::KeyInfo;
pub(crate) use keys::joined;
pub(crate) use ledger::{Change, Ledger, State};
pub(crate) use load::open_blob;
pub(crate) use lock::{LockGuard, lock_lost};
pub use open::Repository;
pub(crate) use open::Shared;
pub(crate) use opener::{Beside, Opener};
pub use options::{Quorum, RepositoryOptions};
pub(crate) use refill::{Refill, SealedBlob};
pub use sinks::SinkStatus;
pub(crate) use sinks::{Sink, Sinks, object, pack_object};
pub use snapshots::SnapshotEntry;
