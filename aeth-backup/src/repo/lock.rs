//! Locks, as restic takes them.
//!
//! A shared lock keeps others from pruning, an exclusive one keeps everybody out. Whoever wants one looks for
//! others, writes its own, waits, and looks again. The file is the same in all sinks. It is refreshed every
//! five minutes by a new one, so that after half an hour of silence others take it for dead.

use super::open::Shared;
use super::sinks::object;
use super::{Sink, host};
use crate::Id;
use crate::format::{LockFile, NodeTime, open_unpacked, seal_unpacked};
use aeth_core::backup::ObjectKind;
use aeth_core::{Clock, Error, ErrorKind, Result};
use futures_util::future::join_all;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// What restic waits before it looks again.
const SETTLE: Duration = Duration::from_millis(200);
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// Between two attempts at a lock that somebody else has.
const RETRY: Duration = Duration::from_millis(500);
/// Without a refresh for this long the holder gives up, before others may take the lock for dead.
const GIVE_UP: Duration = Duration::from_secs(20 * 60);

/// A held lock. Let it go by [`LockGuard::release`]; dropping it lets it go in the background.
#[derive(Debug)]
pub(crate) struct LockGuard {
    shared: Arc<Shared>,
    current: Arc<Mutex<Option<Id>>>,
    stop: CancellationToken,
    lost: CancellationToken,
    fresh: Arc<Mutex<Moment>>,
}

/// When the lock was last written, by both clocks: the monotonic one may stand still while the machine sleeps,
/// and others judge the lock's age by the time of day.
#[derive(Debug, Clone, Copy)]
struct Moment {
    monotonic: Duration,
    wall: SystemTime,
}

impl Moment {
    fn now(clock: &dyn Clock) -> Self {
        Self { monotonic: clock.monotonic(), wall: clock.now() }
    }

    fn age(&self, clock: &dyn Clock) -> Duration {
        let now = Self::now(clock);
        // A clock that was set back makes no lock older.
        let wall = now.wall.duration_since(self.wall).unwrap_or_default();
        now.monotonic.saturating_sub(self.monotonic).max(wall)
    }
}

impl LockGuard {
    /// Takes a lock in all live sinks and removes the locks of dead processes there. Fails when fewer than the
    /// quorum take it.
    pub(crate) async fn acquire(shared: &Arc<Shared>, exclusive: bool) -> Result<Self> {
        shared.conflicts(exclusive, None).await?;
        shared.sinks.check_quorum()?;
        let since = Moment::now(&*shared.clock);
        let id = shared.write_lock(exclusive, true).await?;
        let guard = Self::new(shared, id, since);
        shared.clock.sleep(SETTLE).await;
        let settled = shared.conflicts(exclusive, Some(id)).await.and_then(|()| shared.sinks.check_quorum());
        if let Err(error) = settled {
            guard.release().await;
            return Err(error);
        }
        guard.keep_fresh(exclusive, true);
        Ok(guard)
    }

    /// [`LockGuard::acquire`], again until `wait` is over while somebody else has a lock.
    pub(crate) async fn acquire_within(
        shared: &Arc<Shared>,
        exclusive: bool,
        wait: Duration,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let deadline = shared.clock.monotonic().saturating_add(wait);
        loop {
            if cancel.is_cancelled() {
                return Err(crate::error::cancelled());
            }
            let error = match Self::acquire(shared, exclusive).await {
                Ok(guard) => return Ok(guard),
                Err(error) => error,
            };
            let left = deadline.saturating_sub(shared.clock.monotonic());
            if error.kind() != ErrorKind::Busy || left.is_zero() {
                return Err(error);
            }
            // Two that wait must not meet again and again, each keeping the other out.
            let mut dice = [0];
            crate::crypto::random(&mut dice)?;
            let pause = RETRY.mul_f64(0.5 + f64::from(dice[0]) / 128.0).min(left);
            cancel.run_until_cancelled(shared.clock.sleep(pause)).await;
        }
    }

    /// Takes a shared lock for reading where that is possible. One sink of many is enough to restore from, and
    /// it may be read-only; only an exclusive lock of somebody else keeps a reader out.
    pub(crate) async fn for_reading(shared: &Arc<Shared>) -> Result<Self> {
        shared.conflicts(false, None).await?;
        let since = Moment::now(&*shared.clock);
        let id = shared.write_lock(false, false).await?;
        let guard = Self::new(shared, id, since);
        shared.clock.sleep(SETTLE).await;
        if let Err(error) = shared.conflicts(false, Some(id)).await {
            guard.release().await;
            return Err(error);
        }
        guard.keep_fresh(false, false);
        Ok(guard)
    }

