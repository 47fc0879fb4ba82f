//! Blob stores and layers whose promises are proven.
//!
//! [`Files`] is what hosts use: a handle over a composed store. A store keeps blobs; a layer wraps a store and is
//! one itself.
//!
//! | store | keeps blobs in |
//! |---|---|
//! | [`LocalDir`] | a directory: atomic, durable, compare-and-swap across processes |
//! | [`MemoryStore`] | memory |
//!
//! | layer | what it does |
//! |---|---|
//! | [`Access`] | lets a principal do what rules allow, with an audit hook |
//! | [`Cached`] | keeps pages that were read in memory, on disk or in a cache tier; never stale |
//! | [`Checksummed`] | keeps a checksum with each blob, checks it on the way back, scrubs |
//! | `Compressed` | compresses with zstd, seekable; skips what does not compress |
//! | [`Encrypted`] | seals blobs as Tink streaming AEAD ciphertexts, with ranged reads |
//! | [`Mirrored`] | keeps copies in several locations, with a write quorum, read repair and a journal |
//! | [`Metered`] | counts operations, errors, bytes and time |
//! | [`PolicyStore`] | retries, deadline, circuit breaker, hedged reads, in the one right order |
//! | [`Prefixed`] | shows a part of a store as a whole one |
//! | [`Quota`] | lets only so many bytes and blobs be stored |
//! | [`RateLimited`] | lets only so many calls and bytes pass in a second |
//! | [`ReadOnly`] | lets nothing be written |
//! | [`Tiered`] | moves what is not used to cheaper stores by rules, and finds it there |
//! | [`Versioned`] | keeps what is overwritten or deleted; views and restores of any time |
//!
//! Each of them passes the laws of `aeth_core::conformance` for every capability that it claims, alone and
//! composed. [`Lifecycle`] holds rules by which blobs age, for any store and for tiers, with a plan that can be read before
//! it is applied; [`Placement`] makes the paths of structured directories. [`FileLock`] elects a leader among the processes of a machine.
//!
//! ```
//! use aeth_core::seal::{Keyset, SegmentSize};
//! use aeth_files::{Encrypted, Files, LocalDir};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let dir = testkit::temp_dir();
//! let store = LocalDir::open(dir.path()).await?;
//! let files = Files::new(Encrypted::new(store, Keyset::generate(SegmentSize::default())?));
//! files.put("notes/1.txt", "remember the milk").await?;
//! assert_eq!(files.get("notes/1.txt").await?, "remember the milk");
//! # Ok::<(), aeth_core::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `object-store-0-14` | `AsObjectStore`: any store for DataFusion, parquet and the like; `ObjectStoreAdapter`: any of their stores here |
//! | `object-store-0-14-signer` | signed URLs through both |
//! | `s3`, `gcs`, `azure`, `http` | constructors of the adapter for these engines, with rustls and aws-lc-rs |
//! | `opendal-0-59` | `OpendalAdapter`: any opendal operator here |
//! | `git` | `GitArchive`: versions of a prefix as commits in a bare git repository |
//! | `zstd` | `Compressed` |
//! | `integration` | tests that need root (a full disk) or servers (S3, Azure, Google, WebDAV) |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
#[cfg(feature = "object-store-0-14")]
mod adapt;
mod blocking;
mod cached;
mod checksum;
mod checksummed;
#[cfg(feature = "zstd")]
mod compressed;
#[cfg(feature = "opendal-0-59")]
mod dal;
mod encrypted;
mod file_lock;
mod files;
#[cfg(feature = "git")]
mod git;
mod lifecycle;
mod local;
mod memory;
mod metered;
mod mirrored;
mod page;
mod placement;
mod prefixed;
mod quota;
mod random;
mod rate_limited;
mod read_only;
mod reserved;
mod tiered;
mod upload;
mod versioned;

pub use access::{Access, AccessPolicy, AccessRule, AccessStore, Action, Audited, OnAudit, Principal};
#[cfg(feature = "azure")]
pub use adapt::AzureOptions;
#[cfg(feature = "gcs")]
pub use adapt::GcsOptions;
#[cfg(feature = "http")]
pub use adapt::HttpOptions;
#[cfg(feature = "object-store-0-14")]
pub use adapt::{AsObjectStore, Engine, ObjectStoreAdapter, ObjectStoreAdapterOptions};
#[cfg(feature = "s3")]
pub use adapt::{ObjectLockMode, S3ObjectLock, S3Options};
pub use aeth_core::policy::PolicyStore;
pub use cached::{Cached, CachedBuilder, CachedStatistics};
pub use checksummed::{Checksummed, Scrubbed, SumAlgorithm};
#[cfg(feature = "zstd")]
pub use compressed::Compressed;
#[cfg(feature = "opendal-0-59")]
pub use dal::{OpendalAdapter, OpendalAdapterOptions};
pub use encrypted::{Encrypted, EncryptedStatistics};
pub use file_lock::FileLock;
pub use files::{
    Compare, Files, FilesBuilder, IntoPath, OnProgress, Probe, Progress, Survey, SyncAction, SyncOptions,
    SyncPlan, Synced, TransferOptions, content_type_of,
};
#[cfg(feature = "git")]
pub use git::{
    ArchiveEntry, Change, ChangeKind, CommitOptions, Committed, GitArchive, GitArchiveOptions, GitTag,
    PushOptions, RestoreOptions, Restored, Snapshot, TarOptions, Verified,
};
pub use lifecycle::{
    Lifecycle, LifecycleAction, LifecyclePlan, LifecycleReport, LifecycleRule, LifecycleStep, Selector,
};
pub use local::{Durability, Layout, LocalDir, LocalDirOptions};
pub use memory::MemoryStore;
pub use metered::Metered;
pub use mirrored::{Mirrored, MirroredBuilder, MirroredStatistics, Resynced};
#[cfg(feature = "object-store-0-14")]
pub use object_store;
#[cfg(feature = "opendal-0-59")]
pub use opendal;
pub use placement::{Filed, Filing, Placement, PlacementPart};
pub use prefixed::Prefixed;
pub use quota::{Quota, QuotaLimits, QuotaUsage};
pub use rate_limited::{RateLimited, RateLimits};
pub use read_only::ReadOnly;
pub use tiered::{RecallOptions, Swept, Tiered, TieredBuilder};
pub use versioned::{OldVersion, RestoredAt, Retention, Versioned};
