//! Writes: the same version to all locations, until enough have it.
//!
//! Where a location can tie a write to the state that it replaces, an older version never replaces a newer one
//! there, whoever writes and however late a request arrives.

use super::Core;
use super::body::{Payload, Pump, payload, summed};
use super::gather::newest;
use super::location::{DEAD, Replica, SUM, VERSION, check_attributes};
use super::version::Version;
use aeth_core::blob::{BlobStore, Capability, PutMode, PutOptions, PutResult};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a write begins anew because another one came first.
/// Whoever is beaten was beaten by one who went on, so this bounds how many may come between.
const ATTEMPTS: usize = 256;
/// The slowest transfer that is still waited for, in bytes a second.
const SLOWEST: u64 = 256 << 10;

/// What is written.
#[derive(Debug, Clone)]
pub(super) struct Writing {
    pub(super) path: BlobPath,
    pub(super) version: Version,
    /// With the attributes of this layer; unconditional.
    pub(super) options: PutOptions,
}

impl Writing {
    pub(super) fn new(path: &BlobPath, version: Version, mut options: PutOptions, sum: Option<u64>) -> Self {
        options.mode = PutMode::Overwrite;
        options.checksum = None;
        let user = &mut options.attributes.user;
        user.insert(VERSION.to_owned(), version.to_string());
        if let Some(sum) = sum {
            user.insert(SUM.to_owned(), format!("{sum:016x}"));
        }
        Self { path: path.clone(), version, options }
    }

    fn dead(path: &BlobPath, version: Version) -> Self {
        let mut writing = Self::new(path, version, PutOptions::default(), None);
        writing.options.attributes.user.insert(DEAD.to_owned(), "1".to_owned());
        writing
    }
}

/// What became of a write to the locations.
#[derive(Debug, Default)]
pub(super) struct Spread {
    pub(super) acknowledged: usize,
    /// A newer version that was found in the way.
    pub(super) superseded: Option<Version>,
    settled: usize,
    primary_settled: bool,
    failure: Option<Error>,
}

/// What one location answered: the newer version that it has instead, if it has one.
pub(super) type Answer = (usize, Result<Option<Version>>);

impl Spread {
    pub(super) fn take(&mut self, core: &Core, (at, answer): Answer) {
        self.settled += 1;
        self.primary_settled |= at == core.primary;
        match answer {
            Ok(newer) => {
                self.acknowledged += 1;
                self.superseded = self.superseded.max(newer);
            }
            Err(error) => self.failure = Some(error),
        }
    }

    /// Enough have it, and the primary, which decides conditions, has it or is known not to.
    pub(super) fn is_enough(&self, core: &Core) -> bool {
        self.acknowledged >= core.write_quorum && self.primary_settled
    }

    pub(super) fn verdict(&self, core: &Core) -> Result<()> {
        if self.acknowledged >= core.write_quorum {
            return Ok(());
        }
        let cause = self.failure.clone().unwrap_or_else(|| Error::unavailable("locations are left alone"));
        let error = core.away(&cause, "too few locations took the write");
        // Some have it: whether it took effect is unknown.
        Err(if self.acknowledged == 0 {
            error
        } else {
            Error::unavailable(error.message().to_owned())
                .with_component("mirrored")
                .with_source(cause)
                .with_remedy("read the blob to see whether it took effect")
        })
    }
}

/// The time that a transfer of so many bytes may take on top of the limit.
pub(super) fn transfer_time(length: Option<u64>) -> Duration {
    length.map_or(Duration::from_secs(3_600), |length| Duration::from_secs(length.div_ceil(SLOWEST)))
}

