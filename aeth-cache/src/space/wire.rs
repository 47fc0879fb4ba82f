//! Values as the lower tiers store them.

use super::Space;
use crate::l1::Value;
use aeth_core::Result;
use aeth_core::cache::{Entry, EntryFlags};
use bytes::Bytes;
use std::any::Any;

/// Flags whose meaning this release knows; an entry with others is a miss.
const KNOWN: u8 = EntryFlags::NEGATIVE.bits();

impl Space {
    /// True when the values have bytes and there is a tier to keep them.
    pub(crate) fn has_lower(&self) -> bool {
        self.shared.lower.is_some() && self.codec.id().is_some()
    }

    /// The bytes of a value, and what was done to them.
    pub(crate) fn to_wire(&self, value: &(dyn Any + Send + Sync)) -> Result<(Bytes, EntryFlags)> {
        Ok((self.codec.encode(value)?, EntryFlags::NONE))
    }

    /// The value of an entry: `None` when it cannot be read here, which is a miss and is counted;
    /// `Some(None)` when absence is what it says.
    pub(crate) fn of_wire(&self, entry: &Entry) -> Option<Option<Value>> {
        let known = entry.flags.bits() & !KNOWN == 0;
        let ours = Some(entry.codec) == self.codec.id() && entry.schema == self.settings.schema;
        if known && ours {
            if entry.flags.has(EntryFlags::NEGATIVE) {
                return Some(None);
            }
            if let Ok(value) = self.codec.decode(&entry.value) {
                return Some(Some(value));
            }
        }
        self.stats.undecodable.increment();
        None
    }
}
