//! What the server tells unasked over the connection for commands: that the state of a namespace has changed.
//!
//! A look-up must know the state as it was when the value was read, or later. To ask along with every value costs
//! the server more than the value does. But a server remembers what a connection has read, and tells it when that
//! changes (*client tracking*, RESP3): over this very connection, at the moment of the change, and so before its
//! answer to anything that it does afterwards. While nothing was told since the state was asked for, it was still the
//! same when the server read the value whose answer is here.
//!
//! - Only states are followed (`OPTIN`): a value that changes is told to nobody.
//! - Any word counts for all namespaces, and so does another connection. Whatever is not certain is asked for.
//! - After [`TRUST`] it is asked for again all the same: something between here and the server may swallow words.
//! - Without tracking (a proxy, permissions, a cluster, where a state and its values have different servers) every
//!   look-up asks. Servers that speak Redis' language and work with many threads tell later than they answer; the one
//!   that is known to is not relied upon, and [`track`](super::RedisOptions::track) is for the others.

use redis::{Cmd, PushInfo, PushKind, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long silence counts.
pub(super) const TRUST: Duration = Duration::from_secs(1);

/// How often something was told, over all connections for commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(u64);

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    words: AtomicU64,
    tracks: AtomicBool,
}

impl Heard {
    /// Takes what the server tells. The connection calls it before it hands on any later answer.
    pub(super) fn ear(self: &Arc<Self>) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static {
        let heard = Arc::clone(self);
        move |push| {
            if push.kind == PushKind::Invalidate {
                heard.doubt();
            }
            Ok(())
        }
    }

    /// To be read before anything is sent; what is the same after the answer has come, nothing was told in between.
    pub(super) fn count(&self) -> Count {
        Count(self.words.load(Ordering::Acquire))
    }

    /// Whether states that are asked for are followed.
    pub(super) fn tracks(&self) -> bool {
        self.tracks.load(Ordering::Relaxed)
    }

    /// There is another connection, which follows nothing yet; to be told before anybody can use it.
    pub(super) fn over_another(&self, tracks: bool) {
        self.doubt();
        self.tracks.store(tracks, Ordering::Relaxed);
    }

    fn doubt(&self) {
        self.words.fetch_add(1, Ordering::AcqRel);
    }
}

/// Asks a connection to follow what it announces by [`announce`], and which server it is.
pub(super) fn begin() -> redis::Pipeline {
    let mut commands = redis::Pipeline::with_capacity(2);
    commands.cmd("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN");
    commands.cmd("INFO").arg("server");
    commands
}

/// Whether the answers to [`begin`] promise words in time.
pub(super) fn begun(answers: &[Value]) -> bool {
    let [Value::Okay, about] = answers else { return false };
    super::info::nodes(about).iter().any(|node| {
        // It answers from many threads, and a word may come after the answer that it should precede.
        node.text("redis_version").is_some() && node.text("dragonfly_version").is_none()
    })
}

/// Has the server follow what the next command reads.
pub(super) fn announce() -> Cmd {
    let mut command = redis::cmd("CLIENT");
    command.arg("CACHING").arg("YES");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_and_every_connection_is_a_reason_to_ask() {
        let heard = Arc::new(Heard::default());
        let before = heard.count();
        let ear = heard.ear();
        ear(PushInfo { kind: PushKind::Message, data: Vec::new() }).unwrap();
        assert_eq!(heard.count(), before, "a message of another kind");
        // Everything was flushed: no key is named.
        ear(PushInfo { kind: PushKind::Invalidate, data: vec![Value::Nil] }).unwrap();
        let told = heard.count();
        assert_ne!(told, before);
        heard.over_another(true);
        assert!(heard.count() != told && heard.tracks());
    }

    #[test]
    fn only_servers_that_tell_in_time_are_relied_upon() {
        let about = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        assert!(begun(&[Value::Okay, about("# Server\r\nredis_version:7.0.15\r\n")]));
        assert!(!begun(&[Value::Okay, about("redis_version:7.4.0\r\ndragonfly_version:df-1.27\r\n")]));
        assert!(!begun(&[Value::Nil, about("redis_version:7.0.15\r\n")]), "no tracking");
        assert!(!begun(&[Value::Okay, Value::Nil]), "nobody knows which server it is");
    }
}
