//! Messages between nodes, by publish and subscribe.

use super::error::{self, COMPONENT};
use super::gather::{Batches, Gather, Outcome};
use super::link::{Link, Request, check, is_outage};
use super::names::Names;
use super::subscriber::{Subscriber, encode};
use aeth_core::coord::{Backplane, BackplaneEvent, NodeId};
use aeth_core::{Error, Result, async_trait};
use bytes::Bytes;
use futures_core::stream::BoxStream;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Events that may wait for a slow reader; beyond it messages are lost and a gap is reported.
const BACKLOG: usize = 4096;
/// Messages that leave together.
const BATCH: usize = 256;

/// Redis's publish and subscribe as a backplane; made by [`Redis::backplane`](super::Redis::backplane).
///
/// Messages of one node leave in the order of their numbers, many in one round trip. Each subscription has a
/// connection of its own, which is tried every three seconds when nothing comes, and comes back by itself.
/// A message that comes from nobody of ours is ignored.
#[derive(Clone)]
pub struct RedisBackplane {
    node: NodeId,
    out: Arc<Gather<Out>>,
}

impl RedisBackplane {
    pub(super) fn new(link: Arc<Link>, names: Names) -> Self {
        let (node, tasks) = (NodeId::random(), link.tasks.clone());
        let out = Out { link, names, node, sequences: Mutex::default() };
        // One at a time, so that they arrive in order.
        Self { node, out: Arc::new(Gather::new(out, 1, tasks)) }
    }
}

impl fmt::Debug for RedisBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackplane").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What waits to be published.
struct Post {
    channel: String,
    payload: Bytes,
    answer: oneshot::Sender<Result<u64>>,
}

struct Out {
    link: Arc<Link>,
    names: Names,
    node: NodeId,
    sequences: Mutex<HashMap<String, u64>>,
}

impl Batches for Out {
    type Item = Post;

    fn limit(&self) -> usize {
        BATCH
    }

    async fn run(&self, batch: Vec<Post>) -> Outcome {
        let mut numbers = Vec::with_capacity(batch.len());
        let requests: Vec<Request> = {
            let mut sequences = self.sequences.lock();
            (batch.iter())
                .map(|post| {
                    let sequence = match sequences.get_mut(&post.channel) {
                        Some(sequence) => sequence,
                        None => sequences.entry(post.channel.clone()).or_default(),
                    };
                    *sequence += 1;
                    numbers.push(*sequence);
                    let mut command = redis::cmd("PUBLISH");
                    command.arg(self.names.channel(&post.channel));
                    command.arg(encode(self.node, *sequence, &post.payload));
                    command.into()
                })
                .collect()
        };
        match self.link.send(requests).await {
            Ok(answers) => {
                for ((post, number), answer) in batch.into_iter().zip(numbers).zip(answers) {
                    drop(post.answer.send(check(answer).map(|_| number)));
                }
                Outcome::Answered
            }
            Err(error) => {
                batch.into_iter().for_each(|post| drop(post.answer.send(Err(error.clone()))));
                if is_outage(&error) { Outcome::Down } else { Outcome::Answered }
            }
        }
    }

    /// The number is used up, so that subscribers see that something is missing.
    fn refuse(&self, item: Post) {
        *self.sequences.lock().entry(item.channel).or_default() += 1;
        let error = Error::unavailable("the server does not answer").with_component(COMPONENT);
        drop(item.answer.send(Err(error)));
    }
}

#[async_trait]
impl Backplane for RedisBackplane {
    fn name(&self) -> Cow<'_, str> {
        COMPONENT.into()
    }

    fn node(&self) -> NodeId {
        self.node
    }

    async fn publish(&self, channel: &str, payload: Bytes) -> Result<u64> {
        let (answer, answered) = oneshot::channel();
        self.out.add(Post { channel: channel.to_owned(), payload, answer });
        let published = answered.await.unwrap_or_else(|_| Err(error::closed()));
        published.map_err(|error| error.with_operation("publish").with_key(channel))
    }

    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, BackplaneEvent>> {
        let Out { link, names, .. } = self.out.batches();
        if link.tasks.is_closing() {
            return Err(error::closed().with_operation("subscribe"));
        }
        let (events, mut received) = mpsc::channel(BACKLOG);
        let subscriber = Subscriber { link: Arc::clone(link), channel: names.channel(channel), events };
        drop(link.tasks.spawn_until_closed(subscriber.run()));
        Ok(Box::pin(futures_util::stream::poll_fn(move |context| received.poll_recv(context))))
    }
}
