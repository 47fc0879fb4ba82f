//! Reads: the newest copy that enough locations know of, from the quickest that has it.

use super::Core;
use super::behind::Flaw;
use super::body::{SHORT, summed};
use super::gather::newest;
use super::location::Replica;
use super::version::Version;
use crate::checksum::Verifier;
use aeth_core::blob::{Blob, BlobStore, Capability, Checksum, GetOptions, GetRange};
use aeth_core::{BlobPath, Body, ByteStream, Error, ErrorKind, Result, collect_sized};
use futures_util::{FutureExt, StreamExt, stream};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How often a read begins anew because the blob was replaced meanwhile.
/// Whoever is beaten was beaten by one who went on, so this bounds how many may come between.
const ATTEMPTS: usize = 256;
/// How often it does so because the only copies of the newest version were bad or out of reach while others had not
/// got it yet, with pauses of one millisecond more each time.
const PATIENCE: u32 = 16;

/// Why no copy was read.
enum Unread {
    /// Some location had another version by then; and what was wrong with a copy, if one was tried.
    Again(Option<Error>),
    Failed(Error),
}

/// A location's answer: what it has, and its bytes when they were asked for.
struct Found {
    replica: Replica,
    opened: Option<Blob>,
}

impl Core {
    pub(super) async fn get(self: &Arc<Self>, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        if options.version.is_some() {
            self.caps.require(Capability::Versions)?;
        }
        match &options.range {
            Some(GetRange::Suffix(_)) => self.caps.require(Capability::SuffixGet)?,
            Some(_) => self.caps.require(Capability::RangeGet)?,
            None => {}
        }
        let named = |error: Error| error.with_key(path);
        let mut waited = 0;
        for _ in 0..ATTEMPTS {
            let answers = self.ask(path, &options).await.map_err(named)?;
            let replicas: Vec<(usize, Replica)> =
                answers.iter().map(|(at, found)| (*at, found.replica.clone())).collect();
            let (current, cut) = self.sound(path, &replicas).await;
            let stale: Vec<usize> = replicas
                .iter()
                .filter(|(_, replica)| replica.rank() < current.rank())
                .map(|(at, _)| *at)
                .collect();
            if !stale.is_empty() {
                stale.iter().for_each(|at| self.behind.add(*at, path));
                self.repair_soon(path);
            }
            let Some(meta) = current.shown().filter(|_| !current.dead) else {
                return Err(named(Error::not_found("there is no such blob").with_component("mirrored")));
            };
            options.check(meta.etag.as_ref(), meta.modified).map_err(named)?;
            let range = match &options.range {
                _ if options.head => 0..0,
                Some(range) => range.resolve(meta.size).map_err(named)?,
                None => 0..meta.size,
            };
            if options.head || range.is_empty() {
                return Ok(Blob::new(meta, range, stream::empty().boxed()));
            }
            let mut opened = Vec::new();
            for (at, found) in answers {
                let good = found.replica.version == current.version
                    && !cut.contains(&at)
                    && !self.is_spoiled(at, path);
                if let Some(blob) = found.opened.filter(|_| good) {
                    opened.push((at, blob));
                }
            }
            let mut left: Vec<usize> =
                self.ranked(None).into_iter().filter(|at| !stale.contains(at)).rev().collect();
            // Those known to be bad are the last resort.
            left.sort_by_key(|at| !self.is_spoiled(*at, path));
            let source = Source {
                core: Arc::clone(self),
                path: path.clone(),
                version: current.version,
                left,
                sum: current.sum().filter(|_| range == (0..meta.size)),
                whole: meta.size,
            };
            match source.body(range.clone(), opened).await {
                Ok(body) => return Ok(Blob::new(meta, range, body)),
                Err(Unread::Again(None)) => {}
                // A write that is under way, whose first copy is a bad one: the next is on its way.
                Err(Unread::Again(Some(_))) if waited < PATIENCE => {
                    waited += 1;
                    self.clock.sleep(Duration::from_millis(u64::from(waited))).await;
                }
                Err(Unread::Again(Some(error)) | Unread::Failed(error)) => return Err(named(error)),
            }
        }
        Err(named(
            Error::new(ErrorKind::Busy, "the blob is replaced again and again").with_component("mirrored"),
        ))
    }

    pub(super) fn is_spoiled(&self, at: usize, path: &BlobPath) -> bool {
        self.behind.flaw(at, path) == Some(Flaw::Spoiled)
    }

