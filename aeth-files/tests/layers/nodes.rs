//! A tier and a backplane within the process.

use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierStatistics,
};
use aeth_core::coord::{Backplane, BackplaneEvent, Message, NodeId};
use aeth_core::{Error, Key, Namespace, Result, Tag};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Entries in a map.
#[derive(Debug, Default)]
pub(crate) struct MapTier(pub(crate) Mutex<HashMap<(Namespace, Key), Entry>>);

#[async_trait]
impl CacheTier for MapTier {
    fn name(&self) -> Cow<'_, str> {
        "map".into()
    }

    fn capabilities(&self) -> TierCapabilities {
        TierCapabilities::EMPTY
    }

    fn get_now(&self, _namespace: &Namespace, _key: &[u8]) -> Option<Lookup> {
        None
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let map = self.0.lock();
        let look = |key: &Key| match map.get(&(namespace.clone(), key.clone())) {
            Some(entry) => Lookup::Hit(entry.clone()),
            None => Lookup::Miss,
        };
        keys.iter().map(look).collect()
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        let mut map = self.0.lock();
        let put = |(key, entry)| {
            map.insert((namespace.clone(), key), entry);
            PutOutcome::Stored
        };
        Ok(entries.into_iter().map(put).collect())
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        let mut map = self.0.lock();
        keys.iter().for_each(|key| drop(map.remove(&(namespace.clone(), key.clone()))));
        Ok(())
    }

    async fn invalidate_tags(&self, _namespace: &Namespace, _tags: &[Tag]) -> Result<()> {
        Err(Error::unsupported("no tags"))
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        self.0.lock().retain(|(its, _), _| its != namespace);
        Ok(())
    }

    async fn get_or_lease_many(
        &self,
        _namespace: &Namespace,
        keys: &[Key],
        _ttl: Duration,
    ) -> Vec<LeaseLookup> {
        vec![LeaseLookup::Unavailable(Error::unsupported("no leases")); keys.len()]
    }

    async fn fill(&self, _: &Namespace, _: &Key, _: LeaseToken, _: Entry) -> Result<FillOutcome> {
        Err(Error::unsupported("no leases"))
    }

    async fn release(&self, _: &Namespace, _: &Key, _: LeaseToken) -> Result<()> {
        Err(Error::unsupported("no leases"))
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        None
    }

    fn statistics(&self) -> TierStatistics {
        TierStatistics::default()
    }
}

type Listeners = Arc<Mutex<Vec<(String, mpsc::UnboundedSender<BackplaneEvent>)>>>;

/// A node on a bus; clones of the bus are one.
#[derive(Debug)]
pub(crate) struct Node {
    node: NodeId,
    listeners: Listeners,
    sent: Mutex<u64>,
}

impl Node {
    pub(crate) fn first() -> Self {
        Self { node: NodeId::random(), listeners: Listeners::default(), sent: Mutex::new(0) }
    }

    pub(crate) fn other(&self) -> Self {
        Self { node: NodeId::random(), listeners: Arc::clone(&self.listeners), sent: Mutex::new(0) }
    }

    /// Shows an event to all.
    pub(crate) fn show(&self, event: &BackplaneEvent) {
        self.listeners.lock().retain(|(_, listener)| listener.send(event.clone()).is_ok());
    }
}

#[async_trait]
impl Backplane for Node {
    fn name(&self) -> Cow<'_, str> {
        "bus".into()
    }

    fn node(&self) -> NodeId {
        self.node
    }

    async fn publish(&self, channel: &str, payload: Bytes) -> Result<u64> {
        let mut sent = self.sent.lock();
        *sent += 1;
        let message = BackplaneEvent::Message(Message::new(self.node, *sent, payload));
        for (its, listener) in &*self.listeners.lock() {
            if its == channel {
                drop(listener.send(message.clone()));
            }
        }
        Ok(*sent)
    }

    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, BackplaneEvent>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        drop(sender.send(BackplaneEvent::Connected));
        self.listeners.lock().push((channel.to_owned(), sender));
        let events = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        });
        Ok(events.boxed())
    }
}
