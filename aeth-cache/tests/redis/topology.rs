//! Cluster and Sentinel: three primaries that share the slots, and a primary that another takes over from.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used)]

use aeth_cache::redis::{Redis, RedisOptions, Topology};
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, Lookup, PutOutcome};
use aeth_core::conformance::backplane::BackplaneSubject;
use aeth_core::conformance::cache_tier::TierSubject;
use aeth_core::conformance::leader_lock::LeaderSubject;
use aeth_core::observe::{HealthCheck, Status};
use aeth_core::{Key, Namespace, SystemClock};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn open(topology: Topology) -> Redis {
    let options = RedisOptions::with_topology(topology)
        .with_command_timeout(Duration::from_secs(5))
        .with_connect_timeout(Duration::from_secs(5));
    Redis::open(options, SystemClock::shared()).unwrap()
}

/// Three primaries, each with a third of the slots.
fn cluster() -> Vec<testkit::Redis> {
    let bus: Vec<String> = (0..3).map(|_| testkit::free_port().to_string()).collect();
    let nodes: Vec<testkit::Redis> = (bus.iter())
        .map(|bus| {
            let builder = testkit::Redis::builder().option("save", "").option("cluster-enabled", "yes");
            builder.option("cluster-port", bus).option("cluster-node-timeout", "3000").start()
        })
        .collect();
    for (node, (from, to)) in nodes.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
        node.cli(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
    }
    for (node, bus) in nodes.iter().zip(&bus).skip(1) {
        nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), bus]);
    }
    let start = Instant::now();
    let agreed = |node: &testkit::Redis| {
        let info = node.cli(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
    };
    while !nodes.iter().all(agreed) {
        assert!(start.elapsed() < Duration::from_secs(30), "the cluster never formed");
        std::thread::sleep(Duration::from_millis(50));
    }
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_every_law() {
    let nodes = tokio::task::spawn_blocking(cluster).await.unwrap();
    let urls: Vec<String> = nodes.iter().map(testkit::Redis::url).collect();
    let (one, two) = (open(Topology::Cluster(urls.clone())), open(Topology::Cluster(urls)));
    let report = TierSubject::new(one.tier(), SystemClock::shared()).with_other(two.tier()).run().await;
    println!("{report}");
    report.into_result().unwrap();
    let report = BackplaneSubject::new(one.backplane()).with_other(two.backplane()).run().await;
    println!("{report}");
    report.into_result().unwrap();
    let locks = LeaderSubject::new(one.leader_lock(), SystemClock::shared()).with_other(two.leader_lock());
    locks.run().await.into_result().unwrap();
    assert_eq!(one.check().await.status, Status::Up);
    // The keys are spread over the nodes.
    let (tier, space) = (one.tier(), Namespace::new("spread").unwrap());
    let entries = (0..300).map(|at| (Key::new(format!("k{at}")).unwrap(), Entry::new("x", 0, u64::MAX)));
    let outcomes = tier.put_many(&space, entries.collect()).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == PutOutcome::Stored));
    for node in &nodes {
        let keys: u64 = node.cli(&["DBSIZE"]).parse().unwrap();
        assert!(keys > 50, "a node has {keys} keys");
    }
}

/// A slot moves to another node under traffic, as `redis-cli --cluster reshard` moves it: nothing old is read, no
/// look-up fails for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_under_traffic() {
    let nodes = tokio::task::spawn_blocking(cluster).await.unwrap();
    let urls: Vec<String> = nodes.iter().map(testkit::Redis::url).collect();
    let tier = open(Topology::Cluster(urls)).tier();
    let (space, keys) = (Namespace::new("moving").unwrap(), 0..40_u64);
    let name = |at: u64| Key::new(format!("k{at}")).unwrap();
    let entry = |value: u64| Entry::new(value.to_string(), 0, u64::MAX);
    // What was acknowledged of each key; its writer raises it.
    let floors: Arc<Vec<AtomicU64>> = Arc::new(keys.clone().map(|_| AtomicU64::new(0)).collect());
    let (going, reads) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..4_u64 {
        let (tier, space, floors) = (tier.clone(), space.clone(), Arc::clone(&floors));
        let (going, reads) = (Arc::clone(&going), Arc::clone(&reads));
        tasks.spawn(async move {
            let mut value = 0;
            while going.load(SeqCst) {
                value += 1;
                for at in (0..40).filter(|at| at % 4 == worker) {
                    // What fails while its slot moves is tried again with the next value.
                    if matches!(tier.put(&space, name(at), entry(value)).await, Ok(PutOutcome::Stored)) {
                        floors[at as usize].store(value, SeqCst);
                    }
                    let least = floors[at as usize].load(SeqCst);
                    if let Lookup::Hit(found) = tier.get(&space, &name(at)).await {
                        let seen: u64 = std::str::from_utf8(&found.value).unwrap().parse().unwrap();
                        assert!(seen >= least, "{seen} of k{at} after {least}");
                        reads.fetch_add(1, SeqCst);
                    }
                }
            }
        });
    }
    let moved = Arc::new(nodes);
    let mover = Arc::clone(&moved);
    tokio::task::spawn_blocking(move || {
        for at in 0..10 {
            let slot = mover[0].cli(&["CLUSTER", "KEYSLOT", &format!("{{aeth:moving:k{at}}}")]);
            move_slot(&mover, &slot);
        }
    })
    .await
    .unwrap();
    let before = reads.load(SeqCst);
    while reads.load(SeqCst) < before + 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    going.store(false, SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    for at in keys {
        let found = tier.get(&space, &name(at)).await.hit().unwrap();
        let least = floors[at as usize].load(SeqCst);
        assert!(std::str::from_utf8(&found.value).unwrap().parse::<u64>().unwrap() >= least);
    }
}

