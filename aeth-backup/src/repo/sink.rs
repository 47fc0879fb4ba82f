//! One sink of a repository and how it fares.

use super::late::Line;
use super::options::Quorum;
use super::sinks::LINGER;
use crate::Id;
use aeth_core::backup::{BackupSink, ObjectId, ObjectKind};
use aeth_core::{Clock, ClockExt, Error, ErrorKind, Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Attempts on one sink for an error that says trying again can help.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes a second that a sink may take to read and is not given up.
const SLOW: u64 = 128 << 10;
/// What a whole pack is taken to have.
const LONG_READ: u64 = 16 << 20;
/// What tidying up after a failed write may take.
const DISCARD: Duration = Duration::from_secs(10);

/// How a sink fared.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SinkStatus {
    /// The sink's label.
    pub name: String,
    /// Why it takes no part any more; `None` while it does.
    pub error: Option<Error>,
    /// Bytes that were written to it by this handle.
    pub written: u64,
    /// Objects that the others took and it did not, since it was last brought up to date by this handle.
    pub missed_objects: u64,
    /// Their bytes.
    pub missed_bytes: u64,
}

/// How long things last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) time: Duration,
    pub(super) patience: Duration,
    pub(super) object_lock: Option<Duration>,
}

/// Which of the sinks are up to date: who can be done without is asked of all of them.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) quorum: Quorum,
    current: Vec<AtomicBool>,
}

impl Group {
    pub(super) fn new(quorum: Quorum, sinks: usize) -> Self {
        Self { quorum, current: (0..sinks).map(|_| AtomicBool::new(true)).collect() }
    }

    /// Whether those that are up to date are a quorum, with `but` left out.
    pub(super) fn holds(&self, but: Option<usize>) -> bool {
        let current =
            |(at, current): (usize, &AtomicBool)| Some(at) != but && current.load(Ordering::Acquire);
        self.quorum.holds(&self.current.iter().enumerate().map(current).collect::<Vec<_>>())
    }

    fn set(&self, at: usize, current: bool) {
        if let Some(flag) = self.current.get(at) {
            flag.store(current, Ordering::Release);
        }
    }
}

/// One sink and how it fares.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) inner: Arc<dyn BackupSink>,
    pub(super) clock: Arc<dyn Clock>,
    limit: Duration,
    /// How long it may take where enough others are left.
    patience: Duration,
    /// How long what is written cannot be destroyed.
    object_lock: Option<Duration>,
    pub(super) at: usize,
    group: Arc<Group>,
    pub(super) line: Line,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failed: Option<Error>,
    behind: bool,
    written: u64,
    missed: (u64, u64),
}

impl Sink {
    pub(super) fn new(
        inner: Arc<dyn BackupSink>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        at: usize,
        group: Arc<Group>,
    ) -> Self {
        let (line, state) = (Line::default(), Mutex::default());
        let Limits { time: limit, patience, object_lock } = limits;
        let object_lock = object_lock.filter(|_| inner.capabilities().object_lock);
        Self { inner, clock, limit, patience, object_lock, at, group, line, state }
    }

    pub(crate) fn name(&self) -> String {
        self.inner.name().into_owned()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state.lock().failed.is_none()
    }

    /// Live, and given everything so far.
    pub(super) fn is_current(&self) -> bool {
        let state = self.state.lock();
        state.failed.is_none() && !state.behind
    }

    pub(super) fn is_behind(&self) -> bool {
        let state = self.state.lock();
        state.failed.is_none() && state.behind
    }

    pub(crate) fn fail(&self, error: Error) {
        tracing::warn!(sink = %self.inner.name(), %error, "a backup sink failed");
        self.state.lock().failed.get_or_insert(error);
        self.group.set(self.at, false);
    }

    /// Takes it back in. It may lack what it missed: whoever writes brings it up to date first.
    pub(crate) fn revive(&self) {
        let mut state = self.state.lock();
        (state.failed, state.behind) = (None, false);
        self.group.set(self.at, true);
    }

    /// It has not the time for what the others take, and gets it afterwards.
    pub(super) fn fall_behind(&self) {
        tracing::info!(sink = %self.inner.name(), "a backup sink is slower than the others and is filled afterwards");
        self.state.lock().behind = true;
        self.group.set(self.at, false);
    }

    pub(super) fn miss(&self, bytes: u64) {
        let (objects, missed) = &mut self.state.lock().missed;
        *objects += 1;
        *missed += bytes;
    }

    /// It lacks nothing any more.
    pub(super) fn complete(&self) {
        self.state.lock().missed = (0, 0);
    }

    pub(crate) fn status(&self) -> SinkStatus {
        let state = self.state.lock();
        let (missed_objects, missed_bytes) = state.missed;
        let (error, written) = (state.failed.clone(), state.written);
        SinkStatus { name: self.name(), error, written, missed_objects, missed_bytes }
    }

    /// What an operation may take: little, where it is not needed for the quorum, and all the more if it is out already.
    fn limit(&self) -> Duration {
        if self.is_spared() { self.limit.min(self.patience) } else { self.limit }
    }

    /// Whether the quorum can do without it.
    fn is_spared(&self) -> bool {
        self.group.quorum.spares() && self.group.holds(Some(self.at))
    }