    fn new(shared: &Arc<Shared>, id: Id, since: Moment) -> Self {
        Self {
            shared: Arc::clone(shared),
            current: Arc::new(Mutex::new(Some(id))),
            stop: CancellationToken::new(),
            lost: CancellationToken::new(),
            fresh: Arc::new(Mutex::new(since)),
        }
    }

    /// Fails when the lock is so old that others may take it for dead: what is written from now on may refer
    /// to something that they remove.
    pub(crate) fn check(&self) -> Result<()> {
        let fresh = *self.fresh.lock();
        if self.lost.is_cancelled() || fresh.age(&*self.shared.clock) > GIVE_UP {
            return Err(lock_lost());
        }
        Ok(())
    }

    /// Cancelled when the lock could not be refreshed for so long that others may soon take it for dead.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    fn keep_fresh(&self, exclusive: bool, strict: bool) {
        let (shared, current) = (Arc::clone(&self.shared), Arc::clone(&self.current));
        let (stop, lost) = (self.stop.clone(), self.lost.clone());
        let fresh = Arc::clone(&self.fresh);
        let work = async move {
            loop {
                shared.clock.sleep(REFRESH).await;
                let last = *fresh.lock();
                if last.age(&*shared.clock) > GIVE_UP {
                    // The machine slept, or no refresh has succeeded: a fresh lock would hide that.
                    lost.cancel();
                    return;
                }
                let since = Moment::now(&*shared.clock);
                match shared.write_lock(exclusive, strict).await {
                    Ok(new) => {
                        *fresh.lock() = since;
                        let old = current.lock().replace(new);
                        shared.remove_lock(old).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the repository's lock could not be refreshed");
                    }
                }
            }
        };
        let tasks = &self.shared.tasks;
        drop(tasks.spawn(async move { stop.run_until_cancelled(work).await }));
    }

    /// Removes the lock.
    pub(crate) async fn release(self) {
        self.stop.cancel();
        let id = self.current.lock().take();
        self.shared.remove_lock(id).await;
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.stop.cancel();
        let id = self.current.lock().take();
        if id.is_some() && tokio::runtime::Handle::try_current().is_ok() {
            let shared = Arc::clone(&self.shared);
            drop(self.shared.tasks.spawn(async move { shared.remove_lock(id).await }));
        }
    }
}

impl Shared {
    /// Writes a lock; without `strict` a sink that refuses it stays in use.
    async fn write_lock(&self, exclusive: bool, strict: bool) -> Result<Id> {
        let lock = LockFile {
            time: NodeTime::from(self.clock.now()).local(),
            exclusive,
            // Whether a process lives is asked of the machine, not of the name that snapshots carry.
            hostname: host::machine_name(),
            username: self.host.username.clone(),
            pid: std::process::id(),
            uid: self.host.uid,
            gid: self.host.gid,
            process: host::process_stamp().to_owned(),
        };
        let sealed = seal_unpacked(&self.key, &lock.encode()?, self.config.compresses())?;
        let id = Id::of(&sealed);
        // Before the write, so that no other handle of this process takes it for a dead one's.
        host::hold(id);
        let name = object(ObjectKind::Lock, id);
        if !strict {
            let live = self.sinks.live();
            for (sink, written) in
                live.iter().zip(join_all(live.iter().map(|sink| sink.write(&name, &sealed))).await)
            {
                if let Err(error) = written {
                    tracing::debug!(sink = %sink.inner.name(), %error, "reading without a lock");
                }
            }
            return Ok(id);
        }
        match self.sinks.write(&name, &sealed).await {
            Ok(()) => Ok(id),
            Err(error) => {
                self.remove_lock(Some(id)).await;
                Err(error.with_operation("lock"))
            }
        }
    }

    async fn remove_lock(&self, id: Option<Id>) {
        let Some(id) = id else { return };
        if let Err(error) = self.sinks.remove(&[object(ObjectKind::Lock, id)]).await {
            tracing::warn!(%error, "the repository's lock could not be removed; it dies with this process");
        }
        host::release(id);
    }

