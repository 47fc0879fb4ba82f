//! Processes over one Redis that is killed, frozen and restarted while they read and change.
//!
//! Each process changes keys of its own and reads all. A file holds what is true of each key; a process must never
//! read less than it has changed itself, whatever Redis does, and when Redis is back all must agree with the file.

use super::fleet::{Process, node};
use super::until;
use aeth_cache::redis::RedisOptions;
use aeth_cache::{CacheOptions, CallOptions};
use std::fs::File;
use std::io::BufRead;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const PROCESSES: u64 = 3;
const KEYS: u64 = 24;
const TASKS: u64 = 6;
/// What happens to Redis, one after the other.
const EVENTS: u64 = 4;
/// How long a process trusts a copy without a word.
const TRUST: Duration = Duration::from_millis(500);

/// One storm, decided by the seed.
pub fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = testkit::Redis::builder()
        .option("save", "")
        .option("appendonly", "yes")
        .option("appendfsync", "always")
        .start();
    let dir = testkit::temp_dir();
    let truth = dir.path().join("truth");
    File::create(&truth).unwrap().set_len(KEYS * 8).unwrap();
    let (url, truth) = (server.url(), truth.display().to_string());
    let mut processes: Vec<Process> = (0..PROCESSES)
        .map(|number| {
            let (number, seed) = (number.to_string(), random.u64(..).to_string());
            let variables = [
                ("AETH_STORM_URL", &*url),
                ("AETH_STORM_TRUTH", &*truth),
                ("AETH_STORM_NUMBER", &*number),
                ("AETH_STORM_SEED", &*seed),
            ];
            Process::start("a_process_of_the_storm", &variables)
        })
        .collect();
    processes.iter_mut().for_each(|process| drop(process.hear("ready")));
    let pause = |random: &mut fastrand::Rng| std::thread::sleep(Duration::from_millis(random.u64(50..700)));
    for _ in 0..EVENTS {
        pause(&mut random);
        match random.u32(..3) {
            0 => {
                server.kill();
                pause(&mut random);
                server.restart();
            }
            1 => {
                server.pause();
                pause(&mut random);
                server.resume();
            }
            _ => drop(server.cli(&["CLIENT", "KILL", "TYPE", "normal"])),
        }
    }
    // First all stop and have sent what waited, then all look.
    for order in ["stop", "look"] {
        processes.iter_mut().for_each(|process| process.say(order));
        for process in &mut processes {
            let said = process.hear("done");
            assert_eq!(said, "0", "reads that were too old after {order}; seed {seed}");
        }
        std::thread::sleep(TRUST * 2);
    }
}

struct Truth(File);

impl Truth {
    fn get(&self, key: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, key * 8).unwrap();
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, key: u64, value: u64) {
        self.0.write_all_at(&value.to_ne_bytes(), key * 8).unwrap();
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// One of the processes: works until it is told to stop, then says what it saw.
pub fn process() {
    let (url, truth) = (variable("AETH_STORM_URL"), variable("AETH_STORM_TRUTH"));
    if url.is_empty() {
        return;
    }
    let number: u64 = variable("AETH_STORM_NUMBER").parse().unwrap();
    let seed: u64 = variable("AETH_STORM_SEED").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (orders, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            drop(orders.send(line));
        }
    });
    runtime.block_on(async {
        let options = RedisOptions::new(&url)
            .with_command_timeout(Duration::from_millis(200))
            .with_connect_timeout(Duration::from_secs(1));
        let numbers = CacheOptions::new()
            .fresh_for(Duration::from_secs(60))
            .usable_for(Duration::from_secs(3600))
            .local_fresh_for(TRUST)
            .soft_timeout(Duration::from_millis(10))
            .tier_timeout(Duration::from_millis(250));
        let node = node(options, numbers).await;
        println!("\nready");
        let truth = Arc::new(Truth(File::options().read(true).write(true).open(Path::new(&truth)).unwrap()));
        let floors: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
        let (old, going) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let (cache, truth, floors) = (node.cache.clone(), Arc::clone(&truth), Arc::clone(&floors));
            let (old, going) = (Arc::clone(&old), Arc::clone(&going));
            let mut random = fastrand::Rng::with_seed(seed ^ task);
            tasks.spawn(async move {
                while going.load(SeqCst) {
                    let key = random.u64(..KEYS);
                    // Each key has one writer: a task of one process.
                    let mine = key % PROCESSES == number && key / PROCESSES % TASKS == task;
                    if mine && random.bool() {
                        let value = truth.get(key) + 1;
                        truth.set(key, value);
                        // A failed change is one all the same for this process; it is sent again later.
                        match random.u32(..4) {
                            0 => drop(cache.put(&key, value).await),
                            _ => drop(cache.remove(&key).await),
                        }
                        floors[key as usize].store(value, SeqCst);
                    }
                    let least = floors[key as usize].load(SeqCst);
                    let source = Arc::clone(&truth);
                    let load = move || async move {
                        let value = source.get(key);
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        Ok::<_, std::io::Error>(value)
                    };
                    if cache.get_or_load(&key, load).await.is_ok_and(|seen| *seen < least) {
                        old.fetch_add(1, SeqCst);
                    }
                    tokio::time::sleep(Duration::from_micros(500)).await;
                }
            });
        }
        while let Some(order) = lines.recv().await {
            match &*order {
                "stop" => {
                    going.store(false, SeqCst);
                    while let Some(ended) = tasks.join_next().await {
                        ended.unwrap();
                    }
                    until(async || {
                        node.caches.pending_removals() == 0 && node.caches.hears_others() == Some(true)
                    })
                    .await;
                    println!("\ndone {}", old.load(SeqCst));
                }
                _ => {
                    // A stale copy may be served while a load is slow; who wants the truth waits.
                    let patient = node.cache.with(CallOptions::new().soft_timeout(Duration::from_secs(60)));
                    let mut wrong = 0;
                    for key in 0..KEYS {
                        let source = Arc::clone(&truth);
                        let load = move || async move { Ok::<_, std::io::Error>(source.get(key)) };
                        let seen = patient.get_or_load(&key, load).await;
                        let right = seen.as_ref().is_ok_and(|seen| **seen == truth.get(key));
                        if !right {
                            let why = node.cache.explain(&key).await;
                            eprintln!(
                                "process {number} read {seen:?} of {key}, not {}: {why:?}",
                                truth.get(key)
                            );
                            wrong += 1;
                        }
                    }
                    println!("\ndone {wrong}");
                    return;
                }
            }
        }
    });
}