    /// Runs an operation with the time limit, again where its error says that this can help.
    async fn attempt<T, F>(
        &self,
        operation: &'static str,
        limit: Duration,
        mut run: impl FnMut() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let mut attempt = 1;
        loop {
            let result = self.clock.timeout(limit, run()).await;
            let late = result.is_err();
            match result.and_then(|result| result) {
                Err(error)
                    if attempt < ATTEMPTS
                        && error.retry().is_worthwhile()
                        && error.kind() != ErrorKind::Timeout =>
                {
                    self.clock.sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                other => {
                    let name = self.name();
                    let other = other.map_err(|error| error.with_operation(operation).with_component(name));
                    if let Err(error) = &other
                        && late
                        && limit < self.limit
                    {
                        // The others are enough: nobody waits for it a second time.
                        self.fail(error.clone());
                    }
                    return other;
                }
            }
        }
    }

    pub(crate) async fn write(&self, id: &ObjectId, bytes: &Bytes) -> Result<()> {
        // A pack takes as long as it takes; that nobody waits for it is seen to by whoever writes packs.
        let limit = if id.kind() == ObjectKind::Pack { self.limit } else { self.limit() };
        self.write_within(id, bytes, limit).await
    }

    /// Writes what it lacks, while somebody waits: where the others are enough, not for long.
    pub(super) async fn fill(&self, id: &ObjectId, bytes: &Bytes) -> Result<()> {
        let lingers = id.kind() == ObjectKind::Pack && self.is_spared();
        let linger = self.patience.saturating_mul(LINGER);
        let limit = if lingers { self.limit.min(linger) } else { self.limit() };
        self.write_within(id, bytes, limit).await
    }

    async fn write_within(&self, id: &ObjectId, bytes: &Bytes, limit: Duration) -> Result<()> {
        if let Err(error) = self.attempt("write", limit, || self.inner.write(id, bytes.clone())).await {
            self.discard(id).await;
            return Err(error);
        }
        self.state.lock().written += u64::try_from(bytes.len()).unwrap_or(0);
        if id.kind().is_transient() {
            return Ok(());
        }
        self.keep(std::slice::from_ref(id)).await.map(drop)
    }

    /// Keeps objects from being destroyed for the repository's time from now on, where the sink can; tells whether.
    pub(crate) async fn keep(&self, ids: &[ObjectId]) -> Result<bool> {
        let Some(time) = self.object_lock else { return Ok(false) };
        let until = self.clock.now() + time;
        self.attempt("keep", self.limit, || self.inner.keep_until(ids, until)).await.map(|()| true)
    }

    /// Removes what a failed write may have left behind: half an index would keep everybody from reading the
    /// repository. Nothing refers to the object yet.
    async fn discard(&self, id: &ObjectId) {
        let transient = id.kind().is_transient() || !self.inner.capabilities().append_only;
        if !transient || matches!(id.kind(), ObjectKind::Config | ObjectKind::Key) {
            return;
        }
        let limit = self.limit().min(DISCARD);
        let removed = self.clock.timeout(limit, self.inner.remove(std::slice::from_ref(id))).await;
        if let Err(error) = removed.and_then(|result| result) {
            tracing::debug!(sink = %self.inner.name(), object = %id, %error, "a failed write may have left something");
        }
    }

    pub(crate) async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        let limit = if id.kind() == ObjectKind::Pack { self.limit } else { self.limit() };
        self.read_within(id, range, limit).await
    }

    /// Reads where another sink can be asked as well: one that hangs must not hold up every read.
    pub(super) async fn read_or_pass(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        let length = match &range {
            Some(range) => range.end.saturating_sub(range.start),
            None if id.kind() == ObjectKind::Pack => LONG_READ,
            None => 0,
        };
        let patience = self.patience + Duration::from_secs(length / SLOW);
        self.read_within(id, range, self.limit.min(patience)).await
    }

    /// Reads something small from a sink that failed before.
    pub(super) async fn knock(&self, id: &ObjectId) -> Result<Bytes> {
        self.read_within(id, None, self.limit.min(self.patience)).await
    }

    async fn read_within(&self, id: &ObjectId, range: Option<Range<u64>>, limit: Duration) -> Result<Bytes> {
        let read = self.attempt("read", limit, || self.inner.read(id, range.clone())).await;
        read.map_err(|error| error.with_key(id))
    }

    pub(crate) async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        // Many objects take their time; one is a lock or the like.
        let limit = if ids.len() > 1 { self.limit } else { self.limit() };
        self.attempt("remove", limit, || self.inner.remove(ids)).await
    }

    /// All objects of a content-named kind, with their sizes.
    pub(crate) async fn list(&self, kind: ObjectKind) -> Result<Vec<(Id, u64)>> {
        let mut stream = self.inner.list(kind);
        let mut found = Vec::new();
        while let Some(meta) = self.next(&mut stream).await? {
            let meta = meta.map_err(|error| error.with_operation("list").with_component(self.name()))?;
            if let Some(hash) = meta.id.hash() {
                found.push((Id::from_bytes(hash), meta.size));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The names of all sidecars.
    pub(crate) async fn sidecars(&self) -> Result<Vec<ObjectId>> {
        let mut stream = self.inner.list(ObjectKind::Sidecar);
        let mut found = Vec::new();
        while let Some(meta) = self.next(&mut stream).await? {
            found.push(meta.map_err(|error| error.with_operation("list").with_component(self.name()))?.id);
        }
        Ok(found)
    }

    async fn next<S: Stream + Unpin + Send>(&self, stream: &mut S) -> Result<Option<S::Item>>
    where
        S::Item: Send,
    {
        let limit = self.limit();
        let next = self.clock.timeout(limit, stream.next()).await;
        next.map_err(|error| {
            let error = error.with_operation("list").with_component(self.name());
            if limit < self.limit {
                self.fail(error.clone());
            }
            error
        })
    }
}
