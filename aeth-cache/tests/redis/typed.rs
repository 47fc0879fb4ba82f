//! The typed cache over a real Redis: several nodes in one process, several processes, outages, strange answers.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)]

use crate::support;

use aeth_cache::redis::{Redis, RedisOptions};
use aeth_cache::{Cache, CacheOptions, Caches, EntryState, Item};
use aeth_core::{ErrorKind, SystemClock};
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use support::fleet::{Node, Process, node, numbers, patient};
use support::stub::{Reply, stub};
use support::{Failure, Source, Test, secs, until};

const CALLERS: u64 = 250;
const KEYS: u64 = 8;

fn value(value: u64) -> impl FnOnce() -> std::future::Ready<Result<u64, Failure>> + Send + 'static {
    move || std::future::ready(Ok(value))
}

fn failing() -> impl FnOnce() -> std::future::Ready<Result<u64, Failure>> + Send + 'static {
    || std::future::ready(Err("the source is down".into()))
}

/// 4 processes, 250 callers each, one Redis, missing keys: one load each.
#[test]
fn four_processes_load_once() {
    let server = testkit::Redis::start();
    let url = server.url();
    let mut processes: Vec<Process> = (0..4)
        .map(|_| Process::start("typed::a_process_of_the_fleet", &[("AETH_FLEET_URL", &url)]))
        .collect();
    for process in &mut processes {
        process.hear("ready");
    }
    for process in &mut processes {
        process.say("go");
    }
    let loads: Vec<u64> =
        processes.iter_mut().map(|process| process.hear("loads").parse().unwrap()).collect();
    println!("loads of {KEYS} keys by the processes: {loads:?}");
    assert_eq!(loads.iter().sum::<u64>(), KEYS, "{loads:?}");
}

#[test]
#[ignore = "a part of four_processes_load_once, which runs it"]
fn a_process_of_the_fleet() {
    let Ok(url) = std::env::var("AETH_FLEET_URL") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let node = runtime.block_on(node(patient(&url), numbers()));
    println!("\nready");
    std::io::stdin().lock().lines().next().unwrap().unwrap();
    let loads = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        for key in 0..KEYS {
            let mut callers = tokio::task::JoinSet::new();
            for _ in 0..CALLERS {
                let (cache, loads) = (node.cache.clone(), Arc::clone(&loads));
                callers.spawn(async move {
                    let load = move || async move {
                        loads.fetch_add(1, SeqCst);
                        tokio::time::sleep(Duration::from_millis(150)).await;
                        Ok::<_, Failure>(key + 100)
                    };
                    *cache.get_or_load(&key, load).await.unwrap()
                });
            }
            while let Some(found) = callers.join_next().await {
                assert_eq!(found.unwrap(), key + 100);
            }
        }
    });
    println!("\nloads {}", loads.load(SeqCst));
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Put,
    Remove,
    Tag,
    Clear,
}

impl Change {
    async fn make(self, cache: &Cache<u64>, key: u64, value: u64) -> Test {
        match self {
            Self::Put => cache.put_item(&key, Item::new(value).with_tag("tag")?).await?,
            Self::Remove => cache.remove(&key).await?,
            Self::Tag => cache.invalidate_tag("tag").await?,
            Self::Clear => cache.clear().await?,
        }
        Ok(())
    }
}