impl Core {
    pub(super) async fn put(
        self: &Arc<Self>,
        path: &BlobPath,
        body: Body,
        options: PutOptions,
    ) -> Result<PutResult> {
        check_attributes(&options.attributes).map_err(|error| error.with_key(path))?;
        match &options.mode {
            PutMode::Overwrite => {}
            PutMode::Create => self.caps.require(Capability::CreateOnly)?,
            PutMode::Match(_) => self.caps.require(Capability::CompareAndSwap)?,
            _ => return Err(Error::unsupported("this condition is not known here").with_key(path)),
        }
        if !options.tags.is_empty() {
            self.caps.require(Capability::Tags)?;
        }
        let payload = payload(body, options.checksum.as_ref()).await.map_err(|error| error.with_key(path))?;
        let put = match options.mode {
            PutMode::Overwrite => Box::pin(self.overwrite(path, payload, options)).await,
            _ => Box::pin(self.swap(path, payload, options)).await,
        };
        put.map_err(|error| error.with_key(path))
    }

    async fn overwrite(
        self: &Arc<Self>,
        path: &BlobPath,
        payload: Payload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let _shared = self.share(path).await;
        // The newest version that can be seen is the one to exceed; without it the clock must do.
        let mut floor = self.survey(path, None).await.map_or(Version::LEAST, |seen| newest(&seen).version);
        match payload {
            Payload::Bytes(bytes) => {
                let sum = summed(&bytes);
                for _ in 0..ATTEMPTS {
                    let version = self.hybrid.next(floor);
                    let writing = Writing::new(path, version, options.clone(), Some(sum));
                    let spread = self.spread(&writing, &bytes, None, false).await;
                    spread.verdict(self)?;
                    match spread.superseded {
                        // A conditional write came between: this one, which has no condition, comes after it.
                        Some(newer) => floor = newer,
                        None => return Ok(result(&writing, bytes.len() as u64)),
                    }
                }
                Err(busy(path))
            }
            Payload::Stream(stream) => {
                let writing = Writing::new(path, self.hybrid.next(floor), options, None);
                let size = Pump::new(self, &writing, stream.length).await.run(self, stream).await?;
                Ok(result(&writing, size))
            }
        }
    }

    /// A put under a condition, which the primary decides.
    async fn swap(
        self: &Arc<Self>,
        path: &BlobPath,
        payload: Payload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let _shared = self.share(path).await;
        let mut payload = Some(payload);
        for _ in 0..ATTEMPTS {
            let until = self.behind.last();
            let seen = self.survey(path, Some(self.primary)).await?;
            let current = newest(&seen);
            check_mode(&options.mode, &current)?;
            let replica = seen.iter().find(|(at, _)| *at == self.primary).map(|(_, replica)| replica);
            let Some(replica) = replica else { return Err(busy(path)) };
            if replica.rank() < current.rank() {
                // It missed a write: it must know of it before it can decide.
                self.bring(self.primary, path, &current, Some(replica.clone()), until).await?;
                continue;
            }
            let version = self.hybrid.next(current.version);
            let mode = native_mode(replica)?;
            match payload.take() {
                Some(Payload::Bytes(bytes)) => {
                    let writing = Writing::new(path, version, options.clone(), Some(summed(&bytes)));
                    let body = Body::Bytes(bytes.clone());
                    match self.put_at(self.primary, &writing, body, mode).await {
                        Ok(()) => {}
                        Err(error) if is_refusal(&error) => {
                            payload = Some(Payload::Bytes(bytes));
                            continue;
                        }
                        Err(error) => return Err(self.undecided(path, error)),
                    }
                    let spread = self.spread(&writing, &bytes, Some(self.primary), false).await;
                    spread.verdict(self)?;
                    return Ok(result(&writing, bytes.len() as u64));
                }
                Some(Payload::Stream(stream)) => {
                    let writing = Writing::new(path, version, options.clone(), None);
                    let (body, length) = stream.into_body();
                    match self.put_at(self.primary, &writing, body, mode).await {
                        Ok(()) => {}
                        Err(error) if is_refusal(&error) => {
                            // The bytes are gone: what the primary has now says why.
                            let seen = self.survey(path, Some(self.primary)).await?;
                            check_mode(&options.mode, &newest(&seen))?;
                            return Err(busy(path));
                        }
                        Err(error) => return Err(length.failure(error)),
                    }
                    let spread = self.spread_from_primary(path).await?;
                    spread.verdict(self)?;
                    return Ok(result(&writing, length.read()));
                }
                None => return Err(busy(path)),
            }
        }
        Err(busy(path))
    }

