//! The health of the server.

use super::error::COMPONENT;
use super::handle::Redis;
use super::info::{Info, nodes};
use aeth_core::observe::{Health, HealthCheck};
use aeth_core::{Error, async_trait};
use std::borrow::Cow;

/// From this part of its maxmemory on, a server that evicts nothing is about to refuse writes.
const NEARLY_FULL: f64 = 0.95;

/// Down when it does not answer, loads, or takes no writes; degraded when it cannot save, has lost its replicas'
/// primary, or is nearly full and evicts nothing.
#[async_trait]
impl HealthCheck for Redis {
    fn component(&self) -> Cow<'_, str> {
        COMPONENT.into()
    }

    async fn check(&self) -> Health {
        let start = self.link.clock.monotonic();
        let asked = self.link.ask(redis::cmd("INFO")).await;
        let latency = self.link.clock.monotonic().saturating_sub(start);
        let health = match asked {
            Ok(answer) => verdict(&nodes(&answer), self.link.dialer.is_cluster()),
            // A user that may not ask for figures may still read and write.
            Err(error) if error.kind() == aeth_core::ErrorKind::Denied => match self.ping().await {
                Ok(()) => Health::up(),
                Err(error) => Health::from(&error),
            },
            Err(error) => Health::from(&error),
        };
        health.with_latency(latency)
    }
}

fn verdict(nodes: &[Info], cluster: bool) -> Health {
    if nodes.is_empty() {
        return Health::from(
            &Error::unavailable("the server tells nothing of itself").with_component(COMPONENT),
        );
    }
    let judged = nodes.iter().map(|node| judge(node, cluster)).max_by_key(|health| health.status);
    let mut health = judged.unwrap_or_else(Health::up);
    let sum = |field: &str| nodes.iter().filter_map(|node| node.number(field)).sum::<f64>();
    health = health.with_observed("memory", sum("used_memory"), "bytes").with_observed(
        "clients",
        sum("connected_clients"),
        "",
    );
    if sum("maxmemory") > 0.0 {
        health = health.with_observed("maxmemory", sum("maxmemory"), "bytes");
    }
    health
}

fn judge(node: &Info, cluster: bool) -> Health {
    let is = |field: &str, value: &str| node.text(field) == Some(value);
    if is("loading", "1") {
        return Health::down("the server is loading its data; wait until it has");
    }
    if !cluster && is("role", "slave") {
        return Health::down("the server is a read-only replica; connect to the primary");
    }
    if is("master_link_status", "down") {
        return Health::degraded("a replica has lost its primary");
    }
    if is("rdb_last_bgsave_status", "err") {
        return Health::degraded("the last snapshot failed; see the server's log and disk");
    }
    if is("aof_last_write_status", "err") || is("aof_last_bgrewrite_status", "err") {
        return Health::degraded("the append-only file cannot be written; see the server's log and disk");
    }
    match (node.number("used_memory"), node.number("maxmemory")) {
        (Some(used), Some(limit))
            if limit > 0.0 && used > limit * NEARLY_FULL && is("maxmemory_policy", "noeviction") =>
        {
            Health::degraded(
                "the server is nearly full and evicts nothing; set maxmemory-policy to allkeys-lfu",
            )
        }
        _ => Health::up(),
    }
}