    /// Looks at the locks of all live sinks.
    async fn conflicts(&self, exclusive: bool, own: Option<Id>) -> Result<()> {
        let live = self.sinks.live();
        let results = join_all(live.iter().map(|sink| self.conflicts_in(sink, exclusive, own))).await;
        for (sink, result) in live.iter().zip(results) {
            match result {
                Err(error) if error.kind() == ErrorKind::Busy => return Err(error),
                Err(error) => sink.fail(error),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn conflicts_in(&self, sink: &Sink, exclusive: bool, own: Option<Id>) -> Result<()> {
        let mut dead = Vec::new();
        for (id, size) in sink.list(ObjectKind::Lock).await? {
            // Some stores leave an empty file behind when a write is interrupted.
            if own == Some(id) || size == 0 {
                continue;
            }
            let name = object(ObjectKind::Lock, id);
            let lock = match sink.read(&name, None).await {
                Ok(sealed) => open_unpacked(&self.key, &sealed).and_then(|json| LockFile::parse(&json)),
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            let lock = lock.map_err(|error| {
                error.with_component(sink.name()).with_key(&name).with_remedy(
                    "remove the damaged lock (Repository::remove_locks) when nobody uses the repository",
                )
            })?;
            if self.is_dead(id, &lock) {
                dead.push(name);
                continue;
            }
            if exclusive || lock.exclusive {
                return Err(locked(sink, &lock));
            }
        }
        if !dead.is_empty() {
            tracing::info!(sink = %sink.inner.name(), count = dead.len(), "removing the locks of dead processes");
            if let Err(error) = sink.remove(&dead).await {
                tracing::warn!(sink = %sink.inner.name(), %error, "the locks of dead processes cannot be removed");
            }
        }
        Ok(())
    }

    pub(super) fn is_dead(&self, id: Id, lock: &LockFile) -> bool {
        let now = NodeTime::from(self.clock.now());
        lock.is_stale(now, &host::machine_name(), |pid| {
            let age = now.seconds().saturating_sub(lock.time.seconds());
            let fresh = u64::try_from(age).unwrap_or(0) <= 2 * REFRESH.as_secs();
            may_live(lock, host::process_stamp(), host::holds(id), fresh, || host::process_is_alive(pid))
        })
    }
}

/// Whether the process of a lock with our host's name may live; `fresh` locks were refreshed when they had to be.
fn may_live(lock: &LockFile, stamp: &str, held: bool, fresh: bool, exists: impl FnOnce() -> bool) -> bool {
    let own = lock.pid == std::process::id();
    let (theirs, ours) = (lock.process.rsplit_once(':'), stamp.rsplit_once(':'));
    match (theirs, ours) {
        // The same boot and namespace: the number is that of one process.
        (Some((theirs, _)), Some((ours, _))) if theirs == ours => {
            if own {
                held
            } else {
                exists()
            }
        }
        // Another machine or container that has our host's name: only time tells.
        (Some(_), _) => true,
        (None, _) if own => held || fresh,
        (None, _) => exists(),
    }
}

/// What a run ends with whose lock others may take for dead.
pub(crate) fn lock_lost() -> Error {
    Error::unavailable("the repository's lock could not be refreshed for 20 minutes")
        .with_remedy("run the backup again; what was stored is used")
}

fn locked(sink: &Sink, lock: &LockFile) -> Error {
    let sort = if lock.exclusive { "exclusively " } else { "" };
    let LockFile { pid, hostname, username, time, .. } = lock;
    Error::new(
        ErrorKind::Busy,
        format!("the repository is {sort}locked by process {pid} on {hostname} ({username}) since {time}"),
    )
    .with_operation("lock")
    .with_component(sink.name())
    .with_remedy("wait for it; a lock whose process is gone is removed by itself on its own host, and after 30 minutes everywhere")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_process_may_live() {
        let own = std::process::id();
        let lock = |pid: u32, process: &str| {
            let json = format!(
                r#"{{"time":"2026-11-23T10:00:00Z","exclusive":false,"hostname":"h","username":"u","pid":{pid},"process":"{process}"}}"#
            );
            LockFile::parse(json.as_bytes()).unwrap()
        };
        let stamp = "boot:1:77";
        // Ours: what we do not hold was left behind, by us or by an earlier process of this number.
        assert!(may_live(&lock(own, stamp), stamp, true, true, || false));
        assert!(!may_live(&lock(own, stamp), stamp, false, true, || true));
        assert!(!may_live(&lock(own, "boot:1:3"), stamp, false, true, || true));
        // Another process of this namespace.
        assert!(may_live(&lock(own + 1, "boot:1:3"), stamp, false, false, || true));
        assert!(!may_live(&lock(own + 1, "boot:1:3"), stamp, false, true, || false));
        // Another container, and another machine of this name, are not judged by numbers.
        assert!(may_live(&lock(own, "boot:2:77"), stamp, false, false, || false));
        assert!(may_live(&lock(own + 1, "other:1:77"), stamp, false, false, || false));
        assert!(may_live(&lock(own, stamp), "", false, false, || false));
        // restic's: a lock with our number is another container's until it should have been refreshed.
        assert!(may_live(&lock(own, ""), stamp, false, true, || false));
        assert!(!may_live(&lock(own, ""), stamp, false, false, || true));
        assert!(!may_live(&lock(own + 1, ""), stamp, false, true, || false));
        assert_eq!(host::process_stamp().split(':').count(), 3);
    }
}