    /// The error of a conditional write whose outcome the primary did not tell.
    fn undecided(self: &Arc<Self>, path: &BlobPath, error: Error) -> Error {
        // Should it have taken effect, the others are behind.
        for at in (0..self.locations.len()).filter(|at| *at != self.primary) {
            self.behind.add(at, path);
        }
        error
    }

    /// Puts at one location.
    pub(super) async fn put_at(&self, at: usize, writing: &Writing, body: Body, mode: PutMode) -> Result<()> {
        let Some(location) = self.locations.get(at) else {
            return Err(Error::other("there is no such location"));
        };
        let extra = transfer_time(body.length());
        let options = writing.options.clone().with_mode(mode);
        location.call(extra, location.store.put_opts(&writing.path, body, options)).await.map(drop)
    }

    /// Puts bytes at one location, unless it has a newer version, which is then the answer.
    pub(super) async fn write_at(
        &self,
        at: usize,
        writing: &Writing,
        bytes: &Bytes,
        mut known: Option<Replica>,
    ) -> Result<Option<Version>> {
        let Some(location) = self.locations.get(at) else {
            return Err(Error::other("there is no such location"));
        };
        for _ in 0..ATTEMPTS {
            let mode = if location.swaps {
                let replica = match known.take() {
                    Some(replica) => replica,
                    None => location.look(&writing.path).await?,
                };
                match replica.version.cmp(&writing.version) {
                    std::cmp::Ordering::Greater => return Ok(Some(replica.version)),
                    std::cmp::Ordering::Equal => return Ok(None),
                    std::cmp::Ordering::Less => native_mode(&replica)?,
                }
            } else {
                PutMode::Overwrite
            };
            match self.put_at(at, writing, Body::Bytes(bytes.clone()), mode).await {
                Ok(()) => {
                    self.behind.replaced(at, &writing.path);
                    return Ok(None);
                }
                Err(error) if is_refusal(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(busy(&writing.path))
    }

    /// Writes bytes to all locations but `done`, which has them, and returns when enough have them (or `all` have
    /// answered). The others go on in the background; what they miss is noted.
    pub(super) async fn spread(
        self: &Arc<Self>,
        writing: &Writing,
        bytes: &Bytes,
        done: Option<usize>,
        all: bool,
    ) -> Spread {
        let (sender, mut answers) = mpsc::unbounded_channel::<Answer>();
        let mut spread = Spread::default();
        for at in 0..self.locations.len() {
            if Some(at) == done {
                spread.take(self, (at, Ok(None)));
                continue;
            }
            if self.is_skipped(at) {
                self.behind.add(at, &writing.path);
                spread.take(self, (at, Err(Error::unavailable("the location is left alone"))));
                continue;
            }
            let (core, writing, bytes) = (Arc::clone(self), writing.clone(), bytes.clone());
            let sender = sender.clone();
            let shared = self.share(&writing.path).await;
            drop(self.tasks.spawn(async move {
                let _shared = shared;
                let answer = core.write_at(at, &writing, &bytes, None).await;
                if answer.is_err() {
                    core.behind.add(at, &writing.path);
                }
                // Nobody listens any more when enough have answered.
                drop(sender.send((at, answer)));
            }));
        }
        drop(sender);
        while all || !spread.is_enough(self) {
            let Some(answer) = answers.recv().await else { break };
            spread.take(self, answer);
        }
        spread
    }

    /// Brings what the primary has to the others.
    async fn spread_from_primary(self: &Arc<Self>, path: &BlobPath) -> Result<Spread> {
        let Some(primary) = self.locations.get(self.primary) else { return Ok(Spread::default()) };
        let until = self.behind.last();
        let current = primary.look(path).await?;
        let (sender, mut answers) = mpsc::unbounded_channel::<Answer>();
        let mut spread = Spread::default();
        spread.take(self, (self.primary, Ok(None)));
        for at in (0..self.locations.len()).filter(|at| *at != self.primary) {
            let (core, path, current, sender) =
                (Arc::clone(self), path.clone(), current.clone(), sender.clone());
            let shared = self.share(&path).await;
            drop(self.tasks.spawn(async move {
                let _shared = shared;
                let answer = core.bring(at, &path, &current, None, until).await.map(|_| None);
                if answer.is_err() {
                    core.behind.add(at, &path);
                }
                drop(sender.send((at, answer)));
            }));
        }
        drop(sender);
        while !spread.is_enough(self) {
            let Some(answer) = answers.recv().await else { break };
            spread.take(self, answer);
        }
        Ok(spread)
    }

    /// True for a location that failed and without which there are enough.
    pub(super) fn is_skipped(&self, at: usize) -> bool {
        let suspended = |at: usize| self.locations.get(at).is_some_and(|location| location.is_suspended());
        let well = (0..self.locations.len()).filter(|at| !suspended(*at)).count();
        suspended(at) && well >= self.write_quorum
    }

    pub(super) async fn delete(self: &Arc<Self>, path: &BlobPath) -> Result<()> {
        let named = |error: Error| error.with_key(path);
        let (all, mut floor) = {
            let seen = self.survey(path, None).await.map_err(named)?;
            let current = newest(&seen);
            if current.dead {
                return Ok(());
            }
            (self.locations.len(), current.version)
        };
        for _ in 0..ATTEMPTS {
            let writing = Writing::dead(path, self.hybrid.next(floor));
            let spread = {
                let _shared = self.share(path).await;
                self.spread(&writing, &Bytes::new(), None, true).await
            };
            spread.verdict(self).map_err(named)?;
            match spread.superseded {
                Some(newer) => floor = newer,
                None if spread.acknowledged == all => {
                    self.bury(path).await;
                    return Ok(());
                }
                // Whoever missed it must find the mark of its death.
                None => return Ok(()),
            }
        }
        Err(busy(path))
    }

    /// Removes a blob that is dead everywhere. What does not succeed stays dead.
    pub(super) async fn bury(self: &Arc<Self>, path: &BlobPath) {
        // Somebody writes it at this moment.
        let Some(_alone) = self.own(path) else { return };
        let looks = futures_util::future::join_all(self.locations.iter().map(|location| location.look(path)));
        let dead = looks.await.iter().all(|look| look.as_ref().is_ok_and(|replica| replica.dead));
        if !dead {
            return;
        }
        let paths = std::slice::from_ref(path);
        let removals = self.locations.iter().map(|location| async move {
            location.call(Duration::ZERO, location.store.delete_many(paths)).await
        });
        for removed in futures_util::future::join_all(removals).await {
            if let Err(error) = removed.and_then(|each| each.into_iter().collect::<Result<()>>()) {
                tracing::debug!(%error, "the mark of a deleted blob stays");
            }
        }
    }
}

fn check_mode(mode: &PutMode, current: &Replica) -> Result<()> {
    match mode {
        PutMode::Create if !current.dead => {
            Err(Error::new(ErrorKind::AlreadyExists, "there is a blob already").with_component("mirrored"))
        }
        PutMode::Match(wanted) if current.dead || current.etag() != *wanted => Err(Error::new(
            ErrorKind::Precondition,
            "the blob has another etag than the one demanded, or is missing",
        )
        .with_component("mirrored")),
        _ => Ok(()),
    }
}

/// The condition that a location is still as it was seen.
pub(super) fn native_mode(replica: &Replica) -> Result<PutMode> {
    match &replica.meta {
        None => Ok(PutMode::Create),
        Some(meta) => match &meta.etag {
            Some(etag) => Ok(PutMode::Match(etag.clone())),
            None => Err(Error::corrupt("the location gave a blob without a mark")),
        },
    }
}

/// True when a location's state was not the one expected any more.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Precondition | ErrorKind::AlreadyExists | ErrorKind::NotFound)
}

fn busy(path: &BlobPath) -> Error {
    Error::new(ErrorKind::Busy, "the blob is replaced again and again")
        .with_component("mirrored")
        .with_key(path)
}

fn result(writing: &Writing, size: u64) -> PutResult {
    PutResult::new(Some(aeth_core::blob::ETag::new(writing.version.to_string()))).with_size(size)
}