    /// Copies of one version that differ in length are not all whole: most locations are right, and the others' copies
    /// are bad. Gives the locations of those.
    async fn settle_lengths(
        &self,
        path: &BlobPath,
        replicas: &[(usize, Replica)],
        current: &Replica,
    ) -> Vec<usize> {
        let length = |replica: &Replica| replica.meta.as_ref().map(|meta| meta.size);
        let same = |replica: &Replica| replica.rank() == current.rank();
        let mut of_it: Vec<(usize, Option<u64>)> = replicas
            .iter()
            .filter(|(_, replica)| same(replica))
            .map(|(at, replica)| (*at, length(replica)))
            .collect();
        let first = of_it.first().and_then(|(_, length)| *length);
        if of_it.iter().all(|(_, length)| *length == first) {
            return Vec::new();
        }
        for (at, location) in self.locations.iter().enumerate() {
            if !replicas.iter().any(|(its, _)| *its == at)
                && let Ok(replica) = location.look(path).await
                && same(&replica)
            {
                of_it.push((at, length(&replica)));
            }
        }
        let votes = |wanted: Option<u64>| of_it.iter().filter(|(_, length)| *length == wanted).count();
        // Of as many, the longer one: what is cut is what happens.
        let Some(right) =
            of_it.iter().map(|(_, length)| *length).max_by_key(|length| (votes(*length), *length))
        else {
            return Vec::new();
        };
        let cut: Vec<usize> =
            of_it.iter().filter(|(_, length)| *length != right).map(|(at, _)| *at).collect();
        cut.iter().for_each(|at| self.behind.spoil(*at, path));
        cut
    }

    /// The newest copy, of a location that is not known to have a bad one where there is such a location; and the
    /// locations of which the answer here was of a copy that is not whole. A repair may have mended such a copy since,
    /// which makes the location good again, and its answer no better.
    pub(super) async fn sound(
        &self,
        path: &BlobPath,
        replicas: &[(usize, Replica)],
    ) -> (Replica, Vec<usize>) {
        let current = newest(replicas);
        let cut = self.settle_lengths(path, replicas, &current).await;
        let is_bad = |at: usize| cut.contains(&at) || self.is_spoiled(at, path);
        let mut of_it = replicas.iter().filter(|(_, replica)| replica.rank() == current.rank());
        let bad = of_it.clone().any(|(at, _)| is_bad(*at));
        if !bad {
            return (current, cut);
        }
        if let Some((_, sound)) = of_it.find(|(at, _)| !is_bad(*at)) {
            return (sound.clone(), cut);
        }
        for (at, location) in self.locations.iter().enumerate() {
            let asked = replicas.iter().any(|(its, _)| *its == at);
            if !asked
                && !is_bad(at)
                && let Ok(replica) = location.look(path).await
                && replica.rank() >= current.rank()
            {
                return (replica, cut);
            }
        }
        (current, cut)
    }

    /// Asks one location for the bytes and others what they have.
    async fn ask(self: &Arc<Self>, path: &BlobPath, options: &GetOptions) -> Result<Vec<(usize, Found)>> {
        let range = options.range.clone();
        let bytes = !options.head;
        self.gather(self.read_quorum, None, |at, nth| {
            let range = range.clone().filter(|_| bytes && nth == 0);
            async move {
                let Some(location) = self.locations.get(at) else {
                    return Ok(Found { replica: Replica::MISSING, opened: None });
                };
                if !bytes || nth > 0 {
                    return Ok(Found { replica: location.look(path).await?, opened: None });
                }
                let mut get = GetOptions::default();
                get.range = range;
                match location.call(Duration::ZERO, location.store.get_opts(path, get)).await {
                    Ok(blob) => {
                        let replica = Replica::of(blob.meta.clone());
                        Ok(Found { replica, opened: Some(blob) })
                    }
                    Err(error) if error.is_not_found() => {
                        Ok(Found { replica: Replica::MISSING, opened: None })
                    }
                    // A range outside of a copy that may be an older one; or one that cannot be opened.
                    Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Corrupt) => {
                        Ok(Found { replica: location.look(path).await?, opened: None })
                    }
                    Err(error) => Err(error),
                }
            }
            .boxed()
        })
        .await
    }
}

/// The copies of one version, of which one is read.
struct Source {
    core: Arc<Core>,
    path: BlobPath,
    version: Version,
    /// The locations that may have it, the best one last.
    left: Vec<usize>,
    /// The checksum of the whole, when the whole is read.
    sum: Option<u64>,
    whole: u64,
}

impl Source {
    async fn body(
        mut self,
        range: Range<u64>,
        mut opened: Vec<(usize, Blob)>,
    ) -> std::result::Result<ByteStream, Unread> {
        let short = range.end - range.start <= SHORT;
        let (mut failure, mut moved) = (None, false);
        loop {
            let (at, blob) = match opened.pop() {
                Some((at, blob)) => {
                    self.left.retain(|left| *left != at);
                    (at, blob)
                }
                None => {
                    let Some(at) = self.left.pop() else {
                        return Err(match failure {
                            Some(failure) if !moved => Unread::Failed(failure),
                            failure => Unread::Again(failure),
                        });
                    };
                    match self.open(at, range.clone()).await {
                        Ok(blob) => (at, blob),
                        Err(error) if error.kind() == ErrorKind::Precondition => {
                            moved = true;
                            continue;
                        }
                        Err(error) => {
                            self.failed(at, &error);
                            failure = Some(error);
                            continue;
                        }
                    }
                }
            };
            if !short {
                return Ok(self.stream(at, blob.body, range));
            }
            match self.collect(blob.body, &range).await {
                Ok(bytes) => return Ok(Body::Bytes(bytes).into_stream()),
                Err(error) => {
                    self.failed(at, &error);
                    failure = Some(error);
                }
            }
        }
    }

