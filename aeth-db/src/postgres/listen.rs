//! LISTEN and NOTIFY: one session for all channels, and losses reported.

use super::handle::PostgresDatabase;
use super::shared::Shared;
use crate::error::{SqlxResultExt, closed, from_sqlx};
use aeth_core::{ClockExt, Error, Result};
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::Executor;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};

/// Notifications that wait for one subscriber; one who is slower misses some, and is told.
const BACKLOG: usize = 4096;
/// How often the session is asked whether it lives, and whether its server is still the primary.
const WATCH: Duration = Duration::from_secs(1);
/// Between two attempts to connect, at most.
const PAUSE: Duration = Duration::from_secs(1);
/// PostgreSQL cuts longer names off without a word.
const NAME: usize = 63;
/// The longest payload (<https://www.postgresql.org/docs/current/sql-notify.html>).
pub(super) const PAYLOAD: usize = 7999;

/// What a subscriber sees.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenEvent {
    /// The subscription stands: what is notified from now on arrives, or a gap is reported.
    Connected,
    /// A notification.
    Notification {
        /// Its channel.
        channel: Arc<str>,
        /// Its payload.
        payload: Arc<str>,
    },
    /// Notifications may have been lost: whatever they may have said must be assumed.
    Gap,
    /// The connection is lost; `Gap` and `Connected` follow when it is back.
    Disconnected,
}

#[derive(Debug)]
pub(super) struct Subscriber {
    channel: Arc<str>,
    events: Sender<ListenEvent>,
    missed: bool,
}

impl Subscriber {
    /// False when nobody listens any more.
    fn tell(&mut self, event: ListenEvent) -> bool {
        if self.missed {
            match self.events.try_send(ListenEvent::Gap) {
                Ok(()) => self.missed = false,
                Err(TrySendError::Full(_)) => return true,
                Err(TrySendError::Closed(_)) => return false,
            }
        }
        match self.events.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed = true;
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }
}

impl PostgresDatabase {
    /// The notifications of a channel from now on. All subscriptions of the handle share one session beside the
    /// pools, on the primary; it is opened anew by itself, also on another server after a promotion, and what may
    /// have been lost meanwhile is told as a [`Gap`](ListenEvent::Gap). The stream ends when the database is closed.
    ///
    /// # Errors
    /// `Invalid` for a name that is empty or longer than 63 bytes; `Unsupported` behind a pooler for transactions;
    /// `Closed`. A server that is down is no error: the stream begins with `Disconnected`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn listen(&self, channel: &str) -> Result<BoxStream<'static, ListenEvent>> {
        let named =
            |error: Error| error.with_operation("listen").with_component("database").with_key(channel);
        check(channel).map_err(named)?;
        if self.shared.pooled() {
            return Err(named(Error::unsupported("a pooler for transactions keeps no session to listen")));
        }
        let (events, receiver) = mpsc::channel(BACKLOG);
        let subscriber = Subscriber { channel: channel.into(), events, missed: false };
        let hub = self.shared.hub.get_or_init(|| {
            let (sender, commands) = mpsc::channel(16);
            // The handle is not needed: close ends the task.
            drop(self.shared.tasks.spawn_until_closed(serve(Arc::downgrade(&self.shared), commands)));
            sender
        });
        hub.send(subscriber).await.map_err(|_| named(closed()))?;
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        });
        Ok(stream.boxed())
    }

    /// Notifies all who listen on a channel, of whatever process.
    ///
    /// # Errors
    /// `Invalid` for a name as in [`listen`](Self::listen), or a payload of more than 7999 bytes or with a zero
    /// byte; as [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Whether it was sent is unknown.
    #[track_caller]
    pub fn notify(&self, channel: &str, payload: &str) -> impl Future<Output = Result<()>> + Send {
        let place = Location::caller();
        async move {
            let named =
                |error: Error| error.with_operation("notify").with_component("database").with_key(channel);
            check(channel).map_err(named)?;
            if payload.len() > PAYLOAD || payload.contains('\0') {
                return Err(named(
                    Error::invalid("the payload is longer than 7999 bytes or holds a zero byte")
                        .with_remedy("store it in a table and send its key"),
                ));
            }
            let mut conn = self.write_at(place).await?;
            let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(payload);
            notify.execute(&mut conn).await.storage().map_err(named)?;
            Ok(())
        }
    }
}

fn check(channel: &str) -> Result<()> {
    if channel.is_empty() || channel.len() > NAME || channel.contains('\0') {
        return Err(Error::invalid("a channel's name must have 1 to 63 bytes, none of them zero"));
    }
    Ok(())
}

type Subscribers = HashMap<Arc<str>, Vec<Subscriber>>;

/// Tells all subscribers; those who are gone are forgotten.
fn tell_all(subscribers: &mut Subscribers, event: &ListenEvent) {
    for list in subscribers.values_mut() {
        list.retain_mut(|subscriber| subscriber.tell(event.clone()));
    }
    subscribers.retain(|_, list| !list.is_empty());
}

