//! Other processes of this program: several over one Redis, or one whose memory is measured.

use super::workers;
use crate::BoxError;
use aeth_cache::redis::{Redis, RedisOptions};
use aeth_cache::{CacheOptions, Caches};
use aeth_core::SystemClock;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinSet;

/// The first argument of such a process.
pub(crate) const NAME: &str = "cache-process";
/// The second one of a process whose memory is measured.
const MEMORY: &str = "memory";
const PROCESSES: usize = 4;
const CALLERS: usize = 250;
/// Missing keys, one after the other; the greatest number of loads of one counts.
const ROUNDS: u64 = 10;

/// One of them.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> Result<(), BoxError> {
    let what = arguments.next().ok_or("no address")?;
    match what.as_str() {
        MEMORY => {
            println!("{}", super::life::measure_memory(&arguments.next().ok_or("no contestant")?)?);
            Ok(())
        }
        url => callers(url),
    }
}

/// As many callers as there are want the keys; says how often it loaded each.
fn callers(url: &str) -> Result<(), BoxError> {
    workers(2)?.block_on(async {
        let options = RedisOptions::new(url).with_command_timeout(Duration::from_secs(20));
        let redis = Redis::open(options, SystemClock::shared())?;
        let caches = Caches::builder().memory(1 << 20).tier(Arc::new(redis.tier())).build()?;
        let options =
            CacheOptions::new().fresh_for(Duration::from_secs(600)).tier_timeout(Duration::from_secs(20));
        let cache = caches.open::<u64>("bench", options)?;
        cache.get(&u64::MAX).await?;
        println!("ready");
        std::io::stdin().lock().lines().next().transpose()?;
        for key in 0..ROUNDS {
            let loads = Arc::new(AtomicU64::new(0));
            let mut callers = JoinSet::new();
            for _ in 0..CALLERS {
                let (cache, loads) = (cache.clone(), Arc::clone(&loads));
                callers.spawn(async move {
                    let load = move || async move {
                        loads.fetch_add(1, SeqCst);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        Ok::<_, std::io::Error>(key)
                    };
                    cache.get_or_load(&key, load).await.is_ok_and(|found| *found == key)
                });
            }
            let served = callers.join_all().await.into_iter().all(|served| served);
            println!("{}", if served { loads.load(SeqCst) } else { u64::MAX });
        }
        Ok(())
    })
}

/// What a contestant's memory is over its budget.
pub(super) fn memory(contestant: &str) -> Result<f64, BoxError> {
    let output = Command::new(std::env::current_exe()?).args([NAME, MEMORY, contestant]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The most loads of one key by all processes together.
pub(super) fn stampede() -> Result<u64, BoxError> {
    let server = testkit::Redis::start();
    let mut children = Vec::new();
    for _ in 0..PROCESSES {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([NAME, &server.url()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        children.push(Process(command.spawn()?));
    }
    let mut outputs = Vec::new();
    for Process(child) in &mut children {
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        output.next().ok_or("a process ended early")??;
        outputs.push(output);
    }
    for Process(child) in &mut children {
        writeln!(child.stdin.as_mut().ok_or("no input")?, "go")?;
    }
    let mut most = 0;
    for _ in 0..ROUNDS {
        let mut sum = 0_u64;
        for output in &mut outputs {
            sum = sum.saturating_add(output.next().ok_or("a process ended early")??.parse()?);
        }
        most = most.max(sum);
    }
    Ok(most)
}

/// Ends with us.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
