//! Nothing stale, one load for the fleet, and few commands: counted and raced on a real Redis.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, clippy::needless_pass_by_value)]

use crate::place::{calls, entry, key, space, tier};
use aeth_cache::redis::RedisTier;
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, FillOutcome, LeaseLookup, PutOutcome};
use aeth_core::{Key, Tag};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(30);

/// 400 keys, four readers each through leases, 30 changes each: whoever looks after the last change was
/// acknowledged sees it or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_stale_after_a_burst() {
    let server = testkit::Redis::start();
    let (one, two) = (tier(&server, |o| o), tier(&server, |o| o));
    let mut stale = 0;
    for group in 0..20 {
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..20 {
            let (writer, reader) = (one.clone(), two.clone());
            tasks.spawn(async move {
                let name = key(group * 20 + index);
                let (source, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
                let mut readers = tokio::task::JoinSet::new();
                for _ in 0..4 {
                    let (tier, name) = (reader.clone(), name.clone());
                    let (source, done) = (Arc::clone(&source), Arc::clone(&done));
                    readers.spawn(async move {
                        let here = space();
                        while !done.load(Ordering::SeqCst) {
                            let asked = tier.get_or_lease_many(&here, std::slice::from_ref(&name), LEASE);
                            if let Some(LeaseLookup::Granted(token)) = asked.await.pop() {
                                let value = source.load(Ordering::SeqCst);
                                tokio::task::yield_now().await;
                                let filled = tier.fill(&here, &name, token, entry(value));
                                filled.await.unwrap();
                            }
                        }
                    });
                }
                for change in 1..=30_u64 {
                    source.store(change, Ordering::SeqCst);
                    if change % 2 == 0 {
                        let outcome = writer.put(&space(), name.clone(), entry(change)).await.unwrap();
                        assert_eq!(outcome, PutOutcome::Stored);
                    } else {
                        writer.remove(&space(), &name).await.unwrap();
                    }
                }
                done.store(true, Ordering::SeqCst);
                while let Some(reader) = readers.join_next().await {
                    reader.unwrap();
                }
                match reader.get(&space(), &name).await.hit() {
                    Some(found) => u64::from(found.value != "30"),
                    None => 0,
                }
            });
        }
        while let Some(count) = tasks.join_next().await {
            stale += count.unwrap();
        }
    }
    assert_eq!(stale, 0, "of 400 keys");
}

