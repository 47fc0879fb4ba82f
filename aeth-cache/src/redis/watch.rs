//! Tells whoever met a lease of another when it ends, so that nobody has to ask again and again.
//!
//! The server itself remembers which keys a connection has read and tells it when they change, by whatever
//! command, script or expiry (*client tracking*, RESP3 pushes). So a connection of its own looks whether the
//! lease is still there, which is all that it ever reads, and the server's next word about that key is the end
//! of the lease. It costs the holder nothing, and whoever waits one look. In a cluster each node that holds such a
//! lease has a connection.
//!
//! Nothing depends on it: without pushes (a proxy that has none, a connection that is lost) those who wait look
//! again after a while.

use super::dial::Node;
use super::error::COMPONENT;
use super::link::{Link, is_outage};
use super::names::{Names, slot};
use aeth_core::cache::Invalidation;
use aeth_core::{ClockExt, Error, Key, Namespace, Result};
use futures_core::stream::BoxStream;
use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{PushInfo, PushKind, RedisError, Value};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// Events that may wait for a slow reader; beyond it the ends of leases are not told.
const BACKLOG: usize = 4096;
/// How long a node that did not answer is left alone.
const REST: Duration = Duration::from_millis(500);
/// How often a look is sent on to another node of a cluster.
const HOPS: usize = 4;

/// A lease of another that was met.
struct Met {
    lease: Vec<u8>,
    namespace: Namespace,
    key: Key,
}

/// What a tier holds of it.
pub(super) struct Watch {
    names: Names,
    link: Arc<Link>,
    listeners: Mutex<Vec<mpsc::Sender<Invalidation>>>,
    met: mpsc::UnboundedSender<Met>,
    /// Until the first lease is met.
    waiting: Mutex<Option<mpsc::UnboundedReceiver<Met>>>,
}

impl Watch {
    pub(super) fn new(link: Arc<Link>, names: Names) -> Arc<Self> {
        let (met, waiting) = mpsc::unbounded_channel();
        Arc::new(Self { names, link, listeners: Mutex::default(), met, waiting: Mutex::new(Some(waiting)) })
    }

    pub(super) fn listen(&self) -> BoxStream<'static, Invalidation> {
        let (sender, mut receiver) = mpsc::channel(BACKLOG);
        self.listeners.lock().push(sender);
        Box::pin(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)))
    }

    /// Takes note that another holds the lease of this key. Waits for nothing.
    pub(super) fn met(self: &Arc<Self>, namespace: &Namespace, key: &Key) {
        if self.listeners.lock().is_empty() {
            return;
        }
        let waiting = self.waiting.lock().take();
        if let Some(waiting) = waiting {
            let watcher = Watcher::new(Arc::downgrade(self), Arc::clone(&self.link));
            drop(self.link.tasks.spawn_until_closed(watcher.run(waiting)));
        }
        let lease = self.names.lease(namespace, key);
        // A closed link watches nothing any more.
        drop(self.met.send(Met { lease, namespace: namespace.clone(), key: key.clone() }));
    }

    fn tell(&self, met: Met) {
        let event = Invalidation::LeaseEnded(met.namespace, met.key);
        let is_open = |result| !matches!(result, Err(mpsc::error::TrySendError::Closed(_)));
        self.listeners.lock().retain(|listener| is_open(listener.try_send(event.clone())));
    }
}

/// A connection that hears of changes; a later one to the same node has another number.
struct Ear {
    number: u64,
    wire: MultiplexedConnection,
}

type Heard = (u64, PushInfo);

struct Watcher {
    watch: Weak<Watch>,
    link: Arc<Link>,
    ears: HashMap<Node, Ear>,
    last: u64,
    /// Nodes that did not answer, and until when they are left alone.
    resting: HashMap<Node, Duration>,
    slots: HashMap<u16, Node>,
    seed: usize,
    watched: HashMap<Vec<u8>, (Node, Met)>,
    pushes: (mpsc::UnboundedSender<Heard>, mpsc::UnboundedReceiver<Heard>),
}

impl Watcher {
    fn new(watch: Weak<Watch>, link: Arc<Link>) -> Self {
        Self {
            watch,
            link,
            ears: HashMap::new(),
            last: 0,
            resting: HashMap::new(),
            slots: HashMap::new(),
            seed: 0,
            watched: HashMap::new(),
            pushes: mpsc::unbounded_channel(),
        }
    }

    /// Until the tier is gone.
    async fn run(mut self, mut met: mpsc::UnboundedReceiver<Met>) {
        loop {
            tokio::select! {
                first = met.recv() => {
                    let Some(first) = first else { return };
                    let mut all = vec![first];
                    while let Ok(next) = met.try_recv() {
                        all.push(next);
                    }
                    Box::pin(self.look(all)).await;
                }
                Some((number, push)) = self.pushes.1.recv() => self.hear(number, push),
            }
        }
    }

    /// Looks whether these leases are still there, and has the server remember that.
    async fn look(&mut self, met: Vec<Met>) {
        let mut open = met;
        for _ in 0..HOPS {
            let mut by_node: HashMap<Node, Vec<Met>> = HashMap::new();
            for met in open.drain(..) {
                by_node.entry(self.node_of(&met.lease)).or_default().push(met);
            }
            for (node, group) in by_node {
                open.extend(self.look_at(&node, group).await);
            }
            if open.is_empty() {
                return;
            }
        }
    }

