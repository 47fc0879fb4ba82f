//! What is used, and what is about to be.

use aeth_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::sync::Arc;

/// How much a [`Quota`](super::Quota) lets be stored. `None`, the default: as much as there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QuotaLimits {
    /// The bytes of all blobs together.
    pub bytes: Option<u64>,
    /// The number of blobs.
    pub objects: Option<u64>,
    /// The bytes of one blob.
    pub blob_bytes: Option<u64>,
}

impl QuotaLimits {
    /// Limits the bytes of all blobs together.
    #[must_use]
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Limits the number of blobs.
    #[must_use]
    pub fn with_objects(mut self, objects: u64) -> Self {
        self.objects = Some(objects);
        self
    }

    /// Limits the bytes of one blob.
    #[must_use]
    pub fn with_blob_bytes(mut self, bytes: u64) -> Self {
        self.blob_bytes = Some(bytes);
        self
    }
}

/// What is stored, as far as a [`Quota`](super::Quota) knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QuotaUsage {
    /// The bytes of all blobs together.
    pub bytes: u64,
    /// The number of blobs.
    pub objects: u64,
}

#[derive(Debug, Default)]
struct State {
    used: QuotaUsage,
    /// What writes under way may add.
    reserved: QuotaUsage,
}

/// The books.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) limits: QuotaLimits,
    state: Mutex<State>,
}

fn full(what: &str, limit: u64) -> Error {
    Error::new(ErrorKind::Full, format!("the quota of {limit} {what} is used up"))
        .with_component("quota")
        .with_remedy("delete what is not needed, or raise the quota")
}

impl Ledger {
    pub(super) fn new(limits: QuotaLimits, used: QuotaUsage) -> Self {
        Self { limits, state: Mutex::new(State { used, reserved: QuotaUsage::default() }) }
    }

    pub(super) fn used(&self) -> QuotaUsage {
        self.state.lock().used
    }

    /// What a count found takes the place of what was reckoned.
    pub(super) fn recounted(&self, used: QuotaUsage) {
        self.state.lock().used = used;
    }

    /// Takes what was deleted off the books.
    pub(super) fn removed(&self, size: u64) {
        let used = &mut self.state.lock().used;
        used.bytes = used.bytes.saturating_sub(size);
        used.objects = used.objects.saturating_sub(1);
    }

    /// Begins a write in place of a blob of this size, if there is one.
    pub(super) fn reserve(self: &Arc<Self>, replaced: Option<u64>) -> Result<Reservation> {
        let new = u64::from(replaced.is_none());
        let mut state = self.state.lock();
        if let Some(limit) = self.limits.objects.filter(|_| new > 0)
            && state.used.objects + state.reserved.objects >= limit
        {
            return Err(full("blobs", limit));
        }
        state.reserved.objects += new;
        Ok(Reservation { ledger: Arc::clone(self), replaced, length: 0, held: 0 })
    }
}

/// The room that a write has taken; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    ledger: Arc<Ledger>,
    replaced: Option<u64>,
    /// The length so far.
    length: u64,
    /// What of it goes beyond the blob that it replaces.
    held: u64,
}

impl Reservation {
    /// Takes room for so many more bytes.
    ///
    /// # Errors
    /// Full when there is none.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<()> {
        let length = self.length.saturating_add(bytes);
        let limits = &self.ledger.limits;
        if let Some(limit) = limits.blob_bytes.filter(|limit| length > *limit) {
            return Err(full("bytes of one blob", limit));
        }
        let held = length.saturating_sub(self.replaced.unwrap_or(0));
        let more = held - self.held;
        let mut state = self.ledger.state.lock();
        if let Some(limit) = limits.bytes.filter(|_| more > 0)
            && state.used.bytes.saturating_add(state.reserved.bytes).saturating_add(more) > limit
        {
            return Err(full("bytes", limit));
        }
        state.reserved.bytes += more;
        self.length = length;
        self.held = held;
        Ok(())
    }

    /// The write took effect, with this length.
    pub(super) fn commit(self, length: u64) {
        let used = &mut self.ledger.state.lock().used;
        used.objects += u64::from(self.replaced.is_none());
        used.bytes = used.bytes.saturating_sub(self.replaced.unwrap_or(0)).saturating_add(length);
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.ledger.state.lock();
        state.reserved.bytes = state.reserved.bytes.saturating_sub(self.held);
        let new = u64::from(self.replaced.is_none());
        state.reserved.objects = state.reserved.objects.saturating_sub(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_is_given_back() {
        let limits = QuotaLimits::default().with_bytes(100).with_objects(2);
        let ledger = Arc::new(Ledger::new(limits, QuotaUsage::default()));
        let mut first = ledger.reserve(None).unwrap();
        first.grow(80).unwrap();
        let mut second = ledger.reserve(None).unwrap();
        assert_eq!(second.grow(30).unwrap_err().kind(), ErrorKind::Full);
        assert_eq!(ledger.reserve(None).unwrap_err().kind(), ErrorKind::Full);
        drop(first);
        second.grow(30).unwrap();
        second.commit(30);
        assert_eq!(ledger.used(), QuotaUsage { bytes: 30, objects: 1 });
        // Only what goes beyond the blob that is replaced counts.
        let mut over = ledger.reserve(Some(30)).unwrap();
        over.grow(100).unwrap();
        over.commit(100);
        assert_eq!(ledger.used(), QuotaUsage { bytes: 100, objects: 1 });
        ledger.removed(100);
        assert_eq!(ledger.used(), QuotaUsage::default());
    }
}
