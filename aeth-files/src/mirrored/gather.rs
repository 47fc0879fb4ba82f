//! Asking several locations until enough have answered.

use super::Core;
use super::location::Replica;
use aeth_core::{BlobPath, Error, ErrorKind, Result};
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;

impl Core {
    /// The locations in the order in which they are asked: those that answer, the quickest first.
    pub(super) fn ranked(&self, first: Option<usize>) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.locations.len()).collect();
        let key = |at: &usize| {
            let location = self.locations.get(*at);
            let failing = location.is_some_and(|location| location.is_failing());
            let latency = location.map_or(0.0, |location| location.latency());
            (Some(*at) != first, failing, (latency * 1_000.0) as u64)
        };
        order.sort_by_key(key);
        order
    }

    /// The answers of `need` locations or, when `first` is given and later than they are, those and its own. A location that fails is replaced by
    /// the next one; one that is late is joined by the next one, within the budget of extra requests.
    pub(super) async fn gather<'a, T: Send + 'a>(
        &'a self,
        need: usize,
        first: Option<usize>,
        ask: impl Fn(usize, usize) -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<Vec<(usize, T)>> {
        let began = self.clock.monotonic();
        let mut order = self.ranked(first).into_iter().enumerate();
        let mut asked = FuturesUnordered::new();
        let send = |(nth, at): (usize, usize)| {
            let answer = ask(at, nth);
            async move { (at, answer.await) }.boxed()
        };
        asked.extend(order.by_ref().take(need).map(send));
        self.hedge.earn();
        let mut answers = Vec::with_capacity(need);
        let mut failure: Option<Error> = None;
        let mut patience = self.clock.sleep(self.hedge.delay());
        let mut patient = true;
        // Others that were asked because `first` is late do not stand for it.
        let lacks =
            |answers: &[(usize, T)]| first.is_some_and(|first| answers.iter().all(|(at, _)| *at != first));
        while answers.len() < need || lacks(&answers) {
            let next = if patient {
                match select(asked.next(), patience).await {
                    Either::Left((next, left)) => {
                        patience = left;
                        next
                    }
                    Either::Right((_, waiting)) => {
                        drop(waiting);
                        patient = false;
                        patience = futures_util::future::pending().boxed();
                        // In a brown-out more requests only add to it.
                        if self.locations.iter().all(|location| !location.is_failing())
                            && order.len() > 0
                            && self.hedge.spend()
                        {
                            self.hedges.increment();
                            asked.extend(order.next().map(send));
                        }
                        continue;
                    }
                }
            } else {
                asked.next().await
            };
            match next {
                Some((at, Ok(answer))) => answers.push((at, answer)),
                Some((at, Err(error))) => {
                    if Some(at) == first {
                        return Err(self.away(&error, "the primary location does not answer"));
                    }
                    failure = Some(error);
                    asked.extend(order.next().map(send));
                }
                None => {
                    let cause = failure.unwrap_or_else(|| Error::other("no location was asked"));
                    return Err(self.away(&cause, "too few locations answer"));
                }
            }
        }
        self.hedge.record(self.clock.monotonic().saturating_sub(began));
        Ok(answers)
    }

    pub(super) fn away(&self, cause: &Error, what: &'static str) -> Error {
        // What no location can do, or what is wrong in all of them, does not get better by waiting.
        let kind = match cause.kind() {
            kind @ (ErrorKind::Denied
            | ErrorKind::Invalid
            | ErrorKind::Unsupported
            | ErrorKind::Full
            | ErrorKind::Corrupt
            | ErrorKind::Timeout) => kind,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, what)
            .with_component("mirrored")
            .with_source(cause.clone())
            .with_remedy("bring the location back; nothing that was acknowledged is lost")
    }

    /// What enough locations have at a path to know the newest.
    pub(super) async fn survey(
        self: &Arc<Self>,
        path: &BlobPath,
        first: Option<usize>,
    ) -> Result<Vec<(usize, Replica)>> {
        self.gather(self.read_quorum, first, |at, _| {
            async move {
                match self.locations.get(at) {
                    Some(location) => location.look(path).await,
                    None => Ok(Replica::MISSING),
                }
            }
            .boxed()
        })
        .await
        .map_err(|error| error.with_key(path))
    }
}

/// The newest of some copies.
pub(super) fn newest(replicas: &[(usize, Replica)]) -> Replica {
    let newest = replicas.iter().map(|(_, replica)| replica).max_by_key(|replica| replica.rank());
    newest.cloned().unwrap_or(Replica::MISSING)
}
