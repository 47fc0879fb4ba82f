//! Putting saved values back.

use super::file::{Record, read_values};
use crate::caches::Shared;
use crate::l1::Published;
use crate::space::Doubt;
use aeth_core::cache::TierCapability;
use aeth_core::{ClockExt, Result};
use bytes::Bytes;
use std::collections::HashMap;

/// What became of saved values; see [`Caches::restore`](crate::Caches::restore).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RestoreReport {
    /// They are back.
    pub restored: usize,
    /// Their time is over, or the machine's clock has stepped back so that it cannot be told.
    pub expired: usize,
    /// Their key has changed since, or may have: a snapshot of another process that was taken before its close.
    pub changed: usize,
    /// Something newer stands in their place.
    pub newer: usize,
    /// Of a cache that is not open, of another codec or schema, or sealed under other keys.
    pub unreadable: usize,
}

impl Shared {
    /// True when others may have changed what this process remembers.
    fn others_write(&self) -> bool {
        let shared = |tier: &dyn aeth_core::cache::CacheTier| tier.capabilities().has(TierCapability::Shared);
        self.coherence.is_some() || self.guards.iter().any(|guard| shared(&**guard))
    }

    /// Puts values back. For rare events: it works through all of them at once.
    pub(crate) fn restore(&self, bytes: &Bytes) -> Result<RestoreReport> {
        let (header, records) = read_values(bytes)?;
        let mut report = RestoreReport::default();
        let ours = header.instance == self.instance;
        if !ours && !header.clean {
            report.changed = records.len();
            return Ok(report);
        }
        if self.coarse.clock().unix_millis() < header.saved {
            report.expired = records.len();
            return Ok(report);
        }
        let doubt = if !ours && self.others_write() { Doubt::Stale } else { Doubt::None };
        let mut spaces = HashMap::new();
        for mut record in records {
            let space =
                spaces.entry(record.namespace.clone()).or_insert_with(|| self.space(&record.namespace));
            let Some(space) = space else {
                report.unreadable += 1;
                continue;
            };
            if !ours {
                // Nothing may have changed here either since this process began.
                record = Record { generation: 0, clears: 0, tag_epoch: 0, ..record };
            }
            let state = (record.generation, record.clears, record.tag_epoch);
            let counted = match space.restore(&record.key, &record.entry, state, doubt) {
                Some(Published::Stored) => &mut report.restored,
                Some(Published::Fenced) => &mut report.changed,
                Some(Published::Superseded) => &mut report.newer,
                Some(Published::TooLarge) => &mut report.unreadable,
                None if record.entry.is_usable(self.coarse.clock().unix_millis()) => &mut report.unreadable,
                None => &mut report.expired,
            };
            *counted += 1;
        }
        Ok(report)
    }
}
