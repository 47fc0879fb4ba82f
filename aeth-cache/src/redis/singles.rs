//! Look-ups of single keys, gathered.

use super::error;
use super::gather::{Batches, Outcome};
use super::link::is_outage;
use super::lookup::{Form, Found, Lookups, Wanted};
use aeth_core::{Error, Key, Namespace};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Look-ups of single keys, gathered.
pub(super) struct Singles {
    pub(super) lookups: Arc<Lookups>,
    pub(super) form: Form,
}

pub(super) struct Single {
    pub(super) namespace: Namespace,
    pub(super) key: Key,
    pub(super) lease: Option<Duration>,
    pub(super) answer: oneshot::Sender<Found>,
}

impl Batches for Singles {
    type Item = Single;

    fn limit(&self) -> usize {
        self.lookups.link.options.batch
    }

    async fn run(&self, batch: Vec<Single>) -> Outcome {
        let wanted: Vec<Wanted<'_>> = (batch.iter())
            .map(|Single { namespace, key, lease, .. }| Wanted { namespace, key, lease: *lease })
            .collect();
        let found = self.lookups.find(&wanted, self.form).await;
        drop(wanted);
        let mut outcome = Outcome::Answered;
        for (Single { answer, .. }, found) in batch.into_iter().zip(found) {
            if matches!(&found, Found::Unavailable(error) if is_outage(error)) {
                outcome = Outcome::Down;
            }
            // Whoever asked may have gone.
            drop(answer.send(found));
        }
        outcome
    }

    fn refuse(&self, item: Single) {
        self.lookups.stats.unavailable.increment();
        let error = Error::unavailable("the server does not answer").with_component(error::COMPONENT);
        drop(item.answer.send(Found::Unavailable(error)));
    }
}