    /// Looks at one node; gives what is on another.
    async fn look_at(&mut self, node: &Node, group: Vec<Met>) -> Vec<Met> {
        let answers = match self.ask(node, &group).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::debug!(%error, "the ends of leases are not told for a while");
                self.give_up(node);
                if is_outage(&error) {
                    self.seed = self.seed.wrapping_add(1);
                }
                return Vec::new();
            }
        };
        let mut elsewhere = Vec::new();
        for (met, answer) in group.into_iter().zip(answers) {
            match answer {
                Value::Int(1) => drop(self.watched.insert(met.lease.clone(), (node.clone(), met))),
                Value::ServerError(refusal) => {
                    let refusal = RedisError::from(refusal);
                    match refusal.redirect_node().and_then(|(address, slot)| Some((Node::at(address)?, slot)))
                    {
                        Some((next, slot)) if next != *node => {
                            self.slots.insert(slot, next);
                            elsewhere.push(met);
                        }
                        _ => self.tell(met),
                    }
                }
                // It has ended already.
                _ => self.tell(met),
            }
        }
        elsewhere
    }

    async fn ask(&mut self, node: &Node, group: &[Met]) -> Result<Vec<Value>> {
        let limit = self.link.options.command_timeout;
        let mut wire = self.ear(node).await?;
        let mut pipeline = redis::Pipeline::with_capacity(group.len());
        for met in group {
            pipeline.cmd("EXISTS").arg(met.lease.as_slice());
        }
        let clock = Arc::clone(&self.link.clock);
        let answered = clock.timeout(limit, wire.send_packed_commands(&pipeline, 0, group.len())).await?;
        answered.map_err(|failure| super::error::convert(&failure))
    }

    async fn ear(&mut self, node: &Node) -> Result<MultiplexedConnection> {
        if let Some(ear) = self.ears.get(node) {
            return Ok(ear.wire.clone());
        }
        let now = self.link.clock.monotonic();
        if self.resting.get(node).is_some_and(|until| now < *until) {
            return Err(Error::unavailable("the node did not answer").with_component(COMPONENT));
        }
        self.last += 1;
        let (number, heard) = (self.last, self.pushes.0.clone());
        let limit = self.link.options.connect_timeout;
        let opening = async {
            let hear = move |push: PushInfo| heard.send((number, push));
            let mut wire = self.link.dialer.ear(node, hear).await?;
            let mut command = redis::cmd("CLIENT");
            command.arg("TRACKING").arg("ON");
            let on = wire.req_packed_command(&command).await;
            on.map_err(|failure| super::error::convert(&failure))?;
            Ok::<_, Error>(wire)
        };
        let wire = self.link.clock.timeout(limit, Box::pin(opening)).await??;
        self.resting.remove(node);
        self.ears.insert(node.clone(), Ear { number, wire: wire.clone() });
        Ok(wire)
    }

    fn hear(&mut self, number: u64, push: PushInfo) {
        match push.kind {
            PushKind::Invalidate => match push.data.into_iter().next() {
                Some(Value::Array(keys)) => {
                    for key in keys {
                        if let Value::BulkString(lease) = key
                            && let Some((_, met)) = self.watched.remove(&lease)
                        {
                            self.tell(met);
                        }
                    }
                }
                // Everything was flushed.
                _ => self.tell_all(number),
            },
            PushKind::Disconnection => {
                let node =
                    self.ears.iter().find(|(_, ear)| ear.number == number).map(|(node, _)| node.clone());
                if let Some(node) = node {
                    self.lose(&node);
                }
            }
            _ => {}
        }
    }

    /// Whatever a node was asked may have ended unheard.
    fn lose(&mut self, node: &Node) {
        self.ears.remove(node);
        self.slots.retain(|_, known| known != node);
        let lost = self.watched.extract_if(|_, (its, _)| its == node);
        let lost: Vec<Met> = lost.map(|(_, (_, met))| met).collect();
        lost.into_iter().for_each(|met| self.tell(met));
    }

    fn give_up(&mut self, node: &Node) {
        let until = self.link.clock.monotonic() + REST;
        self.resting.insert(node.clone(), until);
        self.lose(node);
    }

    fn tell_all(&mut self, number: u64) {
        let node = self.ears.iter().find(|(_, ear)| ear.number == number).map(|(node, _)| node.clone());
        let gone = self.watched.extract_if(|_, (its, _)| Some(&*its) == node.as_ref());
        let gone: Vec<Met> = gone.map(|(_, (_, met))| met).collect();
        gone.into_iter().for_each(|met| self.tell(met));
    }

    fn tell(&self, met: Met) {
        if let Some(watch) = self.watch.upgrade() {
            watch.tell(met);
        }
    }

    fn node_of(&self, lease: &[u8]) -> Node {
        let seeds = self.link.dialer.seeds();
        let known = if seeds.is_empty() { None } else { self.slots.get(&slot(lease)) };
        known.or_else(|| seeds.get(self.seed.checked_rem(seeds.len())?)).cloned().unwrap_or_default()
    }
}
