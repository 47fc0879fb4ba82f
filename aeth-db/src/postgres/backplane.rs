//! Messages between nodes, over LISTEN and NOTIFY.

use super::handle::PostgresDatabase;
use super::listen::{ListenEvent, PAYLOAD};
use crate::error::SqlxResultExt;
use aeth_core::coord::{Backplane, BackplaneEvent, Message, NodeId};
use aeth_core::{Error, Result};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::panic::Location;
use std::sync::Arc;

/// Format of a part: this byte, origin (16), sequence (8), which part (2) of how many (2), then what it carries.
const FORMAT: u8 = 1;
const HEADER: usize = 1 + 16 + 8 + 2 + 2;
/// What fits into a notification, which is text.
const PART: usize = PAYLOAD / 4 * 3 - HEADER;

/// A [`Backplane`] over a database, so that PostgreSQL alone can be the bus.
///
/// A message goes as one or more notifications of one transaction, so that it is heard whole or not at all, in the
/// order of the commits. It may have up to 16 MiB; notifications pass through a queue on the server that all
/// databases share, so large ones are better stored and named.
#[derive(Debug, Clone)]
pub struct PostgresBackplane {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: PostgresDatabase,
    node: NodeId,
    /// The last number of each channel; held while a message is sent, so that the order is the numbers'.
    sent: Mutex<HashMap<String, Arc<tokio::sync::Mutex<u64>>>>,
}

impl PostgresDatabase {
    /// A node of the fleet that speaks through this database.
    #[must_use]
    pub fn backplane(&self) -> PostgresBackplane {
        let inner = Inner { db: self.clone(), node: NodeId::random(), sent: Mutex::default() };
        PostgresBackplane { inner: Arc::new(inner) }
    }
}

/// The server's channel for one of ours: any name fits.
fn channel_of(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let mut channel = "aeth_".to_owned();
    for byte in digest.iter().take(20) {
        // Writing into a string cannot fail.
        let _: std::fmt::Result = write!(channel, "{byte:02x}");
    }
    channel
}

fn parts(node: NodeId, sequence: u64, payload: &[u8]) -> Result<Vec<String>> {
    let chunks: Vec<&[u8]> = if payload.is_empty() { vec![payload] } else { payload.chunks(PART).collect() };
    let count = u16::try_from(chunks.len())
        .ok()
        .filter(|_| payload.len() <= 16 << 20)
        .ok_or_else(|| Error::invalid("the message is larger than 16 MiB").with_operation("publish"))?;
    let part = |(index, chunk): (u16, &&[u8])| {
        let mut bytes = Vec::with_capacity(HEADER + chunk.len());
        bytes.push(FORMAT);
        bytes.extend(node.get().to_le_bytes());
        bytes.extend(sequence.to_le_bytes());
        bytes.extend(index.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend_from_slice(chunk);
        BASE64.encode(bytes)
    };
    Ok((0..count).zip(&chunks).map(part).collect())
}

#[async_trait]
impl Backplane for PostgresBackplane {
    fn name(&self) -> Cow<'_, str> {
        "postgres".into()
    }

    fn node(&self) -> NodeId {
        self.inner.node
    }

    async fn publish(&self, channel: &str, payload: Bytes) -> Result<u64> {
        let named =
            |error: Error| error.with_operation("publish").with_component("database").with_key(channel);
        let last = Arc::clone(self.inner.sent.lock().entry(channel.to_owned()).or_default());
        let mut last = last.lock().await;
        let sequence = *last + 1;
        let parts = parts(self.inner.node, sequence, &payload).map_err(named)?;
        // Whatever becomes of it, the number is used: one that was lost shows as a gap.
        *last = sequence;
        let mut conn = self.inner.db.write_at(Location::caller()).await.map_err(named)?;
        let sql = "SELECT pg_notify($1, p) FROM unnest($2::text[]) WITH ORDINALITY AS u(p, n) ORDER BY n";
        let notify = sqlx::query(sql).bind(channel_of(channel)).bind(parts);
        notify.execute(&mut conn).await.storage().map_err(named)?;
        Ok(sequence)
    }

    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, BackplaneEvent>> {
        let events = self.inner.db.listen(&channel_of(channel)).await?;
        let state = (events, Hearing::default());
        let heard = futures_util::stream::unfold(state, |(mut events, mut hearing)| async move {
            loop {
                if let Some(event) = hearing.out.pop_front() {
                    return Some((event, (events, hearing)));
                }
                hearing.hear(events.next().await?);
            }
        });
        Ok(heard.boxed())
    }
}

/// What one subscription has heard of each origin.
#[derive(Debug, Default)]
struct Hearing {
    origins: HashMap<u128, Origin>,
    out: VecDeque<BackplaneEvent>,
}

#[derive(Debug, Default)]
struct Origin {
    last: Option<u64>,
    /// (sequence, parts so far, their bytes).
    partial: Option<(u64, u16, Vec<u8>)>,
}

impl Hearing {
    fn hear(&mut self, event: ListenEvent) {
        match event {
            ListenEvent::Connected => self.out.push_back(BackplaneEvent::Connected),
            ListenEvent::Disconnected => self.out.push_back(BackplaneEvent::Disconnected),
            ListenEvent::Gap => {
                self.origins.clear();
                self.out.push_back(BackplaneEvent::Gap);
            }
            ListenEvent::Notification { payload, .. } => {
                if self.part(&payload).is_none() {
                    // Not ours, or damaged: somebody meant to say something.
                    self.out.push_back(BackplaneEvent::Gap);
                }
            }
        }
    }

    /// Takes a part in; `None` when it makes no sense.
    fn part(&mut self, text: &str) -> Option<()> {
        let bytes = BASE64.decode(text).ok()?;
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let (format, header) = header.split_first()?;
        let (origin, header) = header.split_first_chunk::<16>()?;
        let (sequence, header) = header.split_first_chunk::<8>()?;
        let (index, header) = header.split_first_chunk::<2>()?;
        let (index, count) = (u16::from_le_bytes(*index), u16::from_le_bytes(*header.first_chunk::<2>()?));
        let (origin, sequence) = (u128::from_le_bytes(*origin), u64::from_le_bytes(*sequence));
        if *format != FORMAT || index >= count {
            return None;
        }
        let known = self.origins.entry(origin).or_default();
        let mut body = match known.partial.take() {
            _ if index == 0 => Vec::new(),
            Some((partial, next, body)) if partial == sequence && next == index => body,
            _ => return None,
        };
        body.extend_from_slice(rest);
        if index + 1 < count {
            known.partial = Some((sequence, index + 1, body));
            return Some(());
        }
        if known.last.is_some_and(|last| sequence > last + 1) {
            self.out.push_back(BackplaneEvent::Gap);
        }
        known.last = Some(sequence);
        let message = Message::new(NodeId::new(origin), sequence, body.into());
        self.out.push_back(BackplaneEvent::Message(message));
        Some(())
    }
}
