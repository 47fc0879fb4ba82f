//! The laws of [`Backplane`].

use super::law::{Subject, applies, ensure};
use super::tools::pattern;
use super::{Breach, Check, Report, law};
use crate::coord::{Backplane, BackplaneEvent, Message};
use crate::{ClockExt, SystemClock};
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

super::law::laws! { BackplaneSubject;
    "a-node-hears-itself" => a_node_hears_itself,
    "messages-come-in-order" => messages_come_in_order,
    "payloads-are-any-bytes" => payloads_are_any_bytes,
    "channels-are-apart" => channels_are_apart,
    "every-subscriber-hears-everything" => every_subscriber_hears_everything,
    "the-past-is-not-told" => the_past_is_not_told,
    "concurrent-publishers-are-numbered" => concurrent_publishers_are_numbered,
    "other-nodes-are-heard" => other_nodes_are_heard,
    "a-loss-is-told" => a_loss_is_told,
}

/// How long a message may take.
const WITHIN: Duration = Duration::from_secs(10);

type Hook = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// A backplane, and how it is tested.
#[derive(Clone)]
pub struct BackplaneSubject {
    node: Arc<dyn Backplane>,
    other: Option<Arc<dyn Backplane>>,
    outage: Option<Hook>,
    run: u32,
    law: &'static str,
}

/// Checks every law on one node, on channels of its own.
///
/// # Panics
/// Outside of a tokio runtime with time enabled.
///
/// # Cancel safety
/// Cancel-safe.
pub async fn run_all(node: impl Backplane) -> Report {
    BackplaneSubject::new(node).run().await
}

impl BackplaneSubject {
    /// Tests `node`.
    #[must_use]
    pub fn new(node: impl Backplane) -> Self {
        Self { node: Arc::new(node), other: None, outage: None, run: fastrand::u32(..), law: "" }
    }

    /// Another node of the same fleet.
    #[must_use]
    pub fn with_other(mut self, other: impl Backplane) -> Self {
        self.other = Some(Arc::new(other));
        self
    }

    /// Breaks the first node's connection and lets it come back (restarts the server, kills the client).
    #[must_use]
    pub fn with_outage<F>(mut self, outage: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.outage = Some(Arc::new(move || Box::pin(outage())));
        self
    }

    /// Checks every law.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn run(&self) -> Report {
        law::run(self, LAWS, WITHIN.saturating_mul(12)).await
    }

    /// Checks the laws with these names; names that no law has are left out.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn run_some(&self, names: &[&str]) -> Report {
        let laws = LAWS.iter().filter(|law| names.contains(&law.name()));
        law::run(self, laws, WITHIN.saturating_mul(12)).await
    }

    fn channel(&self, name: &str) -> String {
        format!("aeth-conformance-{:08x}-{}-{name}", self.run, self.law)
    }
}

impl fmt::Debug for BackplaneSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackplaneSubject").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Subject for BackplaneSubject {
    fn label(&self) -> String {
        self.node.name().into_owned()
    }

    fn scoped(&self, law: &'static str) -> Self {
        Self { law, ..self.clone() }
    }

    fn clean_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

type Events = BoxStream<'static, BackplaneEvent>;

async fn event(events: &mut Events) -> Result<BackplaneEvent, Breach> {
    match SystemClock::new().timeout(WITHIN, events.next()).await {
        Ok(Some(event)) => Ok(event),
        Ok(None) => Err(Breach::Failed("the subscription ended".into())),
        Err(_) => Err(Breach::Failed(format!("nothing is heard within {WITHIN:?}"))),
    }
}

/// A subscription that stands.
async fn listen(node: &dyn Backplane, channel: &str) -> Result<Events, Breach> {
    let mut events = node.subscribe(channel).await?;
    loop {
        match event(&mut events).await? {
            BackplaneEvent::Connected => return Ok(events),
            BackplaneEvent::Message(message) => {
                return Err(Breach::Failed(format!("{message:?} came before the subscription stood")));
            }
            _ => {}
        }
    }
}

