//! Bringing the sinks together by itself, and seeing how far apart they are.

use super::lock::LockGuard;
use super::sink::SinkStatus;
use super::{Repository, Sink};
use crate::Id;
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;

const KINDS: [ObjectKind; 4] = [ObjectKind::Key, ObjectKind::Pack, ObjectKind::Index, ObjectKind::Snapshot];

/// What a sink lacks of what the others have.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SinkLag {
    /// The sink's label.
    pub name: String,
    /// Why that is not known, for a sink that does not answer.
    pub error: Option<Error>,
    /// Snapshots that it lacks.
    pub snapshots: u64,
    /// Objects that it lacks, snapshots included.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl SinkLag {
    /// True when it answers and has everything.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.error.is_none() && self.objects == 0
    }
}

impl Repository {
    /// Gives every sink what it lacks of what the others have, as each run does before it begins: for the sink that was
    /// away, or a new one, without waiting for the next run. Sealed objects are copied as they are. What was removed on
    /// purpose does not come back.
    ///
    /// # Errors
    /// `Busy` when the repository is locked exclusively; the sinks' errors when fewer than the quorum are left. How each
    /// sink fared stands in the answer.
    ///
    /// # Cancel safety
    /// Cancel-safe: every sink is valid at every moment, and the next call goes on.
    pub async fn catch_up(&self) -> Result<Vec<SinkStatus>> {
        let shared = &self.shared;
        let _writing = shared.writer.lock().await;
        shared.revive().await;
        shared.sinks.check_quorum()?;
        let lock = LockGuard::acquire(shared, false).await?;
        let result = Box::pin(shared.catch_up()).await;
        lock.release().await;
        result.map_err(|error| error.with_operation("catch up"))?;
        Ok(shared.sinks.status())
    }

    /// What each sink lacks of what the others have, by comparing their listings. Nothing is changed; a run that is
    /// under way makes the sinks differ for as long as it takes.
    ///
    /// # Errors
    /// The first sink's error when none can be listed.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn lag(&self) -> Result<Vec<SinkLag>> {
        let shared = &self.shared;
        shared.revive_unless_writing().await;
        let ledger = shared.ledger().await;
        let all = &shared.sinks.all;
        let held = join_all(all.iter().map(listed)).await;
        let mut union: BTreeMap<(ObjectKind, Id), u64> = BTreeMap::new();
        for (name, size) in held.iter().flatten().flatten() {
            let longest = union.entry(*name).or_insert(*size);
            *longest = (*longest).max(*size);
        }
        union.retain(|(kind, id), _| !ledger.is_removed(*kind, id));
        if held.iter().all(Result::is_err)
            && let Some(Err(error)) = held.first()
        {
            return Err(error.clone());
        }
        let lags = all.iter().zip(&held).map(|(sink, held)| {
            let mut lag = SinkLag { name: sink.name(), error: None, snapshots: 0, objects: 0, bytes: 0 };
            match held {
                Err(error) => lag.error = Some(error.clone()),
                Ok(held) => {
                    for (name, size) in union.iter().filter(|(name, size)| held.get(*name) != Some(*size)) {
                        lag.objects += 1;
                        lag.bytes += size;
                        lag.snapshots += u64::from(name.0 == ObjectKind::Snapshot);
                    }
                }
            }
            lag
        });
        Ok(lags.collect())
    }
}

async fn listed(sink: &Arc<Sink>) -> Result<BTreeMap<(ObjectKind, Id), u64>> {
    let mut held = BTreeMap::new();
    for kind in KINDS {
        held.extend(sink.list(kind).await?.into_iter().map(|(id, size)| ((kind, id), size)));
    }
    Ok(held)
}
