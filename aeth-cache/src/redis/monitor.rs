//! The server's figures as metrics.

use super::error::COMPONENT;
use super::handle::Redis;
use super::info::{Info, nodes};
use aeth_core::observe::standard::labels;
use aeth_core::observe::{Collector, Descriptor, MetricKind, MetricsSource, Unit};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How the figures of several nodes become one.
#[derive(Clone, Copy)]
enum Fold {
    Sum,
    Greatest,
}

struct Figure {
    descriptor: Descriptor,
    field: &'static str,
    fold: Fold,
}

const fn sum(descriptor: Descriptor, field: &'static str) -> Figure {
    Figure { descriptor, field, fold: Fold::Sum }
}

const fn bytes(name: &'static str, help: &'static str) -> Descriptor {
    Descriptor::gauge(name, help).with_unit(Unit::Bytes)
}

/// Stands for the sum over the databases, which is no field.
const KEYS: &str = "";

const UP: Descriptor =
    Descriptor::gauge("aeth_redis_up", "Whether the last question for figures was answered.");

const FIGURES: [Figure; 16] = [
    sum(bytes("aeth_redis_memory_used_bytes", "Memory that the server uses."), "used_memory"),
    sum(bytes("aeth_redis_memory_max_bytes", "Memory that the server may use."), "maxmemory"),
    sum(bytes("aeth_redis_memory_resident_bytes", "Resident memory of the server."), "used_memory_rss"),
    Figure {
        descriptor: Descriptor::gauge("aeth_redis_memory_fragmentation", "Resident memory over used memory."),
        field: "mem_fragmentation_ratio",
        fold: Fold::Greatest,
    },
    sum(Descriptor::gauge("aeth_redis_keys", "Keys in all databases."), KEYS),
    sum(Descriptor::gauge("aeth_redis_clients", "Connected clients."), "connected_clients"),
    sum(Descriptor::gauge("aeth_redis_replicas", "Connected replicas."), "connected_slaves"),
    Figure {
        descriptor: Descriptor::gauge("aeth_redis_uptime_seconds", "Time since the server started.")
            .with_unit(Unit::Seconds),
        field: "uptime_in_seconds",
        fold: Fold::Greatest,
    },
    sum(Descriptor::gauge("aeth_redis_loading", "Whether the server is loading its data."), "loading"),
    sum(Descriptor::counter("aeth_redis_commands", "Commands processed."), "total_commands_processed"),
    sum(Descriptor::counter("aeth_redis_key_hits", "Look-ups of keys that were there."), "keyspace_hits"),
    sum(
        Descriptor::counter("aeth_redis_key_misses", "Look-ups of keys that were not there."),
        "keyspace_misses",
    ),
    sum(Descriptor::counter("aeth_redis_evictions", "Keys evicted for want of memory."), "evicted_keys"),
    sum(Descriptor::counter("aeth_redis_expirations", "Keys whose time was over."), "expired_keys"),
    sum(
        Descriptor::counter("aeth_redis_rejected_connections", "Connections refused."),
        "rejected_connections",
    ),
    sum(Descriptor::counter("aeth_redis_connections", "Connections accepted."), "total_connections_received"),
];

/// No answer has told the figure yet.
const UNKNOWN: u64 = f64::NAN.to_bits();

/// Asks the server for its figures every so often, in the background, and shows the last ones; made by
/// [`Redis::monitor`]. It asks until the connection is closed. Counters are the server's: they begin anew when it
/// restarts.
#[derive(Debug, Clone)]
pub struct RedisMonitor {
    seen: Arc<Seen>,
}

#[derive(Debug)]
struct Seen {
    figures: [AtomicU64; FIGURES.len()],
    up: AtomicU64,
}

impl Redis {
    /// Starts to gather the server's figures every `interval` (at least 100 ms).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn monitor(&self, interval: Duration) -> RedisMonitor {
        let figures = std::array::from_fn(|_| AtomicU64::new(UNKNOWN));
        let seen = Arc::new(Seen { figures, up: AtomicU64::new(UNKNOWN) });
        let (link, interval) = (Arc::clone(&self.link), interval.max(Duration::from_millis(100)));
        let (gathered, shown) = (Arc::downgrade(&seen), seen);
        drop(self.link.tasks.spawn_until_closed(async move {
            // Nobody looks any more when the last handle is gone.
            while let Some(seen) = gathered.upgrade() {
                let answer = link.ask(redis::cmd("INFO")).await;
                seen.take(&answer.as_ref().map(nodes).unwrap_or_default());
                drop(seen);
                link.clock.sleep(interval).await;
            }
        }));
        RedisMonitor { seen: shown }
    }
}

impl Seen {
    fn take(&self, nodes: &[Info]) {
        self.up.store(f64::from(u8::from(!nodes.is_empty())).to_bits(), Relaxed);
        if nodes.is_empty() {
            return;
        }
        for (figure, seen) in FIGURES.iter().zip(&self.figures) {
            let of = |node: &Info| match figure.field {
                KEYS => Some(node.keys()),
                field => node.number(field),
            };
            let values = nodes.iter().filter_map(of);
            let value = match figure.fold {
                Fold::Sum => values.reduce(|a, b| a + b),
                Fold::Greatest => values.reduce(f64::max),
            };
            seen.store(value.unwrap_or(f64::NAN).to_bits(), Relaxed);
        }
    }
}

impl MetricsSource for RedisMonitor {
    fn component(&self) -> Cow<'_, str> {
        COMPONENT.into()
    }

    fn collect(&self, out: &mut dyn Collector) {
        let labels = [(labels::TIER, COMPONENT)];
        let mut gauge = |descriptor: &Descriptor, value: f64| match descriptor.kind {
            // The server counts in whole numbers.
            MetricKind::Counter => out.counter(descriptor, &labels, value as u64),
            _ => out.gauge(descriptor, &labels, value),
        };
        for (figure, seen) in FIGURES.iter().zip(&self.seen.figures) {
            let value = f64::from_bits(seen.load(Relaxed));
            // No limit is not a limit of 0.
            let unlimited = figure.field == "maxmemory" && value == 0.0;
            if !value.is_nan() && !unlimited {
                gauge(&figure.descriptor, value);
            }
        }
        let up = f64::from_bits(self.seen.up.load(Relaxed));
        if !up.is_nan() {
            gauge(&UP, up);
        }
    }
}
