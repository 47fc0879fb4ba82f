//! Asks every server, again and again, what it is.

use super::node::{AsyncAside, Node};
use super::shared::Shared;
use super::sight::History;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Between two probes when somebody waits for a position.
const EAGER: Duration = Duration::from_millis(4);

/// Probes one server until the handle closes or goes away.
pub(super) async fn probe_forever(shared: Weak<Shared>, index: usize) {
    loop {
        let Some(alive) = shared.upgrade() else { return };
        let Some(node) = alive.nodes.get(index).map(Arc::clone) else { return };
        probe(&alive, &node).await;
        let clock = Arc::clone(&alive.recorder.clock);
        let interval = alive.options.probe_interval;
        drop(alive);
        let pause = if node.awaited.load(Relaxed) > 0 { EAGER.min(interval) } else { interval };
        let kicked = async {
            node.kick.notified().await;
            clock.sleep(EAGER.min(interval)).await;
        };
        let slept = clock.sleep(pause);
        futures_util::pin_mut!(kicked, slept);
        futures_util::future::select(kicked, slept).await;
    }
}

/// A server that has others beside it, and has not answered for so long or for a few intervals, is not asked by others.
const SILENT: Duration = Duration::from_secs(2);

/// One probe of one server.
pub(super) async fn probe(shared: &Shared, node: &Node) {
    let limit = shared.options.connect_timeout;
    let patience = SILENT.max(shared.options.probe_interval.saturating_mul(4)).min(limit);
    // With one server only there is nobody to ask instead.
    let found = node.look(if shared.nodes.len() > 1 { patience } else { limit }).await;
    let leads = found.as_ref().is_ok_and(|sight| !sight.recovering);
    if let Err(error) = &found {
        tracing::debug!(server = node.address, %error, "a database server does not answer");
    }
    let judged = shared.fleet.judge(node.index, found);
    if judged.renewed {
        tracing::info!(server = node.address, "a database server changed; its connections are renewed");
        node.renew();
    }
    if leads && let Some(timeline) = shared.fleet.wants_history() {
        match node.aside(limit, Ask(timeline)).await {
            Ok(Some(history)) => shared.fleet.set_history(history),
            // Tokens from before the promotion are judged by what was seen.
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the timeline's history could not be read"),
        }
    }
}

struct Ask(u32);

impl AsyncAside<Option<History>> for Ask {
    async fn run(self, connection: &mut sqlx::PgConnection) -> Result<Option<History>, sqlx::Error> {
        History::ask(connection, self.0).await
    }
}