async fn message(events: &mut Events) -> Result<Message, Breach> {
    match event(events).await? {
        BackplaneEvent::Message(message) => Ok(message),
        event => Err(Breach::Failed(format!("a message was awaited, {event:?} came"))),
    }
}

/// law: a-node-hears-itself. A message that a node publishes arrives at its own subscription, with its origin, the
/// number that the publication gave, and its payload.
async fn a_node_hears_itself(subject: &BackplaneSubject) -> Check {
    let channel = subject.channel("a");
    let mut events = listen(&*subject.node, &channel).await?;
    let sequence = subject.node.publish(&channel, Bytes::from_static(b"hello")).await?;
    let heard = message(&mut events).await?;
    let wanted = Message::new(subject.node.node(), sequence, Bytes::from_static(b"hello"));
    ensure!(heard == wanted, "{wanted:?} was heard as {heard:?}");
    Ok(())
}

/// law: messages-come-in-order. The messages of one node arrive in the order of their publication, once each,
/// numbered without holes.
async fn messages_come_in_order(subject: &BackplaneSubject) -> Check {
    let channel = subject.channel("a");
    let mut events = listen(&*subject.node, &channel).await?;
    let mut first = None;
    for i in 0..200_u64 {
        let sequence = subject.node.publish(&channel, i.to_string().into()).await?;
        let first = *first.get_or_insert(sequence);
        ensure!(sequence == first + i, "the publication after {} has the number {sequence}", first + i - 1);
    }
    for i in 0..200_u64 {
        let heard = message(&mut events).await?;
        ensure!(heard.payload == i.to_string().as_bytes(), "message {i} was heard as {heard:?}");
        ensure!(
            Some(heard.sequence) == first.map(|first| first + i),
            "message {i} has number {}",
            heard.sequence
        );
    }
    Ok(())
}

/// law: payloads-are-any-bytes. Empty, binary and large payloads arrive as they are.
async fn payloads_are_any_bytes(subject: &BackplaneSubject) -> Check {
    let channel = subject.channel("a");
    let mut events = listen(&*subject.node, &channel).await?;
    for payload in [Bytes::new(), Bytes::from_static(b"\0\r\n\xff$*"), pattern(1, 100), pattern(2, 60_000)] {
        subject.node.publish(&channel, payload.clone()).await?;
        let heard = message(&mut events).await?;
        ensure!(heard.payload == payload, "{} bytes were heard as {}", payload.len(), heard.payload.len());
    }
    Ok(())
}

/// law: channels-are-apart. A message is heard on its own channel only.
async fn channels_are_apart(subject: &BackplaneSubject) -> Check {
    let (one, two) = (subject.channel("a"), subject.channel("a*"));
    let mut first = listen(&*subject.node, &one).await?;
    let mut second = listen(&*subject.node, &two).await?;
    for (channel, text) in [(&one, "1"), (&two, "2"), (&one, "1"), (&two, "2")] {
        subject.node.publish(channel, text.into()).await?;
    }
    for _ in 0..2 {
        let heard = (message(&mut first).await?.payload, message(&mut second).await?.payload);
        ensure!(heard.0 == "1" && heard.1 == "2", "messages were heard on other channels: {heard:?}");
    }
    Ok(())
}

/// law: every-subscriber-hears-everything. Two subscriptions of one channel each get every message; ending one
/// leaves the other.
async fn every_subscriber_hears_everything(subject: &BackplaneSubject) -> Check {
    let channel = subject.channel("a");
    let mut one = listen(&*subject.node, &channel).await?;
    let mut two = listen(&*subject.node, &channel).await?;
    for i in 0..10_u8 {
        subject.node.publish(&channel, vec![i].into()).await?;
        let heard = (message(&mut one).await?.payload, message(&mut two).await?.payload);
        ensure!(heard.0 == vec![i] && heard.1 == vec![i], "message {i} was heard as {heard:?}");
    }
    drop(one);
    subject.node.publish(&channel, Bytes::from_static(b"last")).await?;
    let heard = message(&mut two).await?;
    ensure!(heard.payload == "last", "after the other subscription ended, {heard:?} was heard");
    Ok(())
}

