//! Sinks that take longer than the others, under a quorum.
//!
//! A pack, an index or a snapshot counts as stored when a quorum has it; the other sinks go on taking it in the
//! background, in an order that keeps each of them valid at every moment: an index after all packs that went before
//! it, a snapshot after all indexes. One with too much before it is given no more ([`Sink::fall_behind`]), and is
//! brought up to date when the snapshot is made. One that gives no sign of life is out.

use super::sink::Sink;
use super::sinks::Sinks;
use aeth_core::backup::{ObjectId, ObjectKind};
use aeth_core::{ClockExt, Error, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// What a sink has been given and has not taken yet, in the order in which it was given.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: Mutex<Waiting>,
    moved: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// By the place in the line.
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    bytes: u64,
    /// Whether a quorum has it already: only then is this sink slower than the others.
    settled: bool,
}

impl Line {
    fn enter(&self, bytes: u64) -> u64 {
        let mut waiting = self.waiting.lock();
        let place = waiting.next;
        waiting.next += 1;
        waiting.open.insert(place, Open { bytes, settled: false });
        place
    }

    fn leave(&self, place: u64) {
        self.waiting.lock().open.remove(&place);
        self.moved.notify_waiters();
    }

    /// A quorum has what stands at this place.
    fn settle(&self, place: u64) {
        if let Some(open) = self.waiting.lock().open.get_mut(&place) {
            open.settled = true;
        }
    }

    /// The bytes that a quorum has and that are waiting here.
    fn backlog(&self) -> u64 {
        self.waiting.lock().open.values().filter(|open| open.settled).map(|open| open.bytes).sum()
    }

    /// Waits until nothing is left that went before `place`, or nothing at all.
    async fn until(&self, place: Option<u64>) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            let first = self.waiting.lock().open.keys().next().copied();
            if first.is_none() || first == place {
                return;
            }
            moved.await;
        }
    }

    /// Waits for the next to be taken.
    async fn step(&self) {
        let mut moved = std::pin::pin!(self.moved.notified());
        moved.as_mut().enable();
        if !self.waiting.lock().open.is_empty() {
            moved.await;
        }
    }
}

/// A place in a sink's line, until it is dropped.
struct Ticket(Arc<Sink>, u64);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.line.leave(self.1);
    }
}

/// What goes on in the background is part of one run, and ends with it.
#[derive(Debug)]
pub(crate) struct Round(CancellationToken);

impl Drop for Round {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Sinks {
    /// Begins a run's writing. Dropping the round ends what is still under way.
    pub(crate) fn round(&self) -> Round {
        let token = CancellationToken::new();
        *self.round.lock() = token.clone();
        Round(token)
    }

    /// Stores a lasting object: returns when a quorum has it, while the others go on. A sink that fails is out.
    pub(crate) async fn store(&self, id: &ObjectId, bytes: &Bytes) -> Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        for sink in self.all.iter().filter(|sink| !sink.is_current()) {
            sink.miss(length);
        }
        if !self.group.quorum.spares() || self.all.len() == 1 {
            return self.write_missing(id, bytes, length).await;
        }
        let (done, mut results) = mpsc::unbounded_channel();
        let round = self.round.lock().clone();
        let mut places = Vec::with_capacity(self.all.len());
        for sink in self.all.iter().filter(|sink| sink.is_current()) {
            let ticket = Ticket(Arc::clone(sink), sink.line.enter(length));
            places.push((sink, ticket.1));
            let (id, bytes, done, round) = (id.clone(), bytes.clone(), done.clone(), round.clone());
            let work = async move { round.run_until_cancelled(take(ticket, id, bytes, length, done)).await };
            drop(self.tasks.spawn(work));
        }
        drop(done);
        let mut stored = vec![false; self.all.len()];
        while let Some(at) = results.recv().await {
            if let Some(stored) = stored.get_mut(at) {
                *stored = true;
            }
            if self.group.quorum.holds(&stored) {
                for (sink, place) in places {
                    sink.line.settle(place);
                }
                self.pass_over_the_slow();
                return Ok(());
            }
        }
        self.check_quorum()?;
        Err(Error::unavailable("too few sinks took what was written").with_key(id))
    }