/// A loader that began before a change of another node publishes nothing after it, on no node and not in Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_loader_elsewhere_brings_nothing_back() -> Test {
    let server = testkit::Redis::start();
    let (one, two) =
        (node(patient(&server.url()), numbers()).await, node(patient(&server.url()), numbers()).await);
    for (round, change) in
        (0..24_u64).zip([Change::Put, Change::Remove, Change::Tag, Change::Clear].iter().cycle())
    {
        let source = Source::gated(1);
        let (key, loading) = (round, source.clone());
        let slow = {
            let cache = two.cache.clone();
            tokio::spawn(async move {
                let load = move || async move { Item::new(loading.load().await?).with_tag("tag") };
                cache.find_or_load(&key, load).await
            })
        };
        until(async || source.loads() == 1).await;
        source.set(2);
        change.make(&one.cache, key, 2).await?;
        source.let_go(1);
        // Its own caller had asked before the change; whoever asks from now on has not.
        assert_eq!(slow.await??.as_deref(), Some(&1));
        let expected = matches!(change, Change::Put).then_some(2);
        for (name, node) in [("one", &one), ("two", &two)] {
            for _ in 0..3 {
                let found = node.cache.get(&key).await?;
                assert_eq!(found.as_deref().copied(), expected, "node {name} after {change:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_changes_the_other_hears() -> Test {
    let server = testkit::Redis::start();
    let (one, two) =
        (node(patient(&server.url()), numbers()).await, node(patient(&server.url()), numbers()).await);
    for (round, change) in
        (0..24_u64).zip([Change::Put, Change::Remove, Change::Tag, Change::Clear].iter().cycle())
    {
        one.cache.put_item(&round, Item::new(1).with_tag("tag")?).await?;
        until(async || two.cache.get(&round).await.unwrap().as_deref() == Some(&1)).await;
        let kept = async || {
            drop(two.cache.get(&round).await);
            two.cache.peek(&round).is_some()
        };
        until(kept).await;
        change.make(&one.cache, round, 2).await?;
        until(async || two.cache.peek(&round).as_deref() != Some(&1)).await;
        assert_ne!(two.cache.get(&round).await?.as_deref(), Some(&1), "{change:?}");
    }
    Ok(())
}

/// A subscription that was cut may have missed messages: copies are doubted, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_subscription_makes_copies_stale() -> Test {
    let server = testkit::Redis::start();
    let (one, two) =
        (node(patient(&server.url()), numbers()).await, node(patient(&server.url()), numbers()).await);
    one.cache.put(&2, 7).await?;
    for round in 1..7_u64 {
        one.cache.put(&1, round).await?;
        until(async || two.cache.get(&1).await.unwrap().as_deref() == Some(&round)).await;
        two.cache.get(&2).await?;
        // Cut, change, and the message is gone for good.
        let cut = || server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        cut();
        one.cache.put(&1, round + 1).await?;
        until(async || two.cache.get(&1).await.unwrap().as_deref() == Some(&(round + 1))).await;
        let doubted = async || match two.cache.explain(&2).await.unwrap().local {
            Some(report) => report.state == EntryState::StaleByGap || report.state == EntryState::Fresh,
            None => false,
        };
        // In the first round the word of its own put may still have been on its way.
        assert!(round == 1 || doubted().await, "an entry that nobody changed was dropped");
        assert_eq!(two.cache.get(&2).await?.as_deref(), Some(&7));
    }
    Ok(())
}

/// Short times, because these servers do not answer.
fn hasty(url: &str) -> RedisOptions {
    let limit = Duration::from_millis(400);
    RedisOptions::new(url).with_command_timeout(limit).with_connect_timeout(secs(2))
}

fn short_lived() -> CacheOptions<u64> {
    CacheOptions::new()
        .fresh_for(Duration::from_millis(300))
        .usable_for(secs(3600))
        .retry_after(Duration::from_millis(1))
        .soft_timeout(Duration::from_millis(20))
        .tier_timeout(Duration::from_millis(500))
}

/// Puts 1 under keys of their own and waits until this node's copies are stale.
async fn fill(node: &Node, keys: std::ops::Range<u64>) -> Test {
    for key in keys.clone() {
        let mut stored = node.cache.put(&key, 1).await;
        // A busy machine may need more than the hasty time limit.
        while stored.is_err() {
            stored = node.cache.put(&key, 1).await;
        }
    }
    until(async || node.cache.peek(&keys.start).is_none() && node.cache.peek(&(keys.end - 1)).is_none())
        .await;
    Ok(())
}

/// While Redis is away: stale values, loads without it, removals that are kept; all of it arrives afterwards.
async fn outage(node: &Node, other: &Node, keys: std::ops::Range<u64>) -> Test {
    let first = keys.start;
    assert_eq!(*node.cache.get_or_load(&first, failing()).await?, 1, "fail-safe serves the stale value");
    assert_eq!(*node.cache.get_or_load(&(first + 1000), value(5)).await?, 5, "loads go on");
    let error = node.cache.remove(&(first + 1)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
    let error = node.cache.put(&(first + 2), 2).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
    assert!(node.caches.pending_removals() >= 2);
    for key in [first + 1, first + 2] {
        let found = node.cache.get_or_load(&key, value(3)).await?;
        assert_eq!(*found, 3, "a node serves nothing older than its own change");
    }
    drop(other.cache.get_or_load(&(first + 3), failing()).await);
    Ok(())
}

/// After Redis is back: what was removed is gone for every node, however often it asks.
async fn recovered(nodes: &[&Node], keys: std::ops::Range<u64>) -> Test {
    let took = until(async || nodes.iter().all(|node| node.caches.pending_removals() == 0)).await;
    println!("recovered {took:?} after Redis was back");
    for node in nodes {
        for key in [keys.start + 1, keys.start + 2] {
            for _ in 0..5 {
                // A copy of its own may be the old one until the word has arrived; from then on it never is.
                until(async || node.cache.get(&key).await.is_ok_and(|found| found.as_deref() != Some(&1)))
                    .await;
                assert_ne!(node.cache.get(&key).await?.as_deref(), Some(&1), "{key} came back");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_and_comes_back_with_its_data() -> Test {
    let mut server = testkit::Redis::builder()
        .option("save", "")
        .option("appendonly", "yes")
        .option("appendfsync", "always")
        .start();
    let (one, two) =
        (node(hasty(&server.url()), short_lived()).await, node(hasty(&server.url()), short_lived()).await);
    for round in 0..3 {
        let keys = round * 10..round * 10 + 4;
        fill(&one, keys.clone()).await?;
        server.kill();
        outage(&one, &two, keys.clone()).await?;
        server.restart();
        recovered(&[&one, &two], keys).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_hangs_and_goes_on() -> Test {
    let server = testkit::Redis::builder().option("save", "").option("enable-debug-command", "yes").start();
    let (one, two) =
        (node(hasty(&server.url()), short_lived()).await, node(hasty(&server.url()), short_lived()).await);
    fill(&one, 0..4).await?;
    // Frozen until it is told to go on: nothing of this may wait for it.
    server.pause();
    outage(&one, &two, 0..4).await?;
    server.resume();
    recovered(&[&one, &two], 0..4).await?;
    for (round, hang) in [["CLIENT", "PAUSE", "3000"], ["DEBUG", "SLEEP", "3"]].iter().enumerate() {
        let keys = 20 + 10 * round as u64..24 + 10 * round as u64;
        fill(&one, keys.clone()).await?;
        std::thread::scope(|scope| {
            scope.spawn(|| server.cli(hang));
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(300)));
        });
        until(async || one.cache.get(&keys.start).await.is_ok()).await;
    }
    Ok(())
}

/// What is no answer leaves the cache working: loads run, and errors say what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strange_answers_leave_the_loads_working() -> Test {
    let cases: [(&str, Reply, &[ErrorKind]); 10] = [
        (
            "loading",
            Reply::Bytes(b"-LOADING Redis is loading the dataset in memory\r\n"),
            &[ErrorKind::Unavailable],
        ),
        (
            "full",
            Reply::Bytes(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
            &[ErrorKind::Full],
        ),
        (
            "read-only",
            Reply::Bytes(b"-READONLY You can't write against a read only replica.\r\n"),
            &[ErrorKind::Unavailable],
        ),
        ("moved", Reply::Bytes(b"-MOVED 1 127.0.0.1:1\r\n"), &[ErrorKind::Unavailable]),
        ("no login", Reply::Bytes(b"-NOAUTH Authentication required.\r\n"), &[ErrorKind::Denied]),
        ("no right", Reply::Bytes(b"-NOPERM this user has no permissions\r\n"), &[ErrorKind::Denied]),
        ("mid-reply", Reply::Close(b"*3\r\n$8\r\n00"), &[ErrorKind::Unavailable]),
        ("at once", Reply::Close(b""), &[ErrorKind::Unavailable]),
        ("never", Reply::Silence, &[ErrorKind::Timeout, ErrorKind::Unavailable]),
        ("another shape", Reply::Bytes(b":7\r\n"), &[ErrorKind::Unavailable]),
    ];
    for (name, reply, kinds) in cases {
        let address = stub(move |_| reply.clone()).await;
        let redis = Redis::open(hasty(&format!("redis://{address}")), SystemClock::shared())?;
        let caches = Caches::builder().memory(1 << 20).tier(Arc::new(redis.tier())).build()?;
        let cache: Cache<u64> = caches.open("numbers", numbers())?;
        let error = cache.get(&1).await.unwrap_err();
        assert!(kinds.contains(&error.kind()), "{name}: {error:?}");
        assert!(error.remedy().is_some() || error.retry().is_worthwhile(), "{name}: {error:?}");
        assert_eq!(*cache.get_or_load(&1, value(5)).await?, 5, "{name}");
        assert_eq!(cache.peek(&1).as_deref(), Some(&5), "{name}: it stays here");
        let error = cache.put(&2, 2).await.unwrap_err();
        assert!(kinds.contains(&error.kind()), "{name}: {error:?}");
        match cache.remove(&1).await {
            Err(error) => assert!(kinds.contains(&error.kind()), "{name}: {error:?}"),
            // A number is what a removal is answered with.
            Ok(()) => assert_eq!(name, "another shape"),
        }
        assert_eq!(cache.peek(&1), None, "{name}");
        assert!(caches.pending_removals() >= 1, "{name}");
    }
    Ok(())
}

/// Any change of the stored bytes is a miss that the next load mends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_entries_are_loaded_again() -> Test {
    let server = testkit::Redis::start();
    let (one, two) =
        (node(patient(&server.url()), numbers()).await, node(patient(&server.url()), numbers()).await);
    const FLIP: &str = "local v = redis.call('GET', KEYS[1]) local p = tonumber(ARGV[1]) \
        redis.call('SET', KEYS[1], string.sub(v, 1, p) .. string.char(bit.bxor(string.byte(v, p + 1), 16)) .. string.sub(v, p + 2))";
    const CUT: &str =
        "redis.call('SET', KEYS[1], string.sub(redis.call('GET', KEYS[1]), 1, tonumber(ARGV[1])))";
    let name = "{aeth:numbers:7}";
    one.cache.put(&7, 5).await?;
    let length: usize = server.cli(&["STRLEN", name]).parse()?;
    assert!(length > 40, "{length}");
    for at in 0..length {
        let script = if at % 3 == 0 { CUT } else { FLIP };
        server.cli(&["EVAL", script, "1", name, &at.to_string()]);
        two.caches.assume_stale();
        let found = two.cache.get(&7).await?;
        assert!(found.is_none(), "byte {at} of {length} was changed and gave {found:?}");
        assert_eq!(*two.cache.get_or_load(&7, value(5)).await?, 5);
        one.cache.put(&7, 5).await?;
        until(async || two.cache.peek(&7).is_none()).await;
    }
    server.cli(&["SET", name, "somebody else's"]);
    two.caches.assume_stale();
    assert_eq!(two.cache.get(&7).await?, None);
    assert_eq!(*two.cache.get_or_load(&7, value(6)).await?, 6);
    one.caches.assume_stale();
    assert_eq!(one.cache.get(&7).await?.as_deref(), Some(&6), "the load mended it for all");
    Ok(())
}

/// During a rolling deployment two versions of a type share a namespace: neither reads nor destroys the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schemas_live_side_by_side() -> Test {
    let server = testkit::Redis::start();
    let old = node(patient(&server.url()), numbers()).await;
    let redis = Redis::open(patient(&server.url()), SystemClock::shared())?;
    let caches = Caches::builder().memory(1 << 20).tier(Arc::new(redis.tier())).build()?;
    let options = CacheOptions::new().fresh_for(secs(600)).schema(1);
    let new: Cache<(u64, String)> = caches.open("numbers", options)?;
    old.cache.put(&1, 10).await?;
    assert_eq!(new.get(&1).await?, None);
    let load = || async { Ok::<_, Failure>((10, "ten".to_owned())) };
    assert_eq!(new.get_or_load(&1, load).await?.1, "ten");
    old.caches.assume_stale();
    assert_eq!(old.cache.get(&1).await?.as_deref(), Some(&10), "the old process still finds its own");
    // A removal by either is one for both, and whoever loads first then stores.
    new.remove(&1).await?;
    old.caches.assume_stale();
    assert_eq!(old.cache.get(&1).await?, None);
    assert_eq!(new.get_or_load(&1, load).await?.0, 10);
    assert_eq!(old.cache.get(&1).await?, None);
    assert_eq!(*old.cache.get_or_load(&1, value(11)).await?, 11);
    Ok(())
}

#[cfg(feature = "redis-tls")]
mod tls {
    use super::support::{Failure, Test};
    use aeth_cache::redis::{Redis, RedisOptions, RedisTls};
    use aeth_core::cache::{CacheTierExt, Entry, Lookup};
    use aeth_core::{ErrorKind, Key, Namespace, Secret, SystemClock};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    fn openssl(dir: &Path, line: &str) {
        let program = testkit::tool("openssl", "openssl").unwrap_or_else(|missing| panic!("{missing}"));
        let output = Command::new(program).current_dir(dir).args(line.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// An authority with a certificate for `localhost` and one for a client; and another that nobody knows.
    fn authority(dir: &Path) {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for name in ["ca", "other"] {
            openssl(
                dir,
                &format!("req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN=aeth-{name}"),
            );
        }
        std::fs::write(dir.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
        for name in ["server", "client"] {
            openssl(dir, &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            openssl(
                dir,
                &format!(
                    "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
                ),
            );
        }
        // The server has an account of its own.
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        for entry in std::fs::read_dir(dir).unwrap() {
            std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn certificates_users_and_passwords() -> Test {
        let (dir, port) = (testkit::temp_dir(), testkit::free_port());
        authority(dir.path());
        let file = |name: &str| dir.path().join(name).display().to_string();
        let server = testkit::Redis::builder()
            .option("save", "")
            .option("tls-port", &port.to_string())
            .option("tls-ca-cert-file", &file("ca.pem"))
            .option("tls-cert-file", &file("server.pem"))
            .option("tls-key-file", &file("server.key"))
            .option("tls-auth-clients", "yes")
            .start();
        server.cli(&["ACL", "SETUSER", "app", "on", ">s3cret", "~{aeth*", "&aeth*", "+@all"]);
        server.cli(&["ACL", "SETUSER", "default", "off"]);
        std::fs::write(dir.path().join("password"), "s3cret\n")?;
        let password = Secret::from_file(dir.path().join("password"))?;
        let url = format!("rediss://localhost:{port}");
        let options = || {
            let long = Duration::from_secs(20);
            let options = RedisOptions::new(&url).with_command_timeout(long).with_connect_timeout(long);
            options.with_user("app").with_password(password.clone())
        };
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        let key = Secret::from_file(dir.path().join("client.key"))?;
        let tls = RedisTls::new().with_ca(read("ca.pem")).with_client(read("client.pem"), key.clone());
        let (space, name) = (Namespace::new("space")?, Key::new("key")?);
        let redis = Redis::open(options().with_tls(tls.clone()), SystemClock::shared())?;
        let tier = redis.tier();
        tier.put(&space, name.clone(), Entry::new("kept", 0, u64::MAX)).await?;
        assert_eq!(tier.get(&space, &name).await.hit().ok_or("nothing came back")?.value, "kept");
        assert!(!format!("{:?}", options().with_tls(tls)).contains("PRIVATE"));
        // Subscriptions and pushes are encrypted too.
        let subscribed = aeth_core::coord::Backplane::subscribe(&redis.backplane(), "channel").await?;
        drop(subscribed);

        let refused = async |what: &str, tls: RedisTls| {
            let redis = Redis::open(options().with_tls(tls), SystemClock::shared()).unwrap();
            match redis.tier().get(&space, &name).await {
                Lookup::Unavailable(error) => {
                    assert_eq!(error.kind(), ErrorKind::Denied, "{what}: {error:?}");
                    assert!(error.remedy().is_some_and(|remedy| remedy.contains("tls")), "{what}: {error:?}");
                }
                other => panic!("{what}: {other:?}"),
            }
        };
        refused("no client certificate", RedisTls::new().with_ca(read("ca.pem"))).await;
        refused(
            "another authority",
            RedisTls::new().with_ca(read("other.pem")).with_client(read("client.pem"), key),
        )
        .await;
        for wrong in [
            RedisTls::new().with_ca("no PEM"),
            RedisTls::new().with_client(read("client.pem"), Secret::new("x")),
        ] {
            let error = Redis::open(options().with_tls(wrong), SystemClock::shared()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
        let plain = RedisOptions::new("redis://localhost:1").with_tls(RedisTls::new());
        let error = Redis::open(plain, SystemClock::shared()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        Ok::<_, Failure>(())
    }
}