/// law: the-past-is-not-told. A subscription hears what is published after it stands.
async fn the_past_is_not_told(subject: &BackplaneSubject) -> Check {
    let channel = subject.channel("a");
    subject.node.publish(&channel, Bytes::from_static(b"past")).await?;
    let mut events = listen(&*subject.node, &channel).await?;
    subject.node.publish(&channel, Bytes::from_static(b"now")).await?;
    let heard = message(&mut events).await?;
    ensure!(heard.payload == "now", "{heard:?} was published before the subscription stood");
    Ok(())
}

/// law: concurrent-publishers-are-numbered. Publications at the same time get different numbers, and are heard in
/// the order of their numbers, without a gap.
async fn concurrent_publishers_are_numbered(subject: &BackplaneSubject) -> Check {
    let channel = subject.channel("a");
    let mut events = listen(&*subject.node, &channel).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (node, channel) = (Arc::clone(&subject.node), channel.clone());
        tasks.spawn(async move {
            let mut numbers = Vec::new();
            for _ in 0..20 {
                numbers.push(node.publish(&channel, Bytes::from_static(b"x")).await?);
            }
            Ok(numbers)
        });
    }
    let mut numbers: Vec<u64> = super::tools::join(tasks).await?.into_iter().flatten().collect();
    numbers.sort_unstable();
    numbers.dedup();
    ensure!(numbers.len() == 160, "160 publications have {} numbers", numbers.len());
    for number in numbers {
        let heard = message(&mut events).await?;
        ensure!(heard.sequence == number, "message {number} was awaited, {} came", heard.sequence);
    }
    Ok(())
}

/// law: other-nodes-are-heard. Each node hears the other under the other's own id, in its order.
async fn other_nodes_are_heard(subject: &BackplaneSubject) -> Check {
    let Some(other) = &subject.other else {
        applies!(false, "no second node was given");
        return Ok(());
    };
    ensure!(subject.node.node() != other.node(), "two nodes have the same id");
    let channel = subject.channel("a");
    let mut here = listen(&*subject.node, &channel).await?;
    let mut there = listen(&**other, &channel).await?;
    for i in 0..20_u8 {
        let sender = if i % 2 == 0 { &subject.node } else { other };
        let sequence = sender.publish(&channel, vec![i].into()).await?;
        let wanted = Message::new(sender.node(), sequence, vec![i].into());
        for events in [&mut here, &mut there] {
            let heard = message(events).await?;
            ensure!(heard == wanted, "{wanted:?} was heard as {heard:?}");
        }
    }
    Ok(())
}

/// law: a-loss-is-told. After the connection was lost a subscription tells of a gap before it tells of anything
/// new, stands again by itself, and publications go on.
async fn a_loss_is_told(subject: &BackplaneSubject) -> Check {
    let Some(outage) = &subject.outage else {
        applies!(false, "no way to break the connection was given");
        return Ok(());
    };
    let channel = subject.channel("a");
    let mut events = listen(&*subject.node, &channel).await?;
    subject.node.publish(&channel, Bytes::from_static(b"before")).await?;
    message(&mut events).await?;
    outage().await;
    let (mut gap, mut connected) = (false, false);
    while !(gap && connected) {
        match event(&mut events).await? {
            BackplaneEvent::Gap => gap = true,
            BackplaneEvent::Connected => connected = true,
            BackplaneEvent::Message(message) => {
                ensure!(gap, "{message:?} came after a lost connection, before a gap was told");
            }
            BackplaneEvent::Disconnected => {}
        }
    }
    for _ in 0..50 {
        if subject.node.publish(&channel, Bytes::from_static(b"after")).await.is_ok() {
            break;
        }
        crate::Clock::sleep(&SystemClock::new(), Duration::from_millis(100)).await;
    }
    loop {
        match event(&mut events).await? {
            BackplaneEvent::Message(heard) if heard.payload == "after" => return Ok(()),
            BackplaneEvent::Message(heard) => {
                return Err(Breach::Failed(format!(
                    "{heard:?} was heard again after the connection was lost"
                )));
            }
            _ => {}
        }
    }
}