/// Moves a slot and its keys to the node behind its owner.
fn move_slot(nodes: &[testkit::Redis], slot: &str) {
    let owner = nodes.iter().position(|node| !node.cli(&["CLUSTER", "GETKEYSINSLOT", slot, "1"]).is_empty());
    let (from, to) = (owner.unwrap(), (owner.unwrap() + 1) % nodes.len());
    let (source, target) = (&nodes[from], &nodes[to]);
    let (source_id, target_id) = (source.cli(&["CLUSTER", "MYID"]), target.cli(&["CLUSTER", "MYID"]));
    target.cli(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &source_id]);
    source.cli(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &target_id]);
    let port = target.port().to_string();
    loop {
        let keys = source.cli(&["CLUSTER", "GETKEYSINSLOT", slot, "100"]);
        let keys: Vec<&str> = keys.lines().filter(|line| !line.is_empty()).collect();
        if keys.is_empty() {
            break;
        }
        let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
        command.extend(keys);
        source.cli(&command);
    }
    for node in [target, source].into_iter().chain(nodes) {
        node.cli(&["CLUSTER", "SETSLOT", slot, "NODE", &target_id]);
    }
}

struct Sentinel {
    child: Child,
    _dir: testkit::TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn sentinel(primary: u16) -> (Sentinel, u16) {
    let (dir, port) = (testkit::temp_dir(), testkit::free_port());
    let config = dir.path().join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {primary} 1\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(testkit::tool("redis-server", "redis-server").unwrap());
    command.arg(&config).arg("--sentinel").stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    (Sentinel { child, _dir: dir }, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed() {
    let mut primary = testkit::Redis::start();
    let of = format!("127.0.0.1 {}", primary.port());
    let replica = testkit::Redis::builder().option("save", "").option("replicaof", &of).start();
    let (_sentinel, port) = sentinel(primary.port());
    let sentinels = vec![format!("redis://127.0.0.1:{port}")];
    let redis = open(Topology::Sentinel { sentinels, service: "main".into() });
    let (tier, space, key) = (redis.tier(), Namespace::new("space").unwrap(), Key::new("key").unwrap());
    let start = Instant::now();
    // The Sentinel finds the replica by asking the primary every ten seconds.
    let knows =
        || Command::new("redis-cli").args(["-p", &port.to_string(), "SENTINEL", "REPLICAS", "main"]).output();
    while !String::from_utf8_lossy(&knows().unwrap().stdout).contains("master-link-status\nok") {
        assert!(start.elapsed() < Duration::from_secs(40), "the Sentinel never found the replica");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tier.put(&space, key.clone(), Entry::new("kept", 0, u64::MAX)).await.unwrap();
    // `WAIT` knows only of what its own connection wrote.
    while replica.cli(&["EXISTS", "{aeth:space:key}"]) != "1" {
        assert!(start.elapsed() < Duration::from_secs(40), "the replica never got the entry");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    primary.kill();
    let start = Instant::now();
    loop {
        let put = tier.put(&space, Key::new("new").unwrap(), Entry::new("x", 0, u64::MAX)).await;
        if put.is_ok() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(40), "no write came through: {put:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let found = tier.get(&space, &key).await;
    assert!(matches!(&found, Lookup::Hit(entry) if entry.value == "kept"), "{found:?}");
    assert_eq!(replica.cli(&["ROLE"]).lines().next(), Some("master"));
    println!("writes went on {:?} after the primary died", start.elapsed());
}
