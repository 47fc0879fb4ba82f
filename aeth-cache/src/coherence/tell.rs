//! Telling others.

use super::{CHANNEL, Coherence, News};
use crate::caches::Shared;
use aeth_core::{Clock, ClockExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Unsent messages kept; beyond it each namespace's become one.
const LIMIT: usize = 4096;
/// Keys or tags in one message.
const PART: usize = 1024;
const CALL: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

impl Shared {
    /// Tells the fleet what changed here. What cannot be sent is kept and sent later: the change itself stands,
    /// and the copies of others end by their own times meanwhile.
    pub(crate) async fn tell(self: &Arc<Self>, news: News) {
        let Some(coherence) = &self.coherence else { return };
        for part in split(news) {
            // Behind others that wait, not past them.
            let waiting = !coherence.unsent.lock().is_empty();
            if waiting || !coherence.send(&**self.coarse.clock(), &part).await {
                self.keep(coherence, part);
            }
        }
    }

    fn keep(self: &Arc<Self>, coherence: &Coherence, news: News) {
        {
            let mut unsent = coherence.unsent.lock();
            unsent.push_back(news);
            if unsent.len() > LIMIT {
                let mut names: Vec<_> = unsent.iter().map(|news| news.namespace().clone()).collect();
                names.sort_unstable();
                names.dedup();
                *unsent = names.into_iter().map(News::All).collect();
            }
        }
        if coherence.sending.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::clone(self);
        drop(self.tasks.spawn_until_closed(async move {
            if let Some(coherence) = &shared.coherence {
                coherence.resend(&**shared.coarse.clock()).await;
            }
        }));
    }
}

impl Coherence {
    async fn send(&self, clock: &dyn Clock, news: &News) -> bool {
        match clock.timeout(CALL, self.backplane.publish(CHANNEL, news.encode())).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) | Err(error) => {
                tracing::debug!(namespace = %news.namespace(), %error, "a change could not be told to others");
                false
            }
        }
    }

    async fn resend(&self, clock: &dyn Clock) {
        loop {
            clock.sleep(PAUSE).await;
            loop {
                let Some(next) = self.unsent.lock().front().cloned() else { break };
                if !self.send(clock, &next).await {
                    break;
                }
                let mut unsent = self.unsent.lock();
                // Unless an overflow has put another one there.
                if unsent.front() == Some(&next) {
                    unsent.pop_front();
                }
            }
            if self.unsent.lock().is_empty() {
                self.sending.store(false, Ordering::Release);
                if self.unsent.lock().is_empty() || self.sending.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        }
    }
}

fn split(news: News) -> Vec<News> {
    match news {
        News::Keys(namespace, keys) => {
            keys.chunks(PART).map(|keys| News::Keys(namespace.clone(), keys.to_vec())).collect()
        }
        News::Tags(namespace, tags) => {
            tags.chunks(PART).map(|tags| News::Tags(namespace.clone(), tags.to_vec())).collect()
        }
        News::All(namespace) => vec![News::All(namespace)],
    }
}
