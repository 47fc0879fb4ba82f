//! Gathers what single callers ask for into batches.
//!
//! A request that finds nothing on its way leaves at once (after one turn of the scheduler, in which its
//! neighbours join it). While batches are on their way, requests wait for the next one, as writers wait for a
//! group commit: the busier the server, the larger the batches. The batches run on tasks of their own, so that
//! a caller that is dropped takes nothing from the others.

use aeth_core::Tasks;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// What is done with a batch.
pub(super) trait Batches: Send + Sync + 'static {
    type Item: Send + 'static;

    /// The most items in a batch.
    fn limit(&self) -> usize;

    /// Answers every item; false when what waits should be failed now, because its turn would end the same.
    fn run(&self, batch: Vec<Self::Item>) -> impl Future<Output = Outcome> + Send;

    /// Answers an item without doing anything for it.
    fn refuse(&self, item: Self::Item);
}

/// How a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    /// The server does not answer: whoever waited while it did not has waited long enough.
    Down,
}

pub(super) struct Gather<B: Batches> {
    shared: Arc<Shared<B>>,
    tasks: Tasks,
}

struct Shared<B: Batches> {
    batches: B,
    flights: usize,
    queue: Mutex<Queue<B::Item>>,
}

struct Queue<T> {
    items: VecDeque<T>,
    flying: usize,
}

impl<B: Batches> Gather<B> {
    /// At most `flights` batches are on their way at a time; with 1 they leave in order.
    pub(super) fn new(batches: B, flights: usize, tasks: Tasks) -> Self {
        let queue = Mutex::new(Queue { items: VecDeque::new(), flying: 0 });
        Self { shared: Arc::new(Shared { batches, flights, queue }), tasks }
    }

    pub(super) fn batches(&self) -> &B {
        &self.shared.batches
    }

    pub(super) fn add(&self, item: B::Item) {
        let mut queue = self.shared.queue.lock();
        queue.items.push_back(item);
        if queue.flying < self.shared.flights {
            queue.flying += 1;
            drop(queue);
            let flight = Flight { shared: Arc::clone(&self.shared), landed: false };
            drop(self.tasks.spawn(flight.fly()));
        }
    }
}

/// Takes one batch after the other until nothing waits.
struct Flight<B: Batches> {
    shared: Arc<Shared<B>>,
    landed: bool,
}

impl<B: Batches> Flight<B> {
    async fn fly(mut self) {
        loop {
            tokio::task::yield_now().await;
            let batch: Vec<B::Item> = {
                let mut queue = self.shared.queue.lock();
                let count = queue.items.len().min(self.shared.batches.limit());
                if count == 0 {
                    queue.flying -= 1;
                    self.landed = true;
                    return;
                }
                queue.items.drain(..count).collect()
            };
            if self.shared.batches.run(batch).await == Outcome::Down {
                self.shared.refuse_all();
            }
        }
    }
}

/// A flight ends early with the runtime that it runs on; another runtime may use the same handle afterwards.
impl<B: Batches> Drop for Flight<B> {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        let left = {
            let mut queue = self.shared.queue.lock();
            queue.flying -= 1;
            queue.flying
        };
        if left == 0 {
            self.shared.refuse_all();
        }
    }
}

impl<B: Batches> Shared<B> {
    fn refuse_all(&self) {
        let waiting = std::mem::take(&mut self.queue.lock().items);
        waiting.into_iter().for_each(|item| self.batches.refuse(item));
    }
}
