//! What differs from good practice for a cache, with the evidence. It changes nothing.

use super::handle::Redis;
use super::info::{Info, nodes};
use super::link::check;
use aeth_core::{ErrorKind, Result};
use redis::Value;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Costs performance, or will cost it.
    Warning,
    /// Loses writes or data, or is about to.
    Critical,
}

/// One thing that could be better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Advice {
    /// The rule that found it; does not change between releases.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub finding: String,
    /// The server's figures and settings that it rests on, by name.
    pub evidence: Vec<(String, String)>,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Redis {
    /// Reads the server's figures, settings and slow commands and says what could be better, the most important
    /// first. Settings that the user may not read are left out.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Denied`, `Closed`: the figures cannot be read.
    ///
    /// # Cancel safety
    /// Cancel-safe: it only reads.
    pub async fn advise(&self) -> Result<Vec<Advice>> {
        let ask = async |command: redis::Cmd| {
            self.link.ask(command).await.map_err(|error| error.with_operation("advise"))
        };
        let nodes = nodes(&ask(redis::cmd("INFO")).await?);
        let mut advice = Vec::new();
        for node in &nodes {
            RULES.iter().for_each(|rule| advice.extend(rule(node)));
        }
        let mut slow = redis::cmd("SLOWLOG");
        slow.arg("GET").arg(SLOWEST_OF);
        match ask(slow).await {
            Ok(answer) => advice.extend(slow_commands(&check(answer)?)),
            Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unsupported) => {}
            Err(error) => return Err(error),
        }
        advice.sort_by_key(|advice| std::cmp::Reverse(advice.severity));
        Ok(advice)
    }
}

/// How many slow commands are looked at, and how many names are shown.
const SLOWEST_OF: u32 = 128;
const SHOWN: usize = 5;

type Rule = fn(&Info) -> Option<Advice>;

const RULES: [Rule; 7] = [no_limit, no_eviction, evicting, persistence, save_failed, fragmentation, refused];

fn advice(
    rule: &'static str,
    severity: Severity,
    finding: String,
    (node, fields): (&Info, &[&str]),
    remedy: &'static str,
) -> Advice {
    let shown = |field: &&str| Some(((*field).to_owned(), node.text(field)?.to_owned()));
    Advice { rule, severity, finding, evidence: fields.iter().filter_map(shown).collect(), remedy }
}

fn no_limit(node: &Info) -> Option<Advice> {
    (node.number("maxmemory")? == 0.0).then(|| {
        advice(
            "memory-limit",
            Severity::Critical,
            "no memory limit is set: a growing cache ends when the system kills the server".into(),
            (node, &["maxmemory", "used_memory", "total_system_memory"]),
            "set maxmemory to what the machine can spare, with room for snapshots (half of it when they are on)",
        )
    })
}

fn no_eviction(node: &Info) -> Option<Advice> {
    (node.text("maxmemory_policy")? == "noeviction").then(|| {
        advice(
            "eviction-policy",
            Severity::Warning,
            "nothing is evicted: a full server refuses writes".into(),
            (node, &["maxmemory_policy", "maxmemory", "used_memory"]),
            "set maxmemory-policy to volatile-lfu (entries carry a time to live, tag states do not) or allkeys-lfu",
        )
    })
}

/// A cache that evicts more than it lets expire is too small.
fn evicting(node: &Info) -> Option<Advice> {
    let (evicted, expired) = (node.number("evicted_keys")?, node.number("expired_keys")?);
    let (hits, misses) = (node.number("keyspace_hits")?, node.number("keyspace_misses")?);
    (evicted > 1000.0 && evicted > expired && misses > hits / 4.0).then(|| {
        advice(
            "memory-too-small",
            Severity::Warning,
            format!(
                "{evicted} entries were pushed out, more than ended by their time, and many look-ups miss"
            ),
            (node, &["evicted_keys", "expired_keys", "keyspace_hits", "keyspace_misses", "maxmemory"]),
            "raise maxmemory, compress large values, or shorten the times of entries that are seldom read",
        )
    })
}

