//! One subscription: a connection of its own that comes back, and what its subscriber must know.

use super::error::COMPONENT;
use super::link::Link;
use aeth_core::coord::{BackplaneEvent, Message, NodeId};
use aeth_core::{ClockExt, Error, Result};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use redis::aio::{PubSubSink, PubSubStream};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// What stands before a message's payload: the origin and the sequence number, big-endian.
const HEADER: usize = 24;
/// How long a silent connection is trusted.
const QUIET: Duration = Duration::from_secs(3);
/// The first and the last pause before the next attempt.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

pub(super) fn encode(origin: NodeId, sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + payload.len());
    out.extend_from_slice(&origin.get().to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

fn decode(bytes: &[u8]) -> Option<Message> {
    let (origin, rest) = bytes.split_first_chunk::<16>()?;
    let (sequence, payload) = rest.split_first_chunk::<8>()?;
    let origin = NodeId::new(u128::from_be_bytes(*origin));
    Some(Message::new(origin, u64::from_be_bytes(*sequence), Bytes::copy_from_slice(payload)))
}

pub(super) struct Subscriber {
    pub(super) link: Arc<Link>,
    pub(super) channel: String,
    pub(super) events: Sender<BackplaneEvent>,
}

impl Subscriber {
    /// Until the reader of the events is gone.
    pub(super) async fn run(self) {
        let (mut lost, mut failures) = (false, 0_u32);
        while !self.events.is_closed() {
            match self.connect().await {
                Ok((sink, stream)) => {
                    failures = 0;
                    let tell = [lost.then_some(BackplaneEvent::Gap), Some(BackplaneEvent::Connected)];
                    for event in tell.into_iter().flatten() {
                        if self.events.send(event).await.is_err() {
                            return;
                        }
                    }
                    self.listen(sink, stream).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "the subscription cannot connect");
                    failures = (failures + 1).min(10);
                }
            }
            if (failures < 2 || !lost) && self.events.send(BackplaneEvent::Disconnected).await.is_err() {
                return;
            }
            lost = true;
            let pause = (BACKOFF.0 * 2_u32.pow(failures)).min(BACKOFF.1);
            let pause = self.link.clock.sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
            select(pause, pin!(self.events.closed())).await;
        }
    }

    async fn connect(&self) -> Result<(PubSubSink, PubSubStream)> {
        let limit = self.link.options.connect_timeout;
        let connecting = async {
            let (mut sink, stream) = Box::pin(self.link.dialer.subscriber()).await?.split();
            let subscribed = sink.subscribe(&self.channel).await;
            subscribed.map_err(|failure| super::error::convert(&failure))?;
            Ok((sink, stream))
        };
        self.link.clock.timeout(limit, connecting).await.unwrap_or_else(|_| {
            Err(Error::timeout(format!("no subscription within {limit:?}")).with_component(COMPONENT))
        })
    }

    /// Until the connection is lost or the reader is gone.
    async fn listen(&self, mut sink: PubSubSink, mut stream: PubSubStream) {
        let mut last: HashMap<NodeId, u64> = HashMap::new();
        let mut behind = false;
        loop {
            let quiet = self.link.clock.sleep(QUIET);
            let message = match select(stream.next(), select(quiet, pin!(self.events.closed()))).await {
                Either::Left((Some(message), _)) => message,
                Either::Left((None, _)) | Either::Right((Either::Right(_), _)) => return,
                Either::Right((Either::Left(_), _)) => {
                    let limit = self.link.options.command_timeout;
                    match self.link.clock.timeout(limit, sink.ping::<redis::Value>()).await {
                        Ok(Ok(_)) => continue,
                        _ => return,
                    }
                }
            };
            // Others may publish on our channel; what is not ours says nothing.
            let Some(message) = decode(message.get_payload_bytes()) else { continue };
            let before = last.get(&message.origin).copied();
            if before.is_some_and(|before| message.sequence <= before) {
                continue;
            }
            let skipped = before.is_some_and(|before| message.sequence > before + 1);
            last.insert(message.origin, message.sequence);
            // A reader that is too slow loses messages, and is told as soon as it takes some.
            if skipped || behind {
                match self.events.try_send(BackplaneEvent::Gap) {
                    Ok(()) => behind = false,
                    Err(TrySendError::Full(_)) => {
                        behind = true;
                        continue;
                    }
                    Err(TrySendError::Closed(_)) => return,
                }
            }
            match self.events.try_send(BackplaneEvent::Message(message)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => behind = true,
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }
}
