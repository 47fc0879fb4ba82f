//! Several processes over one Redis, which is stopped, hung and started again while they run: one load for all of
//! them, stale values instead of waiting, and nothing old once Redis is back.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a program talks to its user, and measures real time"
)]

#[path = "support/cluster_node.rs"]
mod cluster_node;
#[path = "support/skew.rs"]
mod skew;
#[path = "support/truth.rs"]
mod truth;

use aetherius::{Error, Result};
use clap::Parser;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;
use truth::Truth;

/// Starts a Redis of its own and several processes over it; stops, hangs and restarts Redis while they work, and
/// shows what each of them saw.
///
/// One process changes values all the time, all of them read a skewed set of keys. `behind` counts reads that gave
/// less than what a change had acknowledged (bounded by the backplane's delay, or by local_fresh_for while it is
/// down); the changing process itself must never be behind. Needs redis-server. Exit codes: 0 success, 1 failure
/// (more than one load for all processes, a failed read, an old value that stayed), 2 wrong usage.
#[derive(Parser)]
#[command(name = "cache_cluster", version)]
struct Args {
    /// Processes over the one Redis, 2 to 64.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=64))]
    processes: u64,
    /// How long each phase lasts.
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    /// Is one of the processes.
    #[arg(long, hide = true, requires = "url", requires = "truth")]
    node: Option<u64>,
    #[arg(long, hide = true)]
    url: Option<String>,
    #[arg(long, hide = true)]
    truth: Option<PathBuf>,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.5..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give 0.5 to 600 seconds".into()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match (args.node, &args.url, &args.truth) {
        (Some(node), Some(url), Some(truth)) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map_err(Error::from)
                .and_then(|runtime| runtime.block_on(cluster_node::run(node, url, truth)))
        }
        _ => lead(&args).map(|()| println!("cache_cluster: OK")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cache_cluster: {error}");
            if let Some(remedy) = error.remedy() {
                eprintln!("  {remedy}");
            }
            ExitCode::FAILURE
        }
    }
}

/// What happens to Redis before a phase.
type Event = fn(&mut testkit::Redis);

const PHASES: [(&str, Event, bool); 5] = [
    ("Redis works", |_| (), false),
    ("Redis is stopped", |redis| redis.kill(), false),
    ("Redis is started again", testkit::Redis::restart, true),
    ("Redis hangs", |redis| redis.pause(), false),
    ("Redis goes on", |redis| redis.resume(), true),
];

fn lead(args: &Args) -> Result<()> {
    testkit::tool("redis-server", "redis-server").map_err(|missing| {
        Error::unsupported(missing.to_string()).with_remedy("install it, then try again")
    })?;
    let directory = tempfile::Builder::new().prefix("aetherius-cache-cluster-").tempdir()?;
    let truth = directory.path().join("truth");
    Truth::create(&truth, cluster_node::KEYS)?;
    // What it acknowledged is there after a restart: old values would be, too, were they not removed.
    let builder = testkit::Redis::builder().option("save", "").option("appendonly", "yes");
    let mut redis = builder.option("appendfsync", "always").start();
    let mut nodes = Vec::new();
    for number in 0..args.processes {
        nodes.push(Process::start(number, &redis.url(), &truth)?);
    }
    let mut failures = Vec::new();
    stampede(&mut nodes, &mut failures)?;
    for (name, event, back) in PHASES {
        event(&mut redis);
        let seen = ask(&mut nodes, &json!({ "do": "work", "seconds": args.seconds, "back": back }))?;
        show(name, &seen, back, &mut failures);
    }
    // Longer than a copy is trusted without a word.
    std::thread::sleep(Duration::from_millis(1500));
    let seen = ask(&mut nodes, &json!({ "do": "agree" }))?;
    let wrong: Vec<u64> = seen.iter().map(|node| figure(node, "wrong")).collect();
    println!("\nkeys that a process still reads wrongly: {wrong:?}");
    if wrong.iter().any(|wrong| *wrong > 0) {
        failures.push("an old value stayed".to_owned());
    }
    if failures.is_empty() { Ok(()) } else { Err(Error::other(failures.join("; "))) }
}

/// All callers of all processes want the same missing key.
fn stampede(nodes: &mut [Process], failures: &mut Vec<String>) -> Result<()> {
    println!("{} processes, {} callers each, one missing key:", nodes.len(), cluster_node::CALLERS);
    for round in 0..3 {
        let seen = ask(nodes, &json!({ "do": "stampede", "round": round }))?;
        let sum = |name| seen.iter().map(|node| figure(node, name)).sum::<u64>();
        println!("  {} loads, {} callers served", sum("loads"), sum("served"));
        if sum("loads") != 1 || sum("served") != cluster_node::CALLERS * nodes.len() as u64 {
            failures.push("a missing key was not loaded exactly once for all".to_owned());
        }
    }
    Ok(())
}

fn show(phase: &str, seen: &[Value], back: bool, failures: &mut Vec<String>) {
    println!("\n{phase}");
    println!(
        "  process    reads    loads    stale   behind   errors       p50       p99       max  recovered after"
    );
    for (number, node) in seen.iter().enumerate() {
        let time = |name| format!("{:.1} ms", figure(node, name) as f64 / 1000.0);
        let recovered = match node["recovered"].as_u64() {
            Some(millis) => format!("{millis} ms"),
            None if back => "never".into(),
            None => "-".into(),
        };
        println!(
            "  {number:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}  {recovered}",
            figure(node, "reads"),
            figure(node, "loads"),
            figure(node, "stale"),
            figure(node, "behind"),
            figure(node, "errors"),
            time("p50"),
            time("p99"),
            time("max"),
        );
        if figure(node, "behind_own") > 0 {
            failures.push(format!("process {number} read less than its own change while {phase}"));
        }
        if figure(node, "errors") > 0 {
            failures.push(format!("reads of process {number} failed while {phase}"));
        }
        if recovered == "never" {
            failures.push(format!("process {number} never recovered"));
        }
    }
}

fn figure(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or(0)
}

/// Orders the same of all, and waits for all.
fn ask(nodes: &mut [Process], order: &Value) -> Result<Vec<Value>> {
    nodes.iter_mut().try_for_each(|node| node.say(order))?;
    nodes.iter_mut().map(Process::hear).collect()
}

/// Another process of this program; it ends with us.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(number: u64, url: &str, truth: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--node", &number.to_string(), "--url", url, "--truth"]).arg(truth);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or_else(|| Error::other("a process has no output"))?;
        let mut process = Self { child, output: BufReader::new(output) };
        process.hear()?;
        Ok(process)
    }

    fn say(&mut self, order: &Value) -> Result<()> {
        let input = self.child.stdin.as_mut().ok_or_else(|| Error::other("a process has no input"))?;
        writeln!(input, "{order}")?;
        Ok(input.flush()?)
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(Error::other("a process ended early").with_remedy("see what it printed above"));
        }
        serde_json::from_str(&line)
            .map_err(|error| Error::other(format!("a process said {line}")).with_source(error))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
