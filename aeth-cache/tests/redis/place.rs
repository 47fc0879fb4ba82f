//! Names and values that the tests of single tiers use.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "a test")]

use aeth_cache::redis::{Redis, RedisOptions, RedisTier};
use aeth_core::cache::Entry;
use aeth_core::{Key, Namespace, SystemClock};
use std::collections::HashMap;
use std::time::Duration;

pub(crate) fn tier(server: &testkit::Redis, change: impl FnOnce(RedisOptions) -> RedisOptions) -> RedisTier {
    let options = RedisOptions::new(server.url()).with_command_timeout(Duration::from_secs(10));
    Redis::open(change(options), SystemClock::shared()).unwrap().tier()
}

pub(crate) fn space() -> Namespace {
    Namespace::new("space").unwrap()
}

pub(crate) fn key(name: impl ToString) -> Key {
    Key::new(name.to_string()).unwrap()
}

pub(crate) fn entry(value: impl ToString) -> Entry {
    Entry::new(value.to_string(), 0, u64::MAX)
}

/// How often each command was called.
pub(crate) fn calls(server: &testkit::Redis) -> HashMap<String, u64> {
    let stats = server.cli(&["INFO", "commandstats"]);
    let line = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    stats.lines().filter_map(line).collect()
}
