//! Values as the lower tiers store them.

use super::Space;
use crate::l1::Value;
use aeth_core::Result;
use aeth_core::cache::{CodecId, Entry, EntryFlags};

impl Space {
    /// True when the values have bytes and there is a tier to keep them.
    pub(crate) fn has_lower(&self) -> bool {
        self.shared.lower.is_some() && self.codec.id().is_some()
    }

    /// An entry whose value is encoded, as it is to be stored: compressed, then sealed, as the options say.
    pub(crate) fn to_wire(&self, key: &[u8], entry: Entry) -> Result<Entry> {
        let codec = self.codec.id().unwrap_or(CodecId::RAW);
        self.wire.pack(&self.name, key, entry.with_codec(codec, self.settings.schema))
    }

    /// The value of an entry: `None` when it cannot be read here, which is a miss and is counted;
    /// `Some(None)` when absence is what it says.
    pub(crate) fn of_wire(&self, key: &[u8], entry: &Entry) -> Option<Option<Value>> {
        // Entries of another codec or schema belong to processes of another release.
        let ours = Some(entry.codec) == self.codec.id() && entry.schema == self.settings.schema;
        if ours && let Some(bytes) = self.wire.unpack(&self.name, key, entry) {
            if entry.flags.has(EntryFlags::NEGATIVE) {
                return Some(None);
            }
            if let Ok(value) = self.codec.decode(&bytes) {
                return Some(Some(value));
            }
        }
        self.stats.undecodable.increment();
        None
    }
}
