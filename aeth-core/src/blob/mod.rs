//! The contract of a blob store.
//!
//! [`BlobStore`] is for those who implement one (a store or a layer): few methods, each in its most general
//! form, none with a default that a layer could silently bypass. [`BlobStoreExt`] is for those who use one.

mod capability;
mod ext;
mod meta;
mod options;
mod probe;
mod store;
mod upload;

pub use capability::{Capabilities, Capability, CapabilitySet, Consistency, ListedSize};
pub use ext::BlobStoreExt;
pub(crate) use ext::list_stream;
pub use meta::{Attributes, Blob, BlobMeta, BlobTags, Checksum, ETag, ETagMatch, Page, PageToken, PutResult};
pub use options::{
    CopyAttributes, CopyMode, CopyOptions, GetOptions, GetRange, ListOptions, PresignMethod, PresignOptions,
    PutMode, PutOptions, SignedUrl,
};
pub use probe::probe;
pub use store::BlobStore;
pub use upload::{Part, Upload, UploadId};