/// Tags and clears on one node, loads on another: what was loaded before is never read after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_and_clears_of_other_nodes_are_obeyed() {
    let server = testkit::Redis::start();
    let (one, two) = (tier(&server, |o| o), tier(&server, |o| o));
    let tag = Tag::new("tenant:7").unwrap();
    let tagged = |value: u64| entry(value).with_tags([tag.clone()]);
    for round in 0..300_u64 {
        let name = key("key");
        // Granted before the change, filled after it.
        let asked = two.get_or_lease_many(&space(), std::slice::from_ref(&name), LEASE).await.pop();
        let Some(LeaseLookup::Granted(token)) = asked else { panic!("round {round}: {asked:?}") };
        if round % 3 == 0 {
            one.clear(&space()).await.unwrap();
        } else {
            one.invalidate_tags(&space(), std::slice::from_ref(&tag)).await.unwrap();
        }
        let outcome = two.fill(&space(), &name, token, tagged(round)).await.unwrap();
        assert_eq!(outcome, FillOutcome::Voided, "round {round}");
        for node in [&one, &two] {
            assert!(node.get(&space(), &name).await.is_miss(), "round {round}");
        }
        // Granted after it: stored, read by both, until the next one.
        let asked = two.get_or_lease_many(&space(), std::slice::from_ref(&name), LEASE).await.pop();
        let Some(LeaseLookup::Granted(token)) = asked else { panic!("round {round}: {asked:?}") };
        let outcome = two.fill(&space(), &name, token, tagged(round)).await.unwrap();
        assert_eq!(outcome, FillOutcome::Stored, "round {round}");
        for node in [&one, &two] {
            assert_eq!(node.get(&space(), &name).await.hit().unwrap().value, round.to_string());
        }
        one.invalidate_tags(&space(), std::slice::from_ref(&tag)).await.unwrap();
        for node in [&two, &one] {
            assert!(node.get(&space(), &name).await.is_miss(), "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_tags_hide_too_much_and_never_too_little() {
    let server = testkit::Redis::start();
    let (one, two) = (tier(&server, |o| o.with_tags(16)), tier(&server, |o| o.with_tags(16)));
    let tag = |name: String| Tag::new(name).unwrap();
    one.put(&space(), key("plain"), entry("plain")).await.unwrap();
    one.put(&space(), key("gone"), entry("x").with_tags([tag("t0".into())])).await.unwrap();
    assert!(two.get(&space(), &key("gone")).await.hit().is_some());
    for at in 0..100 {
        one.invalidate_tags(&space(), &[tag(format!("t{at}"))]).await.unwrap();
        let fresh = key(format!("k{at}"));
        one.put(&space(), fresh.clone(), entry("x").with_tags([tag(format!("t{at}"))])).await.unwrap();
        assert!(one.get(&space(), &fresh).await.hit().is_some(), "put after its tag, {at}");
    }
    for node in [&one, &two, &tier(&server, |o| o)] {
        assert!(node.get(&space(), &key("gone")).await.is_miss());
        assert!(node.get(&space(), &key("plain")).await.hit().is_some());
        assert!(node.get(&space(), &key("k99")).await.hit().is_some());
    }
    let kept: u64 = server.cli(&["ZCARD", "{aeth:space}:t"]).parse().unwrap();
    assert!(kept <= 19, "{kept} members");
}

/// A version that nobody may read holds nothing up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_version_does_not_count() {
    let server = testkit::Redis::start();
    let (one, two) = (tier(&server, |o| o), tier(&server, |o| o));
    let tag = [Tag::new("t").unwrap()];
    let put = async |tier: &RedisTier, version: u64| {
        let entry = entry(version).with_version(version).with_tags(tag.clone());
        tier.put(&space(), key("key"), entry).await.unwrap()
    };
    assert_eq!(put(&one, 9).await, PutOutcome::Stored);
    assert_eq!(put(&two, 5).await, PutOutcome::Superseded);
    two.invalidate_tags(&space(), &tag).await.unwrap();
    assert_eq!(put(&one, 5).await, PutOutcome::Stored);
    assert_eq!(put(&two, 4).await, PutOutcome::Superseded);
    two.clear(&space()).await.unwrap();
    assert_eq!(put(&one, 3).await, PutOutcome::Stored);
    // Neither does one that was damaged.
    server.cli(&["SETRANGE", "{aeth:space:key}", "50", "garbage"]);
    assert_eq!(put(&one, 1).await, PutOutcome::Stored);
    assert_eq!(two.get(&space(), &key("key")).await.hit().unwrap().value, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_and_damaged_bytes_are_misses_and_counted() {
    let server = testkit::Redis::start();
    let tier = tier(&server, |o| o);
    tier.put(&space(), key("key"), entry("a value of some length")).await.unwrap();
    for (at, change) in [
        vec!["SET", "{aeth:space:key}", "somebody else's"],
        vec!["SET", "{aeth:space:key}", ""],
        vec!["SETRANGE", "{aeth:space:key}", "10", "x"],
        vec!["SETRANGE", "{aeth:space:key}", "70", "x"],
    ]
    .into_iter()
    .enumerate()
    {
        tier.put(&space(), key("key"), entry("a value of some length")).await.unwrap();
        server.cli(&change);
        assert!(tier.get(&space(), &key("key")).await.is_miss(), "{change:?}");
        let asked = tier.get_or_lease_many(&space(), &[key("key")], LEASE).await.pop();
        let Some(LeaseLookup::Granted(token)) = asked else { panic!("{change:?}: {asked:?}") };
        let outcome = tier.fill(&space(), &key("key"), token, entry("again")).await.unwrap();
        assert_eq!(outcome, FillOutcome::Stored, "{change:?}");
        assert_eq!(tier.statistics().damaged, 2 * (at as u64 + 1));
    }
    // A key of another type is nobody's entry.
    server.cli(&["DEL", "{aeth:space:list}"]);
    server.cli(&["RPUSH", "{aeth:space:list}", "x"]);
    let found = tier.get_many(&space(), &[key("list"), key("key")]).await;
    assert!(found[0].is_miss() && found[1].clone().hit().is_some(), "{found:?}");
    assert_eq!(tier.put(&space(), key("list"), entry("x")).await.unwrap(), PutOutcome::Stored);
}

/// Single look-ups that are made together leave together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_look_ups_leave_together() {
    let server = testkit::Redis::start();
    let tier = tier(&server, |o| o);
    for at in 0..640 {
        tier.put(&space(), key(at), entry(at)).await.unwrap();
    }
    server.cli(&["CONFIG", "RESETSTAT"]);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..64_u32 {
        let tier = tier.clone();
        tasks.spawn(async move {
            for round in 0..100 {
                let at = worker * 10 + round % 10;
                assert_eq!(tier.get(&space(), &key(at)).await.hit().unwrap().value, at.to_string());
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let calls = calls(&server);
    let commands = calls.get("get").unwrap_or(&0) + calls.get("mget").unwrap_or(&0);
    assert!(commands * 4 < 6400, "6400 look-ups took {commands} commands: {calls:?}");
    println!("6400 look-ups took {commands} commands");
}

/// get_many is one MGET and one question for the namespace, a miss under lease one script; without the server's word
/// that nothing has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_round_trip() {
    let server = testkit::Redis::start();
    let tier = tier(&server, |o| o.with_track(false));
    let keys: Vec<Key> = (0..100).map(key).collect();
    tier.put_many(&space(), keys.iter().map(|k| (k.clone(), entry("x"))).collect()).await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]);
    assert!(tier.get_many(&space(), &keys).await.into_iter().all(|found| found.hit().is_some()));
    let counted = calls(&server);
    assert_eq!((counted.get("mget"), counted.get("zmscore")), (Some(&1), Some(&1)), "{counted:?}");
    assert!(!counted.contains_key("evalsha") && !counted.contains_key("get"), "{counted:?}");
    server.cli(&["CONFIG", "RESETSTAT"]);
    let missing: Vec<Key> = (100..200).map(key).collect();
    let granted = tier.get_or_lease_many(&space(), &missing, LEASE).await;
    assert!(granted.iter().all(|answer| matches!(answer, LeaseLookup::Granted(_))));
    let counted = calls(&server);
    assert_eq!((counted.get("evalsha"), counted.get("zmscore")), (Some(&1), Some(&1)), "{counted:?}");
}

/// A missing key, wanted by two nodes with a hundred callers each: one lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_one_lease() {
    let server = testkit::Redis::start();
    let nodes = [tier(&server, |o| o), tier(&server, |o| o)];
    for round in 0..20 {
        let mut tasks = tokio::task::JoinSet::new();
        for caller in 0..200 {
            let (tier, name) = (nodes[caller % 2].clone(), key(round));
            tasks.spawn(async move {
                loop {
                    match tier.get_or_lease_many(&space(), std::slice::from_ref(&name), LEASE).await.pop() {
                        Some(LeaseLookup::Granted(token)) => {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            tier.fill(&space(), &name, token, entry("loaded")).await.unwrap();
                            return 1;
                        }
                        Some(LeaseLookup::Hit(found)) => {
                            assert_eq!(found.value, "loaded");
                            return 0;
                        }
                        Some(LeaseLookup::Held) => tokio::time::sleep(Duration::from_millis(2)).await,
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        let mut loads = 0;
        while let Some(loaded) = tasks.join_next().await {
            loads += loaded.unwrap();
        }
        assert_eq!(loads, 1, "round {round}");
    }
}

/// A caller that is dropped takes nothing from the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_callers_harm_nobody() {
    let server = testkit::Redis::start();
    let tier = tier(&server, |o| o);
    tier.put(&space(), key("key"), entry("x")).await.unwrap();
    for _ in 0..200 {
        let dropped: Vec<_> = (0..20)
            .map(|_| {
                let tier = tier.clone();
                tokio::spawn(async move { tier.get(&space(), &key("key")).await })
            })
            .collect();
        let (name, here) = (key("key"), space());
        let kept = tier.get(&here, &name);
        dropped.iter().for_each(tokio::task::JoinHandle::abort);
        assert!(kept.await.hit().is_some());
    }
}

/// Where look-ups with lease hit, they cost the server no script.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hits_need_no_script() {
    let server = testkit::Redis::start();
    let tier = tier(&server, |o| o);
    let keys: Vec<Key> = (0..100).map(key).collect();
    tier.put_many(&space(), keys.iter().map(|k| (k.clone(), entry("x"))).collect()).await.unwrap();
    for _ in 0..3 {
        let found = tier.get_or_lease_many(&space(), &keys, LEASE).await;
        assert!(found.iter().all(|answer| matches!(answer, LeaseLookup::Hit(_))));
    }
    server.cli(&["CONFIG", "RESETSTAT"]);
    let found = tier.get_or_lease_many(&space(), &keys, LEASE).await;
    assert!(found.iter().all(|answer| matches!(answer, LeaseLookup::Hit(_))));
    let counted = calls(&server);
    assert_eq!((counted.get("mget"), counted.get("evalsha")), (Some(&1), None), "{counted:?}");
    // What is missing, stale or hidden still takes a lease.
    let stale = Entry::new("old", 0, 1).with_usable_until(u64::MAX);
    tier.put(&space(), key(0), stale).await.unwrap();
    tier.remove(&space(), &key(1)).await.unwrap();
    let found = tier.get_or_lease_many(&space(), &keys, LEASE).await;
    assert!(matches!(found[0], LeaseLookup::Stale(..)) && matches!(found[1], LeaseLookup::Granted(_)));
    assert!(found[2..].iter().all(|answer| matches!(answer, LeaseLookup::Hit(_))));
}
