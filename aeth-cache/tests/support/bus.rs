//! A backplane inside of one process, which can lose messages and go down.

use aeth_core::coord::{Backplane, BackplaneEvent, Message, NodeId};
use aeth_core::{Error, Result, async_trait};
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use tokio::sync::mpsc;

#[derive(Debug, Default)]
struct Wire {
    subscribers: std::sync::Mutex<Vec<mpsc::UnboundedSender<BackplaneEvent>>>,
    down: AtomicBool,
    losing: AtomicBool,
    lost: AtomicBool,
}

/// The wire; each node has a handle of its own.
#[derive(Debug, Clone, Default)]
pub struct Bus(Arc<Wire>);

#[derive(Debug)]
pub struct Node {
    bus: Bus,
    id: NodeId,
    sequence: AtomicU64,
}

impl Bus {
    pub fn node(&self) -> Arc<dyn Backplane> {
        Arc::new(Node { bus: self.clone(), id: NodeId::random(), sequence: AtomicU64::new(0) })
    }

    fn send(&self, event: &BackplaneEvent) {
        self.0.subscribers.lock().unwrap().retain(|subscriber| subscriber.send(event.clone()).is_ok());
    }

    /// From now on publishing fails.
    pub fn go_down(&self) {
        self.0.down.store(true, SeqCst);
        self.send(&BackplaneEvent::Disconnected);
    }

    pub fn come_up(&self) {
        self.0.down.store(false, SeqCst);
        self.send(&BackplaneEvent::Gap);
        self.send(&BackplaneEvent::Connected);
    }

    /// Messages are lost, which shows when the next one arrives.
    pub fn lose(&self, yes: bool) {
        self.0.losing.store(yes, SeqCst);
    }
}

#[async_trait]
impl Backplane for Node {
    fn name(&self) -> Cow<'_, str> {
        "bus".into()
    }

    fn node(&self) -> NodeId {
        self.id
    }

    async fn publish(&self, _: &str, payload: Bytes) -> Result<u64> {
        if self.bus.0.down.load(SeqCst) {
            return Err(Error::unavailable("the bus is down"));
        }
        let sequence = self.sequence.fetch_add(1, SeqCst);
        if self.bus.0.losing.load(SeqCst) {
            self.bus.0.lost.store(true, SeqCst);
            return Ok(sequence);
        }
        if self.bus.0.lost.swap(false, SeqCst) {
            self.bus.send(&BackplaneEvent::Gap);
        }
        self.bus.send(&BackplaneEvent::Message(Message::new(self.id, sequence, payload)));
        Ok(sequence)
    }

    async fn subscribe(&self, _: &str) -> Result<BoxStream<'static, BackplaneEvent>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        drop(sender.send(BackplaneEvent::Connected));
        self.bus.0.subscribers.lock().unwrap().push(sender);
        let events = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        });
        Ok(events.boxed())
    }
}
