//! A backplane and a leader lock in memory.

use aeth_core::coord::{Backplane, BackplaneEvent, LeaderLock, Leadership, Message, NodeId};
use aeth_core::{Clock, Error, ErrorKind, Result, async_trait};
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// One way in which a backplane can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaneFlaw {
    DeafToItself,
    Reordered,
    PayloadAsText,
    ChannelsByPrefix,
    LastSubscriberOnly,
    History,
    NumbersRace,
    OthersUnheard,
    GapUntold,
}

#[derive(Debug, Default)]
struct Shared {
    listeners: Vec<(String, NodeId, mpsc::UnboundedSender<BackplaneEvent>)>,
    numbers: HashMap<(NodeId, String), u64>,
    past: Vec<(String, Message)>,
    held: Option<Message>,
}

/// A node of a fleet in one process, correct unless a flaw is switched on.
#[derive(Debug, Clone)]
pub struct RefPlane {
    flaw: Option<PlaneFlaw>,
    node: NodeId,
    shared: Arc<Mutex<Shared>>,
}

impl RefPlane {
    pub fn new(flaw: Option<PlaneFlaw>) -> Self {
        Self { flaw, node: NodeId::random(), shared: Arc::default() }
    }

    /// Another node of the fleet.
    pub fn other(&self) -> Self {
        Self { node: NodeId::random(), ..self.clone() }
    }

    /// Loses the connections of all subscriptions, and lets them come back.
    pub fn outage(&self) {
        for (_, _, listener) in &self.shared.lock().listeners {
            let gap = (self.flaw != Some(PlaneFlaw::GapUntold)).then_some(BackplaneEvent::Gap);
            for event in [Some(BackplaneEvent::Disconnected), gap, Some(BackplaneEvent::Connected)] {
                event.into_iter().for_each(|event| drop(listener.send(event)));
            }
        }
    }

    fn has(&self, flaw: PlaneFlaw) -> bool {
        self.flaw == Some(flaw)
    }
}

#[async_trait]
impl Backplane for RefPlane {
    fn name(&self) -> Cow<'_, str> {
        "reference".into()
    }

    fn node(&self) -> NodeId {
        self.node
    }

    async fn publish(&self, channel: &str, payload: Bytes) -> Result<u64> {
        let place = (self.node, channel.to_owned());
        let number = self.shared.lock().numbers.get(&place).copied().unwrap_or(0) + 1;
        if self.has(PlaneFlaw::NumbersRace) {
            tokio::task::yield_now().await;
        }
        let mut shared = self.shared.lock();
        let now = shared.numbers.get(&place).copied().unwrap_or(0) + 1;
        let number = if self.has(PlaneFlaw::NumbersRace) { number } else { now };
        shared.numbers.insert(place, number);
        let text = self.has(PlaneFlaw::PayloadAsText);
        let payload = if text { String::from_utf8_lossy(&payload).into_owned().into() } else { payload };
        let mut messages = vec![Message::new(self.node, number, payload)];
        shared.past.push((channel.to_owned(), messages[0].clone()));
        if self.has(PlaneFlaw::Reordered) && number % 10 == 3 {
            shared.held = messages.pop();
        } else if let Some(held) = shared.held.take() {
            messages.push(held);
        }
        let mut listeners: Vec<_> = shared
            .listeners
            .iter()
            .filter(|(its, node, _)| {
                let prefix = self.has(PlaneFlaw::ChannelsByPrefix) && channel.starts_with(its.as_str());
                let deaf = self.has(PlaneFlaw::DeafToItself) && *node == self.node;
                let other = self.has(PlaneFlaw::OthersUnheard) && *node != self.node;
                (its == channel || prefix) && !deaf && !other
            })
            .collect();
        if self.has(PlaneFlaw::LastSubscriberOnly) {
            listeners = listeners.pop().into_iter().collect();
        }
        for (_, _, listener) in listeners {
            messages.iter().for_each(|message| drop(listener.send(BackplaneEvent::Message(message.clone()))));
        }
        Ok(number)
    }

    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, BackplaneEvent>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut shared = self.shared.lock();
        drop(sender.send(BackplaneEvent::Connected));
        if self.has(PlaneFlaw::History) {
            for (_, message) in shared.past.iter().filter(|(its, _)| its == channel) {
                drop(sender.send(BackplaneEvent::Message(message.clone())));
            }
        }
        shared.listeners.push((channel.to_owned(), self.node, sender));
        let events = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        });
        Ok(events.boxed())
    }
}

