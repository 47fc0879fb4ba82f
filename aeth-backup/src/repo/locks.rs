//! Looking at locks, and removing them by hand.

use super::{Repository, Shared, Sink, object};
use crate::Id;
use crate::format::{LockFile, NodeTime, open_unpacked};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use std::sync::Arc;

/// A lock of the repository.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LockInfo {
    /// The lock's name.
    pub id: Id,
    /// The sink in which it is.
    pub sink: String,
    /// When it was written; whoever lives writes it anew every five minutes.
    pub time: NodeTime,
    /// True when it keeps everybody out.
    pub exclusive: bool,
    /// The host of the process that holds it.
    pub hostname: String,
    /// The user.
    pub username: String,
    /// The process.
    pub pid: u32,
    /// True when its process is gone, or has not refreshed it for 30 minutes.
    pub stale: bool,
    /// Why the file cannot be read: then nothing else is known, and it keeps everybody out.
    pub error: Option<Error>,
}

impl Repository {
    /// The locks of all sinks that answer.
    ///
    /// # Errors
    /// The sinks' errors when none can be listed.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn locks(&self) -> Result<Vec<LockInfo>> {
        let shared = &self.shared;
        shared.revive_unless_writing().await;
        let (mut found, mut failed) = (Vec::new(), None);
        let live = shared.sinks.live();
        for sink in &live {
            match shared.locks_of(sink).await {
                Ok(locks) => found.extend(locks),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if live.len() == 1 || found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// Removes locks: those that are stale, or with `all` every one. Stale ones are removed by whoever comes next
    /// anyhow; one that is damaged is removed with `all` only. Returns what was removed.
    ///
    /// Removing the lock of a process that lives lets others remove data that it relies on: use `all` only when
    /// nobody uses the repository.
    ///
    /// # Errors
    /// As [`locks`](Self::locks); the sinks' errors when a lock cannot be removed.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn remove_locks(&self, all: bool) -> Result<Vec<LockInfo>> {
        let mut locks = self.locks().await?;
        locks.retain(|lock| all || lock.stale);
        for sink in self.shared.sinks.live() {
            let name = sink.name();
            let own = locks.iter().filter(|lock| lock.sink == name);
            let names: Vec<_> = own.map(|lock| object(ObjectKind::Lock, lock.id)).collect();
            if !names.is_empty() {
                sink.remove(&names).await?;
            }
        }
        Ok(locks)
    }
}

impl Shared {
    async fn locks_of(&self, sink: &Arc<Sink>) -> Result<Vec<LockInfo>> {
        let mut found = Vec::new();
        for (id, _) in sink.list(ObjectKind::Lock).await? {
            let name = object(ObjectKind::Lock, id);
            let lock = match sink.read(&name, None).await {
                Ok(sealed) => open_unpacked(&self.key, &sealed).and_then(|json| LockFile::parse(&json)),
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            found.push(match lock {
                Ok(lock) => LockInfo {
                    id,
                    sink: sink.name(),
                    stale: self.is_dead(id, &lock),
                    time: lock.time,
                    exclusive: lock.exclusive,
                    hostname: lock.hostname,
                    username: lock.username,
                    pid: lock.pid,
                    error: None,
                },
                Err(error) => LockInfo {
                    id,
                    sink: sink.name(),
                    stale: false,
                    time: NodeTime::new(0, 0),
                    exclusive: true,
                    hostname: String::new(),
                    username: String::new(),
                    pid: 0,
                    error: Some(error.with_key(&name)),
                },
            });
        }
        Ok(found)
    }
}
