//! What is done to the bytes of values on their way into the lower tiers and back: compressed, then sealed.
//!
//! Reading is ready for whatever writing can do, whatever the options of this process say: an option can change
//! while old entries are still around. Only what is not sealed where sealing is demanded is refused, because anybody
//! could have written it.

#[cfg(any(feature = "zstd", feature = "lz4"))]
mod compress;
#[cfg(feature = "seal")]
mod seal;

#[cfg(any(feature = "zstd", feature = "lz4"))]
pub use compress::Compression;
#[cfg(feature = "seal")]
pub use seal::CacheKeys;

use aeth_core::cache::{Entry, EntryFlags};
use aeth_core::{Namespace, Result};
use bytes::Bytes;
use std::borrow::Cow;

/// How one cache's values travel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire {
    #[cfg(any(feature = "zstd", feature = "lz4"))]
    pub(crate) compression: Option<Compression>,
    #[cfg(feature = "seal")]
    pub(crate) keys: Option<CacheKeys>,
}

/// Flags whose meaning this build knows; an entry with others is a miss.
fn known() -> EntryFlags {
    let known = EntryFlags::NEGATIVE;
    #[cfg(feature = "zstd")]
    let known = known.with(EntryFlags::ZSTD);
    #[cfg(feature = "lz4")]
    let known = known.with(EntryFlags::LZ4);
    #[cfg(feature = "seal")]
    let known = known.with(EntryFlags::SEALED);
    known
}

impl Wire {
    /// The entry as it is stored.
    pub(crate) fn pack(&self, namespace: &Namespace, key: &[u8], entry: Entry) -> Result<Entry> {
        #[cfg(any(feature = "zstd", feature = "lz4"))]
        let entry = match &self.compression {
            Some(compression) => compression.pack(entry)?,
            None => entry,
        };
        #[cfg(feature = "seal")]
        let entry = match &self.keys {
            Some(keys) => keys.seal(namespace, key, entry)?,
            None => entry,
        };
        // Without the features there is nothing to bind the value to.
        let _ = (namespace, key);
        Ok(entry)
    }

    /// The encoded value of a stored entry; `None` when it cannot be read, or is not to be trusted.
    pub(crate) fn unpack<'a>(
        &self,
        namespace: &Namespace,
        key: &[u8],
        entry: &'a Entry,
    ) -> Option<Cow<'a, Bytes>> {
        if entry.flags.without(known()) != EntryFlags::NONE {
            return None;
        }
        let bytes = Cow::Borrowed(&entry.value);
        #[cfg(feature = "seal")]
        let bytes = match (&self.keys, entry.flags.has(EntryFlags::SEALED)) {
            (Some(keys), true) => Cow::Owned(keys.open(namespace, key, entry).ok()?),
            (None, false) => bytes,
            _ => return None,
        };
        #[cfg(any(feature = "zstd", feature = "lz4"))]
        let bytes = compress::unpack(entry.flags, bytes)?;
        let _ = (namespace, key);
        Some(bytes)
    }
}
