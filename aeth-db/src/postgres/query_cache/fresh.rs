//! Which results were found to hold, and what has been heard since.

use super::Inner;
use crate::postgres::listen::ListenEvent;
use aeth_core::Key;
use futures_util::StreamExt;
use parking_lot::Mutex;
use sqlx::postgres::types::Oid;
use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

/// Results that are remembered; those that are not are asked about.
const REMEMBERED: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Freshness {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts what was heard.
    epoch: u64,
    /// When a table was last heard to have changed.
    changed: HashMap<u32, u64>,
    /// What was seen before this may have missed something.
    floor: u64,
    listening: bool,
    seen: HashMap<Key, u64>,
}

impl Freshness {
    /// Now, before the database is asked.
    pub(super) fn epoch(&self) -> u64 {
        self.state.lock().epoch
    }

    /// A result was found to hold by a look that began at `epoch`.
    pub(super) fn seen(&self, key: Key, epoch: u64) {
        let mut state = self.state.lock();
        if state.seen.len() >= REMEMBERED {
            state.seen.clear();
        }
        state.seen.insert(key, epoch);
    }

    /// Whether it held when it was looked at, and nothing was heard since.
    pub(super) fn holds(&self, key: &Key, tables: &[Oid]) -> bool {
        let state = self.state.lock();
        let Some(&seen) = state.seen.get(key) else { return false };
        let heard = tables.iter().filter_map(|oid| state.changed.get(&oid.0)).max().copied().unwrap_or(0);
        state.listening && seen >= state.floor && seen >= heard
    }

    fn hear(&self, event: &ListenEvent) {
        let mut state = self.state.lock();
        state.epoch += 1;
        let epoch = state.epoch;
        match event {
            ListenEvent::Connected => {
                // What was seen before the subscription stood proves nothing.
                (state.floor, state.listening) = (epoch, true);
            }
            ListenEvent::Notification { payload, .. } => match payload.parse() {
                Ok(table) => {
                    state.changed.insert(table, epoch);
                }
                Err(_) => state.floor = epoch,
            },
            ListenEvent::Gap => state.floor = epoch,
            ListenEvent::Disconnected => (state.floor, state.listening) = (epoch, false),
        }
    }
}

/// Hears of changes until the database is closed or the cache is gone.
pub(super) async fn hear(cache: Weak<Inner>) {
    let Some(inner) = cache.upgrade() else { return };
    let clock = std::sync::Arc::clone(&inner.db.shared.recorder.clock);
    // Behind a pooler nobody can listen: every result is looked at then.
    let Ok(mut events) = inner.db.listen("aeth_change").await else { return };
    drop(inner);
    loop {
        // Once in a while, so that a cache that nobody has any more is noticed.
        let sleep = clock.sleep(Duration::from_secs(30));
        let next = futures_util::future::select(events.next(), sleep).await;
        let Some(inner) = cache.upgrade() else { return };
        match next {
            futures_util::future::Either::Left((Some(event), _)) => inner.fresh.hear(&event),
            futures_util::future::Either::Left((None, _)) => return,
            futures_util::future::Either::Right(_) => {}
        }
    }
}
