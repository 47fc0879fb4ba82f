//! Messages between nodes.

use crate::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::fmt;

/// A node of the fleet: random, made at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u128);

impl NodeId {
    /// Takes the number as an id.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// A random one.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        // Without the system's randomness the ids of two nodes still differ by this generator's seed.
        if getrandom::fill(&mut bytes).is_err() {
            fastrand::fill(&mut bytes);
        }
        Self(u128::from_le_bytes(bytes))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A message from a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Who sent it.
    pub origin: NodeId,
    /// Its number: the messages of one origin on one channel count up by one.
    pub sequence: u64,
    /// What it says.
    pub payload: Bytes,
}

impl Message {
    /// Puts one together.
    #[must_use]
    pub fn new(origin: NodeId, sequence: u64, payload: Bytes) -> Self {
        Self { origin, sequence, payload }
    }
}

/// What a subscriber sees.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackplaneEvent {
    /// The subscription stands: messages published from now on arrive, or a gap is reported.
    Connected,
    /// A message, in its origin's order.
    Message(Message),
    /// Messages may have been lost (a sequence number was skipped, or the connection was): whatever they may
    /// have said must be assumed.
    Gap,
    /// The connection is lost; a `Gap` and a `Connected` follow when it is back.
    Disconnected,
}

/// Publish and subscribe between the nodes of a fleet; at most once, in order per origin, with losses reported.
#[async_trait]
pub trait Backplane: fmt::Debug + Send + Sync + 'static {
    /// A short label for messages and metrics.
    fn name(&self) -> Cow<'_, str>;

    /// This node.
    fn node(&self) -> NodeId;

    /// Sends a message to all subscribers of a channel, this node's own included. Gives its sequence number.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`: whether it was sent is then unknown, and subscribers see a gap when
    /// a later one arrives.
    ///
    /// # Cancel safety
    /// Whether it was sent is unknown.
    async fn publish(&self, channel: &str, payload: Bytes) -> Result<u64>;

    /// The events of a channel from now on. The stream reconnects by itself and ends only when the backplane is
    /// closed.
    ///
    /// # Errors
    /// `Closed`. An engine that is down is no error: the stream then begins with `Disconnected`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, BackplaneEvent>>;
}