    async fn write_missing(&self, id: &ObjectId, bytes: &Bytes, length: u64) -> Result<()> {
        let current: Vec<_> = self.all.iter().filter(|sink| sink.is_current()).collect();
        join_all(current.iter().map(|sink| async {
            if let Err(error) = sink.write(id, bytes).await {
                sink.miss(length);
                sink.fail(error);
            }
        }))
        .await;
        self.check_quorum()
    }

    /// A sink that the others do not wait for may keep only so much of what they have in memory. The slowest goes first,
    /// and as many stay as the quorum needs: for those, whoever stores waits.
    fn pass_over_the_slow(&self) {
        let current = self.all.iter().filter(|sink| sink.is_current());
        let mut slow: Vec<_> = current.map(|sink| (sink.line.backlog(), sink)).collect();
        slow.retain(|(backlog, _)| *backlog > self.backlog);
        slow.sort_by_key(|(backlog, _)| std::cmp::Reverse(*backlog));
        for (_, sink) in slow {
            if self.group.holds(Some(sink.at)) {
                sink.fall_behind();
            }
        }
    }

    /// Waits for the sinks that are still at it, as long as each gives a sign of life now and then. True when one
    /// lives that was given less than the others: it must be brought up to date.
    pub(crate) async fn settle(&self) -> bool {
        join_all(self.all.iter().filter(|sink| sink.is_live()).map(|sink| async {
            let all = sink.line.until(None);
            tokio::pin!(all);
            loop {
                let step = sink.clock.timeout(self.linger, sink.line.step());
                tokio::select! {
                    biased;
                    () = &mut all => return,
                    moved = step => if let Err(error) = moved {
                        let error = error.with_operation("write").with_component(sink.name());
                        return sink.fail(error.with_remedy("the others have everything; it is filled by a later run"));
                    },
                }
            }
        }))
        .await;
        let mut behind = false;
        for sink in self.all.iter().filter(|sink| sink.is_behind()) {
            sink.revive();
            behind = true;
        }
        behind
    }
}

async fn take(ticket: Ticket, id: ObjectId, bytes: Bytes, length: u64, done: mpsc::UnboundedSender<usize>) {
    let sink = &ticket.0;
    if id.kind() != ObjectKind::Pack {
        sink.line.until(Some(ticket.1)).await;
    }
    // What it was not given before, this may need.
    if !sink.is_live() || (sink.is_behind() && id.kind() != ObjectKind::Pack) {
        sink.miss(length);
        return;
    }
    match sink.write(&id, &bytes).await {
        // Nobody listens any more where the others were enough.
        Ok(()) => drop(done.send(sink.at)),
        Err(error) => {
            sink.miss(length);
            sink.fail(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_for_its_turn_gets_it_in_order() {
        let line = Line::default();
        let (first, second, third) = (line.enter(5), line.enter(7), line.enter(1));
        assert_eq!(line.backlog(), 0, "the others do not have it either");
        line.settle(first);
        line.settle(second);
        assert_eq!(line.backlog(), 12);
        let mut index = std::pin::pin!(line.until(Some(third)));
        assert!(futures_util::poll!(&mut index).is_pending());
        line.leave(second);
        assert!(futures_util::poll!(&mut index).is_pending(), "the first is still on its way");
        line.leave(first);
        assert!(futures_util::poll!(&mut index).is_ready());
        let mut all = std::pin::pin!(line.until(None));
        assert!(futures_util::poll!(&mut all).is_pending());
        line.leave(third);
        assert!(futures_util::poll!(&mut all).is_ready());
        line.until(None).await;
        line.step().await;
    }
}
