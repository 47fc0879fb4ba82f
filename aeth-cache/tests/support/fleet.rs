//! Nodes of a fleet over one Redis, in this process and in others.

use super::until;
use aeth_cache::redis::{Redis, RedisOptions};
use aeth_cache::{Cache, CacheOptions, Caches};
use aeth_core::SystemClock;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// One node.
pub struct Node {
    pub redis: Redis,
    pub caches: Caches,
    pub cache: Cache<u64>,
}

/// Long enough that a busy machine is no outage.
pub fn patient(url: &str) -> RedisOptions {
    let long = Duration::from_secs(20);
    RedisOptions::new(url).with_command_timeout(long).with_connect_timeout(long)
}

pub fn numbers() -> CacheOptions<u64> {
    let options = CacheOptions::new().fresh_for(Duration::from_secs(600));
    options.usable_for(Duration::from_secs(3600)).tier_timeout(Duration::from_secs(20))
}

/// A node that listens to the others.
pub async fn node(options: RedisOptions, numbers: CacheOptions<u64>) -> Node {
    let redis = Redis::open(options, SystemClock::shared()).unwrap();
    let caches = Caches::builder()
        .memory(4 << 20)
        .tier(Arc::new(redis.tier()))
        .backplane(Arc::new(redis.backplane()))
        .build()
        .unwrap();
    let cache = caches.open("numbers", numbers).unwrap();
    // The first call begins to listen, and begins the life of the namespace.
    cache.get_or_load(&u64::MAX, || async { Ok::<_, std::io::Error>(0) }).await.unwrap();
    until(async || caches.hears_others() == Some(true)).await;
    Node { redis, caches, cache }
}

/// A test of this very program, run in a process of its own; it and its test talk in lines.
pub struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Runs the ignored test `name`, with these variables in its environment.
    pub fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
        command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    pub fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
    }

    /// The rest of the next line that begins with `word`.
    pub fn hear(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "a process ended before it said {word}");
            if let Some(rest) = line.trim().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
