//! The end of [`Caches`].

use super::Caches;
use aeth_core::{ClockExt, Error, Lifecycle, Result, async_trait};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[async_trait]
impl Lifecycle for Caches {
    /// Refuses new calls, sends the writes that wait, lets running loads finish, sends the removals that wait, saves
    /// what is hot where [`CachesBuilder::warming`](crate::CachesBuilder::warming) says, and empties L1.
    async fn close(&self, deadline: Duration) -> Result<()> {
        let shared = &self.shared;
        let first = !shared.closed.swap(true, Ordering::SeqCst);
        let clock = shared.coarse.clock();
        let end = clock.monotonic() + deadline;
        // What is saved must be the state after the last change.
        let mut changing = true;
        if first && shared.warmth.is_some() {
            while shared.changing.load(Ordering::SeqCst) > 0 && clock.monotonic() < end {
                clock.sleep(Duration::from_millis(2)).await;
            }
            changing = shared.changing.load(Ordering::SeqCst) > 0;
        }
        let kept = if first && shared.warmth.is_some() { shared.kept() } else { Vec::new() };
        // A copy that nobody may change any more must not be served either.
        for space in shared.spaces() {
            space.begin_clear();
            shared.l1.sweep(space.id, |_| false);
        }
        // Before the tasks end, so that their writer works on it too.
        let drained = shared.drain_behind(deadline).await;
        let result = shared.tasks.close(end.saturating_sub(clock.monotonic())).await;
        if shared.recovery.len() > 0 {
            let left = end.saturating_sub(clock.monotonic());
            // Whether it came through shows in what is left.
            drop(clock.timeout(left, shared.recovery.replay()).await);
        }
        let mut saved = Ok(());
        if first && shared.warmth.is_some() {
            let left = end.saturating_sub(clock.monotonic());
            saved = match clock.timeout(left, shared.save_all(kept, !changing)).await {
                Ok(saved) => saved,
                Err(error) => Err(error),
            };
        }
        drained.and(result)?;
        match shared.recovery.len() {
            0 => saved.map_err(|error| error.with_operation("close").with_component("cache warming")),
            left => Err(Error::timeout(format!("{left} removals have not reached the lower tiers"))
                .with_operation("close")
                .with_component("cache")
                .with_remedy("the entries expire there by their own times; or clear the namespaces")),
        }
    }
}
