//! Look-ups of single keys, gathered: what is asked for while others are on their way leaves together.
//!
//! Up to [`FLIGHTS`] statements are on their way at a time. A look-up that finds one of them free leaves at once, on
//! its caller's task; the others wait, and the first that comes home sends all of them in one statement, on a task of
//! its own, so that a caller who goes away takes nothing from the others. Nobody joins a statement that has begun:
//! what was stored before a look-up was asked for is seen by it.

use super::PostgresCacheTier;
use super::read::{BATCH, Found};
use crate::error::closed;
use aeth_core::{Error, ErrorKind, Key, Namespace, Result};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Statements on their way at a time: more make the batches smaller, and keep connections from those who need them.
const FLIGHTS: usize = 4;

/// Who waits, and how many statements are on their way.
#[derive(Debug, Default)]
pub(super) struct Gather {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Wanted>,
    flights: usize,
}

/// What one caller waits for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) namespace: Namespace,
    pub(super) key: Key,
    answer: oneshot::Sender<Result<Option<Found>>>,
}

enum Turn {
    Now(Flight),
    Later(oneshot::Receiver<Result<Option<Found>>>),
}

/// The right to have a statement on its way. Whoever waits when it ends is served with it.
struct Flight {
    tier: PostgresCacheTier,
    /// False while it serves on a task: dropped then, the runtime or the database is closing, and another task would
    /// fare no better.
    hands_over: bool,
}

impl Gather {
    /// Fails those who wait: the server was silent for as long as they did.
    fn refuse(&self, error: &Error) {
        if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Closed) {
            return;
        }
        let waiting = std::mem::take(&mut self.queue.lock().waiting);
        for wanted in waiting {
            wanted.answer(Err(error.clone()));
        }
    }

    fn next(&self) -> Vec<Wanted> {
        let mut queue = self.queue.lock();
        let count = queue.waiting.len().min(BATCH);
        queue.waiting.drain(..count).collect()
    }
}

impl Wanted {
    fn answer(self, answer: Result<Option<Found>>) {
        // Its caller may be gone.
        drop(self.answer.send(answer));
    }
}

impl PostgresCacheTier {
    /// Looks one key up, together with others that are asked for meanwhile.
    pub(super) async fn find_gathered(&self, namespace: &Namespace, key: &Key) -> Result<Option<Found>> {
        match self.turn(namespace, key) {
            Turn::Now(flight) => {
                let found = self.find_one(namespace, key).await;
                if let Err(error) = &found {
                    self.inner.gather.refuse(error);
                }
                drop(flight);
                found
            }
            // Dropped without an answer only when the database is closed.
            Turn::Later(answer) => answer.await.unwrap_or_else(|_| Err(closed())),
        }
    }

    fn turn(&self, namespace: &Namespace, key: &Key) -> Turn {
        let mut queue = self.inner.gather.queue.lock();
        if queue.flights < FLIGHTS {
            queue.flights += 1;
            return Turn::Now(Flight { tier: self.clone(), hands_over: true });
        }
        let (sender, receiver) = oneshot::channel();
        let (namespace, key) = (namespace.clone(), key.clone());
        queue.waiting.push_back(Wanted { namespace, key, answer: sender });
        Turn::Later(receiver)
    }
}

impl Flight {
    /// Serves those who wait until nobody does.
    async fn serve(mut self) {
        let inner = Arc::clone(&self.tier.inner);
        let gather = &inner.gather;
        loop {
            // Those who were just answered may ask again: one turn of the scheduler lets them join.
            tokio::task::yield_now().await;
            let mut batch = gather.next();
            batch.retain(|wanted| !wanted.answer.is_closed());
            if batch.is_empty() && gather.queue.lock().waiting.is_empty() {
                self.hands_over = true;
                return;
            }
            match self.tier.find_wanted(&batch).await {
                Ok(found) => {
                    for (wanted, found) in batch.into_iter().zip(found) {
                        wanted.answer(Ok(found));
                    }
                }
                Err(error) => {
                    for wanted in batch {
                        wanted.answer(Err(error.clone()));
                    }
                    gather.refuse(&error);
                }
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let (inner, tasks) = (&self.tier.inner, &self.tier.inner.db.shared.tasks);
        let unserved = {
            let mut queue = inner.gather.queue.lock();
            let serves = self.hands_over && !tasks.is_closing() && Handle::try_current().is_ok();
            if serves && !queue.waiting.is_empty() {
                let next = Self { tier: self.tier.clone(), hands_over: false };
                drop(queue);
                drop(tasks.spawn_until_closed(next.serve()));
                return;
            }
            queue.flights -= 1;
            // Without a flight that could take them along, those who wait would do so for ever.
            if queue.flights == 0 { std::mem::take(&mut queue.waiting) } else { VecDeque::new() }
        };
        drop(unserved);
    }
}