/// One way in which a leader lock can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockFlaw {
    Reentrant,
    Races,
    NamesFolded,
    ReleaseIgnored,
    DropForgotten,
    FencingRestarts,
    RenewalIgnored,
    RenewalBlind,
    EmptyAllowed,
}

#[derive(Debug, Clone)]
struct Held {
    by: u64,
    until: Duration,
    owner: usize,
}

#[derive(Debug, Default)]
struct Locks {
    held: HashMap<String, Held>,
    fencing: HashMap<String, u64>,
}

/// A leader lock in one process, correct unless a flaw is switched on.
#[derive(Debug, Clone)]
pub struct RefLock {
    flaw: Option<LockFlaw>,
    clock: Arc<dyn Clock>,
    locks: Arc<Mutex<Locks>>,
    owner: usize,
}

impl RefLock {
    pub fn new(flaw: Option<LockFlaw>, clock: Arc<dyn Clock>) -> Self {
        Self { flaw, clock, locks: Arc::default(), owner: 0 }
    }

    /// Another node's handle.
    pub fn other(&self) -> Self {
        Self { owner: self.owner + 1, ..self.clone() }
    }

    fn has(&self, flaw: LockFlaw) -> bool {
        self.flaw == Some(flaw)
    }
}

#[derive(Debug)]
struct RefLeadership {
    lock: RefLock,
    name: String,
    fencing: u64,
    ttl: Duration,
}

#[async_trait]
impl LeaderLock for RefLock {
    fn name(&self) -> Cow<'_, str> {
        "reference".into()
    }

    async fn try_acquire(&self, name: &str, ttl: Duration) -> Result<Option<Box<dyn Leadership>>> {
        if name.is_empty() && !self.has(LockFlaw::EmptyAllowed) {
            return Err(Error::invalid("the name is empty"));
        }
        let name = if self.has(LockFlaw::NamesFolded) { name.to_lowercase() } else { name.to_owned() };
        let now = self.clock.monotonic();
        let taken = |locks: &Locks| {
            locks.held.get(&name).is_some_and(|held| {
                (now < held.until || self.has(LockFlaw::DropForgotten))
                    && !(self.has(LockFlaw::Reentrant) && held.owner == self.owner)
            })
        };
        if taken(&self.locks.lock()) {
            return Ok(None);
        }
        if self.has(LockFlaw::Races) {
            tokio::task::yield_now().await;
        }
        let mut locks = self.locks.lock();
        if !self.has(LockFlaw::Races) && taken(&locks) {
            return Ok(None);
        }
        let fencing =
            if self.has(LockFlaw::FencingRestarts) { 1 } else { locks.fencing.get(&name).unwrap_or(&0) + 1 };
        locks.fencing.insert(name.clone(), fencing);
        locks.held.insert(name.clone(), Held { by: fencing, until: now + ttl, owner: self.owner });
        Ok(Some(Box::new(RefLeadership { lock: self.clone(), name, fencing, ttl })))
    }
}

#[async_trait]
impl Leadership for RefLeadership {
    fn fencing(&self) -> u64 {
        self.fencing
    }

    async fn renew(&self) -> Result<()> {
        let now = self.lock.clock.monotonic();
        if self.lock.has(LockFlaw::RenewalIgnored) {
            return Ok(());
        }
        let mut locks = self.lock.locks.lock();
        match locks.held.get_mut(&self.name) {
            Some(held) if held.by == self.fencing && now < held.until => {
                held.until = now + self.ttl;
                Ok(())
            }
            _ if self.lock.has(LockFlaw::RenewalBlind) => Ok(()),
            _ => Err(Error::new(ErrorKind::Precondition, "the leadership was lost")),
        }
    }

    async fn release(self: Box<Self>) -> Result<()> {
        let mut locks = self.lock.locks.lock();
        let mine = locks.held.get(&self.name).is_some_and(|held| held.by == self.fencing);
        if mine && !self.lock.has(LockFlaw::ReleaseIgnored) {
            locks.held.remove(&self.name);
        }
        Ok(())
    }
}