fn persistence(node: &Info) -> Option<Advice> {
    let (changes, aof) = (node.number("rdb_changes_since_last_save")?, node.text("aof_enabled")?);
    let saved = node.number("rdb_last_save_time")?;
    let up_since = node.number("server_time_usec")? / 1e6 - node.number("uptime_in_seconds")?;
    (aof == "0" && saved <= up_since + 1.0 && changes > 0.0).then(|| {
        advice(
            "persistence",
            Severity::Note,
            "nothing was saved since the server started: after a restart the cache is cold".into(),
            (node, &["aof_enabled", "rdb_changes_since_last_save", "uptime_in_seconds"]),
            "set save or appendonly yes when a cold cache would overload what is behind it",
        )
    })
}

fn save_failed(node: &Info) -> Option<Advice> {
    let failed = |field| node.text(field) == Some("err");
    (failed("rdb_last_bgsave_status") || failed("aof_last_write_status")).then(|| {
        advice(
            "save-failed",
            Severity::Critical,
            "the server cannot save its data, and may refuse writes for it".into(),
            (node, &["rdb_last_bgsave_status", "aof_last_write_status"]),
            "see the server's log; mostly the disk is full or memory overcommit is off",
        )
    })
}

fn fragmentation(node: &Info) -> Option<Advice> {
    let (ratio, used) = (node.number("mem_fragmentation_ratio")?, node.number("used_memory")?);
    // A small server's resident memory is mostly itself.
    (ratio > 1.5 && used > 256.0 * 1024.0 * 1024.0).then(|| {
        advice(
            "fragmentation",
            Severity::Warning,
            format!("the server holds {ratio} times the memory that it uses"),
            (node, &["mem_fragmentation_ratio", "used_memory", "used_memory_rss", "mem_allocator"]),
            "set activedefrag yes, or restart the server at a quiet time",
        )
    })
}

fn refused(node: &Info) -> Option<Advice> {
    let refused = node.number("rejected_connections")?;
    (refused > 0.0).then(|| {
        advice(
            "refused-connections",
            Severity::Warning,
            format!("{refused} connections were refused because there were too many"),
            (node, &["rejected_connections", "maxclients", "connected_clients"]),
            "raise maxclients, or look for clients that leak connections",
        )
    })
}

/// The names of the slow commands with the longest time of each; arguments are nobody's business.
fn slow_commands(answer: &Value) -> Option<Advice> {
    let mut longest: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    collect_slow(answer, &mut longest);
    let count: u64 = longest.values().map(|(count, _)| count).sum();
    let mut by_time: Vec<_> = longest.into_iter().collect();
    by_time.sort_by_key(|(_, (_, micros))| std::cmp::Reverse(*micros));
    let shown = by_time.into_iter().take(SHOWN).map(|(name, (count, micros))| {
        let millis = Duration::from_micros(micros).as_secs_f64() * 1e3;
        (name, format!("{count} times, at worst {millis:.1} ms"))
    });
    (count > 0).then(|| Advice {
        rule: "slow-commands",
        severity: Severity::Note,
        finding: format!("the last {count} slow commands each held up every other client"),
        evidence: shown.collect(),
        remedy: "see `SLOWLOG GET`, and avoid KEYS, large batches and long scripts",
    })
}

/// Entries are number, time, microseconds, arguments, …; a cluster answers with its nodes' lists.
fn collect_slow(answer: &Value, longest: &mut BTreeMap<String, (u64, u64)>) {
    match answer {
        Value::Array(parts) => match parts.as_slice() {
            [_, Value::Int(_), Value::Int(micros), Value::Array(arguments), ..] => {
                let name = match arguments.first() {
                    Some(Value::BulkString(name)) => String::from_utf8_lossy(name).to_ascii_uppercase(),
                    Some(Value::SimpleString(name)) => name.to_ascii_uppercase(),
                    _ => return,
                };
                let (count, worst) = longest.entry(name).or_default();
                *count += 1;
                *worst = (*worst).max(u64::try_from(*micros).unwrap_or(0));
            }
            parts => parts.iter().for_each(|part| collect_slow(part, longest)),
        },
        Value::Map(nodes) => nodes.iter().for_each(|(_, part)| collect_slow(part, longest)),
        _ => {}
    }
}
