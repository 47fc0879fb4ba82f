//! A Redis that is stopped, hangs, comes back, refuses, breaks off or never answers.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used)]

use crate::place::{key, space};
use crate::support;

use aeth_cache::redis::{Redis, RedisOptions, RedisTier, Topology};
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, LeaseLookup, Lookup, PutOutcome};
use aeth_core::coord::{Backplane, BackplaneEvent};
use aeth_core::{Error, ErrorKind, Lifecycle, Secret, SystemClock};
use futures_util::StreamExt;
use std::time::{Duration, Instant};
use support::stub::{Reply, stub};
use support::until;

const LIMIT: Duration = Duration::from_millis(300);

fn options(url: &str) -> RedisOptions {
    RedisOptions::new(url).with_command_timeout(LIMIT).with_connect_timeout(Duration::from_secs(1))
}

fn open(options: RedisOptions) -> (Redis, RedisTier) {
    let redis = Redis::open(options, SystemClock::shared()).unwrap();
    let tier = redis.tier();
    (redis, tier)
}

fn entry(value: impl Into<Vec<u8>>) -> Entry {
    Entry::new(value.into(), 0, u64::MAX)
}

fn outage(lookup: Lookup) -> Error {
    match lookup {
        Lookup::Unavailable(error) => error,
        other => panic!("expected an outage, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_is_an_outage_and_comes_back() {
    let mut server = testkit::Redis::builder()
        .option("save", "")
        .option("appendonly", "yes")
        .option("appendfsync", "always")
        .start();
    let (_redis, tier) = open(options(&server.url()));
    tier.put(&space(), key("a"), entry("kept")).await.unwrap();
    server.kill();
    let error = outage(tier.get(&space(), &key("a")).await);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    until(async || outage(tier.get(&space(), &key("a")).await).message().contains("nobody listens")).await;
    // While it is known to be down nobody waits for it.
    let start = Instant::now();
    for _ in 0..100 {
        outage(tier.get(&space(), &key("a")).await);
        assert!(tier.put(&space(), key("b"), entry("x")).await.is_err());
        assert!(tier.remove(&space(), &key("b")).await.is_err());
        assert!(tier.invalidate_tags(&space(), &[aeth_core::Tag::new("t").unwrap()]).await.is_err());
        assert!(tier.clear(&space()).await.is_err());
        let leased = tier.get_or_lease_many(&space(), &[key("a")], LIMIT).await;
        assert!(matches!(leased.as_slice(), [LeaseLookup::Unavailable(_)]), "{leased:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(3), "600 calls took {:?}", start.elapsed());
    let counted = tier.statistics();
    assert!(counted.unavailable >= 200 && counted.misses == 0, "{counted:?}");
    server.restart();
    let back =
        until(async || matches!(tier.get(&space(), &key("a")).await, Lookup::Hit(e) if e.value == "kept"))
            .await;
    assert!(back < Duration::from_secs(1), "back after {back:?}");
    println!("back {back:?} after the server was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_server_costs_its_time_limit() {
    let server = testkit::Redis::start();
    let (_redis, tier) = open(options(&server.url()));
    tier.put(&space(), key("a"), entry("kept")).await.unwrap();
    server.pause();
    let start = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let tier = tier.clone();
        waiting.push(tokio::spawn(async move { tier.get(&space(), &key("a")).await }));
    }
    for answer in waiting {
        let error = outage(answer.await.unwrap());
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable), "{error}");
    }
    let took = start.elapsed();
    assert!(took >= LIMIT && took < LIMIT * 2 + Duration::from_millis(200), "{took:?}");
    let error = tier.put(&space(), key("a"), entry("new")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.retry().is_worthwhile() && error.remedy().is_some());
    server.resume();
    let back = until(async || matches!(tier.get(&space(), &key("a")).await, Lookup::Hit(_))).await;
    assert!(back < Duration::from_secs(1), "back after {back:?}");
    println!("back {back:?} after the server went on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_scripts_lost_is_sent_again() {
    let server = testkit::Redis::start();
    let (_redis, tier) = open(options(&server.url()));
    tier.put(&space(), key("a"), entry("one")).await.unwrap();
    server.cli(&["SCRIPT", "FLUSH"]);
    tier.put(&space(), key("a"), entry("two")).await.unwrap();
    server.cli(&["SCRIPT", "FLUSH"]);
    let found = tier.get_or_lease_many(&space(), &[key("a"), key("b")], LIMIT).await;
    assert!(matches!(found.as_slice(), [LeaseLookup::Hit(_), LeaseLookup::Granted(_)]), "{found:?}");
    // A server that forgot everything holds nothing: no error, no old value.
    server.cli(&["FLUSHALL"]);
    assert!(tier.get(&space(), &key("a")).await.is_miss());
    tier.put(&space(), key("a"), entry("three")).await.unwrap();
    assert_eq!(tier.get(&space(), &key("a")).await.hit().unwrap().value, "three");
    // So is a namespace whose state was evicted.
    server.cli(&["DEL", "{aeth:space}:t"]);
    assert!(tier.get(&space(), &key("a")).await.is_miss());
}

#[tokio::test]
async fn a_full_server_says_so() {
    let server = testkit::Redis::builder()
        .option("save", "")
        .option("maxmemory", "3mb")
        .option("maxmemory-policy", "noeviction")
        .start();
    let (_redis, tier) = open(options(&server.url()));
    let mut full = None;
    for at in 0..200 {
        match tier.put(&space(), key(at), entry(vec![7; 100_000])).await {
            Ok(outcome) => assert_eq!(outcome, PutOutcome::Stored),
            Err(error) => {
                full = Some(error);
                break;
            }
        }
    }
    let error = full.expect("3 MB hold no 20 MB");
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(!error.retry().is_worthwhile() && error.remedy().unwrap().contains("maxmemory"), "{error}");
    // Reading goes on.
    assert!(tier.get(&space(), &key("0")).await.hit().is_some());
}

#[tokio::test]
async fn a_replica_is_not_written_to() {
    let primary = testkit::Redis::start();
    let port = primary.port().to_string();
    let replica = testkit::Redis::builder()
        .option("save", "")
        .option("replicaof", &format!("127.0.0.1 {port}"))
        .start();
    let (_redis, tier) = open(options(&replica.url()));
    let error = until_refused(&tier).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.remedy().unwrap().contains("primary"), "{error}");
}

/// A replica that still loads says -LOADING or -MASTERDOWN first.
async fn until_refused(tier: &RedisTier) -> Error {
    for _ in 0..200 {
        let error = tier.put(&space(), key("a"), entry("x")).await.unwrap_err();
        if error.message().contains("read-only") {
            return error;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the replica never refused a write");
}

#[tokio::test]
async fn passwords_and_permissions() {
    let server = testkit::Redis::builder().option("save", "").option("requirepass", "s3cret-one").start();
    let denied = async |options: RedisOptions| {
        let (_redis, tier) = open(options);
        let error = outage(tier.get(&space(), &key("a")).await);
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.remedy().is_some() && !format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    };
    denied(options(&server.url())).await;
    denied(options(&server.url()).with_password(Secret::new("s3cret-two"))).await;
    let file = testkit::temp_dir();
    let path = file.path().join("password");
    std::fs::write(&path, "s3cret-one\n").unwrap();
    let (_redis, tier) = open(options(&server.url()).with_password(Secret::from_file(&path).unwrap()));
    tier.put(&space(), key("a"), entry("x")).await.unwrap();
    let url = server.url().replace("redis://", "redis://:s3cret-one@");
    let shown = format!("{:?}", options(&url));
    assert!(!shown.contains("s3cret"), "{shown}");
    let (redis, tier) = open(options(&url));
    assert!(tier.get(&space(), &key("a")).await.hit().is_some());
    assert!(!format!("{redis:?} {tier:?}").contains("s3cret"));

    server.cli(&[
        "-a",
        "s3cret-one",
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">s3cret-app",
        "~{aeth*",
        "+@all",
        "-@write",
    ]);
    let app = options(&server.url()).with_user("app").with_password(Secret::new("s3cret-app"));
    let (_redis, tier) = open(app);
    let error = tier.put(&space(), key("a"), entry("y")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn answers_that_are_none() {
    let cases: [(&str, &[u8], bool, &[ErrorKind]); 8] = [
        ("mid-reply", b"$100\r\nhalf", true, &[ErrorKind::Unavailable]),
        ("at once", b"", true, &[ErrorKind::Unavailable]),
        ("never", b"", false, &[ErrorKind::Timeout]),
        ("nonsense", b"HTTP/1.1 400 Bad Request\r\n\r\n", false, &[ErrorKind::Unavailable]),
        ("loading", b"-LOADING Redis is loading\r\n", false, &[ErrorKind::Unavailable]),
        ("moved", b"-MOVED 1 127.0.0.1:1\r\n", false, &[ErrorKind::Unavailable]),
        ("cluster down", b"-CLUSTERDOWN x\r\n", false, &[ErrorKind::Unavailable]),
        ("another shape", b":7\r\n", false, &[ErrorKind::Unavailable]),
    ];
    for (name, answer, close, kinds) in cases {
        let reply = if close { Reply::Close(answer) } else { Reply::Bytes(answer) };
        let address = stub(move |_| reply.clone()).await;
        let (_redis, tier) = open(options(&format!("redis://{address}")));
        for _ in 0..3 {
            let start = Instant::now();
            let error = outage(tier.get(&space(), &key("a")).await);
            assert!(kinds.contains(&error.kind()), "{name}: {error:?}");
            assert!(start.elapsed() < LIMIT * 2, "{name}: {:?}", start.elapsed());
            let error = tier.put(&space(), key("a"), entry("x")).await.unwrap_err();
            assert!(kinds.contains(&error.kind()), "{name}: {error:?}");
        }
    }
}

#[tokio::test]
async fn settings_that_are_wrong() {
    let invalid = |options: RedisOptions| {
        let error = Redis::open(options, SystemClock::shared()).unwrap_err();
        assert!(error.remedy().is_some(), "{error}");
        error.kind()
    };
    let url = "redis://127.0.0.1:1";
    assert_eq!(invalid(RedisOptions::new("http://127.0.0.1")), ErrorKind::Invalid);
    assert_eq!(invalid(RedisOptions::new("")), ErrorKind::Invalid);
    assert_eq!(invalid(RedisOptions::with_topology(Topology::Cluster(vec![]))), ErrorKind::Invalid);
    for prefix in ["", "a:b", "{a}", "a b", &"x".repeat(65)] {
        assert_eq!(invalid(RedisOptions::new(url).with_prefix(prefix)), ErrorKind::Invalid);
    }
    assert_eq!(invalid(RedisOptions::new(url).with_command_timeout(Duration::ZERO)), ErrorKind::Invalid);
    assert_eq!(invalid(RedisOptions::new(url).with_batch(0)), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_handle_says_so() {
    let server = testkit::Redis::shared();
    let (redis, tier) = open(options(&server.url()).with_prefix("closed"));
    tier.put(&space(), key("a"), entry("x")).await.unwrap();
    let backplane = redis.backplane();
    let mut events = backplane.subscribe("channel").await.unwrap();
    assert_eq!(events.next().await, Some(BackplaneEvent::Connected));
    redis.close(Duration::from_secs(5)).await.unwrap();
    redis.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(outage(tier.get(&space(), &key("a")).await).kind(), ErrorKind::Closed);
    assert_eq!(tier.remove(&space(), &key("a")).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(backplane.publish("channel", "x".into()).await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(backplane.subscribe("channel").await.is_err());
    while events.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backplane_comes_back() {
    let mut server = testkit::Redis::start();
    let (redis, _) = open(options(&server.url()));
    let backplane = redis.backplane();
    let mut events = backplane.subscribe("channel").await.unwrap();
    assert_eq!(events.next().await, Some(BackplaneEvent::Connected));
    backplane.publish("channel", "one".into()).await.unwrap();
    assert!(matches!(events.next().await, Some(BackplaneEvent::Message(m)) if m.payload == "one"));
    server.kill();
    assert_eq!(events.next().await, Some(BackplaneEvent::Disconnected));
    assert!(backplane.publish("channel", "lost".into()).await.is_err());
    server.restart();
    let start = Instant::now();
    loop {
        match events.next().await.unwrap() {
            BackplaneEvent::Disconnected => {}
            event => break assert_eq!(event, BackplaneEvent::Gap),
        }
    }
    assert_eq!(events.next().await, Some(BackplaneEvent::Connected));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    until(async || backplane.publish("channel", "two".into()).await.is_ok()).await;
    loop {
        match events.next().await.unwrap() {
            BackplaneEvent::Message(message) => break assert_eq!(message.payload, "two"),
            event => assert_eq!(event, BackplaneEvent::Gap),
        }
    }
    // A server that begins down is an event, not an error.
    let mut nobody = {
        let (redis, _) = open(options("redis://127.0.0.1:1"));
        redis.backplane().subscribe("channel").await.unwrap()
    };
    assert_eq!(nobody.next().await, Some(BackplaneEvent::Disconnected));
}