    /// Reads a short body to its end, so that a bad copy is found before its bytes are given.
    async fn collect(&self, body: ByteStream, range: &Range<u64>) -> Result<bytes::Bytes> {
        let expected = range.end - range.start;
        let collecting = collect_sized(body, SHORT, expected);
        let bytes = aeth_core::ClockExt::timeout(&*self.core.clock, self.core.limit, collecting).await??;
        if bytes.len() as u64 != expected {
            return Err(Error::unavailable("the body ended before its end"));
        }
        match self.sum {
            Some(sum) if summed(&bytes) != sum => Err(corrupt()),
            _ => Ok(bytes),
        }
    }

    /// Opens a range of this very version.
    async fn open(&self, at: usize, range: Range<u64>) -> Result<Blob> {
        let Some(location) = self.core.locations.get(at) else { return Err(self.replaced()) };
        let options = GetOptions::default();
        let options = if range == (0..self.whole) { options } else { options.with_range(range) };
        let blob = location.call(Duration::ZERO, location.store.get_opts(&self.path, options)).await?;
        let replica = Replica::of(blob.meta.clone());
        if replica.version != self.version || replica.dead {
            return Err(self.replaced());
        }
        Ok(blob)
    }

    fn replaced(&self) -> Error {
        Error::new(ErrorKind::Precondition, "the blob was replaced while it was read")
            .with_component("mirrored")
    }

    /// Notes a copy that cannot be read.
    fn failed(&self, at: usize, error: &Error) {
        match error.kind() {
            // It is not what it was; whoever asks next learns more.
            ErrorKind::Precondition => {}
            ErrorKind::Corrupt => {
                self.core.behind.spoil(at, &self.path);
                self.core.repair_soon(&self.path);
            }
            ErrorKind::NotFound | ErrorKind::Invalid => {
                self.core.behind.add(at, &self.path);
                self.core.repair_soon(&self.path);
            }
            _ => {}
        }
    }

    /// A long body, which goes on from another copy where one breaks off.
    fn stream(self, at: usize, body: ByteStream, range: Range<u64>) -> ByteStream {
        let verifier = self.sum.and_then(|sum| Verifier::new(Checksum::Crc64Nvme(sum)).ok());
        let state = Reading { source: self, at, body: Some(body), range, verifier };
        stream::try_unfold(state, |mut reading| async move {
            Ok(reading.next().await?.map(|chunk| (chunk, reading)))
        })
        .boxed()
    }
}

fn corrupt() -> Error {
    Error::corrupt("the copy does not have the checksum that it was written with").with_component("mirrored")
}

struct Reading {
    source: Source,
    at: usize,
    body: Option<ByteStream>,
    /// What is still to be read.
    range: Range<u64>,
    verifier: Option<Verifier>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        loop {
            if self.range.is_empty() {
                return match self.verifier.take().map_or(Ok(()), Verifier::finish) {
                    Ok(()) => Ok(None),
                    Err(_) => {
                        let error = corrupt().with_key(&self.source.path);
                        self.source.failed(self.at, &error);
                        Err(error.with_remedy("read it again: another copy will be taken"))
                    }
                };
            }
            let Some(mut body) = self.body.take() else {
                let Some(at) = self.source.left.pop() else {
                    return Err(Error::unavailable("no copy can be read to its end")
                        .with_component("mirrored")
                        .with_key(&self.source.path));
                };
                self.at = at;
                match self.source.open(at, self.range.clone()).await {
                    Ok(blob) => self.body = Some(blob.body),
                    Err(error) => self.source.failed(at, &error),
                }
                continue;
            };
            let limit = self.source.core.limit;
            let chunk = aeth_core::ClockExt::timeout(&*self.source.core.clock, limit, body.next()).await;
            match chunk {
                Ok(Some(Ok(chunk))) => {
                    self.range.start += chunk.len() as u64;
                    if let Some(verifier) = &mut self.verifier {
                        verifier.update(&chunk);
                    }
                    self.body = Some(body);
                    return Ok(Some(chunk));
                }
                Ok(Some(Err(error))) => self.source.failed(self.at, &error),
                // It ended early, or does not go on.
                Ok(None) | Err(_) => {}
            }
        }
    }
}
