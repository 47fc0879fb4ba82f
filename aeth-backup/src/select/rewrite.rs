//! A snapshot in place of another.

use crate::Id;
use crate::format::{Snapshot, seal_unpacked};
use crate::repo::{LockGuard, Shared, SnapshotEntry, object};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, ErrorKind, Result};

impl Shared {
    /// Stores a snapshot.
    pub(crate) async fn store_snapshot(&self, snapshot: Snapshot, lock: &LockGuard) -> Result<SnapshotEntry> {
        let sealed = seal_unpacked(&self.key, &snapshot.encode()?, self.config.compresses())?;
        let id = Id::of(&sealed);
        lock.check()?;
        self.sinks.write(&object(ObjectKind::Snapshot, id), &sealed).await?;
        Ok(SnapshotEntry { id, snapshot })
    }

    /// Stores `snapshot` with `old`'s origin and removes `old`.
    pub(crate) async fn replace_snapshot(
        &self,
        old: Id,
        mut snapshot: Snapshot,
        lock: &LockGuard,
    ) -> Result<SnapshotEntry> {
        snapshot.original = Some(snapshot.original.unwrap_or(old));
        let new = self.store_snapshot(snapshot, lock).await?;
        self.remove_snapshots(&[old]).await?;
        Ok(new)
    }

    /// Fails when nothing can be removed in any sink that is left.
    pub(crate) fn refuse_append_only(&self, operation: &'static str) -> Result<()> {
        self.sinks.check_quorum()?;
        let live = self.sinks.live();
        if live.iter().any(|sink| !sink.inner.capabilities().append_only) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Denied, "the sinks are append-only")
            .with_operation(operation)
            .with_remedy("run it with credentials that may delete, from a trusted host"))
    }
}
