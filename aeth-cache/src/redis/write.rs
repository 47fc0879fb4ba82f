//! Puts, fills and removals.

use super::error;
use super::frame::{self, Stamp};
use super::link::{Request, check};
use super::lookup::{Lookups, millis};
use super::script::{FILL, PUT, RELEASE, Run};
use super::state;
use aeth_core::cache::{Entry, FillOutcome, LeaseToken, PutOutcome};
use aeth_core::{ClockExt, Error, Key, Namespace, Result};
use bytes::Bytes;
use redis::Value;

/// How often a put starts again because tags or a clear came between.
const ATTEMPTS: usize = 4;

/// A put that is still to be done: its place, and a value of a greater version that does not count.
type Open = (usize, Vec<u8>);

impl Lookups {
    pub(super) async fn put(
        &self,
        namespace: &Namespace,
        entries: &[(Key, Entry)],
    ) -> Result<Vec<PutOutcome>> {
        let mut outcomes = vec![PutOutcome::Stored; entries.len()];
        let mut open: Vec<Open> = (0..entries.len()).map(|at| (at, Vec::new())).collect();
        for _ in 0..ATTEMPTS {
            if open.is_empty() {
                break;
            }
            let stamp = self.moment(namespace).await?;
            open = self.put_once(namespace, entries, open, stamp, &mut outcomes).await?;
        }
        if !open.is_empty() {
            return Err(Error::unavailable("the namespace is cleared faster than entries can be stored")
                .with_component(error::COMPONENT));
        }
        let stored = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Stored).count();
        self.stats.puts.add(u64::try_from(stored).unwrap_or(u64::MAX));
        Ok(outcomes)
    }

    /// The stamp of something that begins now, as far as this process knows; the answers tell whether it was.
    async fn moment(&self, namespace: &Namespace) -> Result<Stamp> {
        self.states.over(self.link.ready().await?);
        if let Some(stamp) = self.states.known(namespace) {
            return Ok(stamp);
        }
        Box::pin(self.states.sync(&self.link, &self.names, &[namespace])).await?;
        self.states.known(namespace).ok_or_else(|| {
            Error::unavailable("the namespace is being cleared").with_component(error::COMPONENT)
        })
    }

    async fn put_once(
        &self,
        namespace: &Namespace,
        entries: &[(Key, Entry)],
        open: Vec<Open>,
        stamp: Stamp,
        outcomes: &mut [PutOutcome],
    ) -> Result<Vec<Open>> {
        let cluster = self.link.dialer.is_cluster();
        let limit = if cluster { 1 } else { self.link.options.batch };
        let mut requests: Vec<Request> = Vec::new();
        for part in open.chunks(limit) {
            let mut run = Run::new(&PUT);
            for (at, ignored) in part {
                let (key, entry) = &entries[*at];
                run = run
                    .key(self.names.value(namespace, key))
                    .key(self.names.lease(namespace, key))
                    .bytes(frame::encode(stamp, entry))
                    .number(self.ttl(entry))
                    .bytes(ignored.clone());
            }
            requests.push(run.into());
        }
        let answers = self.exchange(namespace, requests).await?;
        let mut kept = Vec::with_capacity(open.len());
        for answer in answers {
            match check(answer)? {
                Value::Array(each) => kept.extend(each),
                _ => return Err(error::unexpected("put")),
            }
        }
        if kept.len() != open.len() {
            return Err(error::unexpected("put"));
        }
        let mut again: Vec<Open> = Vec::new();
        for ((at, _), answer) in open.into_iter().zip(kept) {
            let entry = &entries[at].1;
            outcomes[at] = PutOutcome::Stored;
            match check(answer)? {
                Value::BulkString(greater) if self.counts(namespace, &greater) => {
                    outcomes[at] = PutOutcome::Superseded;
                }
                Value::BulkString(greater) => again.push((at, greater)),
                // What was stored under a moment that was over already is not readable.
                _ if !self.states.readable(namespace, stamp, &entry.tags) => again.push((at, Vec::new())),
                _ => {}
            }
        }
        // Of a key that was given twice only the later one may be stored again.
        again.retain(|(at, _)| entries.iter().skip(at + 1).all(|(key, _)| *key != entries[*at].0));
        Ok(again)
    }

    /// Sends requests, and the question for the namespace's state behind them; its mirror is then exact.
    async fn exchange(&self, namespace: &Namespace, mut requests: Vec<Request>) -> Result<Vec<Value>> {
        requests.push(state::ask(&self.names, namespace));
        let mut answers = self.link.send(requests).await?;
        let told = state::told(answers.pop().unwrap_or_default())?;
        if !self.states.observe(namespace, told, None) {
            Box::pin(self.states.sync(&self.link, &self.names, &[namespace])).await?;
        }
        Ok(answers)
    }

    /// Whether a value that is there is one that readers see.
    fn counts(&self, namespace: &Namespace, value: &[u8]) -> bool {
        frame::decode(Bytes::copy_from_slice(value)).is_some_and(|(stamp, entry)| {
            entry.is_usable(self.link.clock.unix_millis())
                && self.states.readable(namespace, stamp, &entry.tags)
        })
    }

    pub(super) async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: &Entry,
    ) -> Result<FillOutcome> {
        self.states.over(self.link.ready().await?);
        let (token, stamp) = (token.get(), frame::stamp_of(token.get()));
        let framed = frame::encode(stamp, entry);
        let mut ignored = Vec::new();
        for _ in 0..ATTEMPTS {
            let run = Run::new(&FILL)
                .key(self.names.value(namespace, key))
                .key(self.names.lease(namespace, key))
                .bytes(token.to_be_bytes().to_vec())
                .bytes(framed.clone())
                .number(self.ttl(entry))
                .bytes(std::mem::take(&mut ignored));
            let mut answers = self.exchange(namespace, vec![run.into()]).await?;
            match check(answers.pop().unwrap_or_default())? {
                Value::Int(1) if self.states.readable(namespace, stamp, &entry.tags) => {
                    self.stats.puts.increment();
                    return Ok(FillOutcome::Stored);
                }
                // It is stored, but under a moment that is over: nobody reads it.
                Value::Int(_) => return Ok(FillOutcome::Voided),
                Value::BulkString(greater) if self.counts(namespace, &greater) => {
                    self.release(namespace, key, LeaseToken::new(token)).await?;
                    return Ok(FillOutcome::Voided);
                }
                Value::BulkString(greater) => ignored = greater,
                _ => return Err(error::unexpected("fill")),
            }
        }
        Ok(FillOutcome::Voided)
    }

    pub(super) async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        let lease = self.names.lease(namespace, key);
        let run = Run::new(&RELEASE).key(lease).bytes(token.get().to_be_bytes().to_vec());
        self.link.ask(run).await.map(drop)
    }

    pub(super) async fn remove(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        let limit = if self.link.dialer.is_cluster() { 1 } else { self.link.options.batch };
        let requests: Vec<Request> = (keys.chunks(limit))
            .map(|part| {
                // Memory of large values is given back by a thread of the server's.
                let mut command = redis::cmd("UNLINK");
                for key in part {
                    command.arg(self.names.value(namespace, key)).arg(self.names.lease(namespace, key));
                }
                command.into()
            })
            .collect();
        if requests.is_empty() {
            return Ok(());
        }
        for answer in self.link.send(requests).await? {
            check(answer)?;
        }
        self.stats.removals.add(u64::try_from(keys.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// How long the server keeps an entry, in milliseconds; 0 for one whose time is over.
    fn ttl(&self, entry: &Entry) -> u64 {
        let left = entry.usable_until.saturating_sub(self.link.clock.unix_millis());
        if left == 0 { 0 } else { left.min(millis(self.link.options.keep)) }
    }
}