/// Keeps the session, until the handle closes or goes away.
async fn serve(shared: Weak<Shared>, mut commands: Receiver<Subscriber>) {
    let mut subscribers = Subscribers::new();
    let mut pause = PAUSE / 32;
    loop {
        let Some(alive) = shared.upgrade() else { return };
        let clock = Arc::clone(&alive.recorder.clock);
        let limit = alive.options.connect_timeout;
        let opened = clock.timeout(limit, Box::pin(open(&alive, &subscribers))).await;
        drop(alive);
        match opened.and_then(|opened| opened) {
            Ok((mut listener, server)) => {
                pause = PAUSE / 32;
                tell_all(&mut subscribers, &ListenEvent::Connected);
                let conversation = converse(&shared, server, &mut listener, &mut subscribers, &mut commands);
                let ended = Box::pin(conversation).await;
                if ended.is_none() {
                    return;
                }
                tell_all(&mut subscribers, &ListenEvent::Disconnected);
                // Before whatever comes next.
                tell_all(&mut subscribers, &ListenEvent::Gap);
            }
            Err(error) => {
                tracing::debug!(%error, "no session to listen");
                let sleep = clock.sleep(pause);
                futures_util::pin_mut!(sleep);
                loop {
                    tokio::select! {
                        () = &mut sleep => break,
                        command = commands.recv() => {
                            let Some(mut subscriber) = command else { return };
                            if subscriber.tell(ListenEvent::Disconnected) && subscriber.tell(ListenEvent::Gap) {
                                let channel = Arc::clone(&subscriber.channel);
                                subscribers.entry(channel).or_default().push(subscriber);
                            }
                        }
                    }
                }
                pause = (pause * 2).min(PAUSE);
            }
        }
    }
}

/// Opens the session on the primary, and listens on every channel.
async fn open(shared: &Shared, subscribers: &Subscribers) -> Result<(PgListener, usize)> {
    let (index, _) = shared.fleet.primary().ok_or_else(|| Error::unavailable("there is no primary"))?;
    let node = shared.nodes.get(index).ok_or_else(|| Error::unavailable("there is no primary"))?;
    // sqlx's listener wants a pool; this one is never more than its connection.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .connect_lazy_with(node.opener.connect.clone());
    let mut listener = Box::pin(PgListener::connect_with(&pool)).await.map_err(from_sqlx)?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    let channels = subscribers.keys().map(|channel| &**channel);
    Box::pin(listener.listen_all(channels)).await.map_err(from_sqlx)?;
    Ok((listener, index))
}

/// Hands on what comes, until the session ends (`Some`) or nobody needs it any more (`None`).
async fn converse(
    shared: &Weak<Shared>,
    server: usize,
    listener: &mut PgListener,
    subscribers: &mut Subscribers,
    commands: &mut Receiver<Subscriber>,
) -> Option<()> {
    let mut watch = tokio::time::interval(WATCH);
    watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = commands.recv() => {
                let mut subscriber = command?;
                let channel = Arc::clone(&subscriber.channel);
                if !subscribers.contains_key(&channel) {
                    let listening = Box::pin(listener.listen(&channel));
                    let listened = tokio::time::timeout(WATCH * 10, listening).await;
                    if !matches!(listened, Ok(Ok(()))) {
                        subscribers.entry(channel).or_default().push(subscriber);
                        return Some(());
                    }
                }
                if subscriber.tell(ListenEvent::Connected) {
                    subscribers.entry(channel).or_default().push(subscriber);
                }
            }
            received = listener.try_recv() => match received {
                Ok(Some(notification)) => {
                    let channel: Arc<str> = notification.channel().into();
                    let Some(list) = subscribers.get_mut(&channel) else { continue };
                    let payload: Arc<str> = notification.payload().into();
                    list.retain_mut(|subscriber| {
                        let (channel, payload) = (Arc::clone(&channel), Arc::clone(&payload));
                        subscriber.tell(ListenEvent::Notification { channel, payload })
                    });
                    if list.is_empty() {
                        subscribers.remove(&channel);
                        if !matches!(
                            tokio::time::timeout(WATCH * 10, listener.unlisten(&channel)).await,
                            Ok(Ok(()))
                        ) {
                            return Some(());
                        }
                    }
                }
                Ok(None) | Err(_) => return Some(()),
            },
            _ = watch.tick() => {
                let alive = shared.upgrade()?;
                if alive.fleet.primary().is_some_and(|(index, _)| index != server) {
                    // Another server is the primary now: what is notified there is not heard here.
                    return Some(());
                }
                drop(alive);
                // A connection that was cut off without a word never says so by itself.
                let asked = tokio::time::timeout(WATCH * 10, (&mut *listener).execute("SELECT 1")).await;
                if !matches!(asked, Ok(Ok(_))) {
                    return Some(());
                }
            }
        }
    }
}
