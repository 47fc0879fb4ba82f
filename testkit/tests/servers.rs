//! The servers start, answer, crash, come back, and never outlive their owner.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Postgres, Redis, Subject, temp_dir};

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[track_caller]
fn gone_soon(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while alive(pid) {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn redis_keeps_what_it_saved_and_loses_the_rest() {
    let mut redis = Redis::builder()
        .option("save", "")
        .option("appendonly", "yes")
        .option("appendfsync", "always")
        .start();
    assert_eq!(redis.cli(&["SET", "kept", "1"]), "OK");
    redis.kill();
    redis.restart();
    assert_eq!(redis.cli(&["GET", "kept"]), "1");
    let pid = redis.pid();
    drop(redis);
    gone_soon(pid);
}

#[test]
fn a_paused_redis_stops_answering_and_goes_on() {
    let redis = Redis::start();
    redis.pause();
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &redis.port().to_string(), "PING"]);
    let mut asked = Subject::start(cli);
    std::thread::sleep(Duration::from_millis(300));
    assert!(asked.running(), "a frozen server answered");
    redis.resume();
    assert!(asked.wait(Duration::from_secs(20)).stdout.contains("PONG"));
}

#[test]
fn postgres_recovers_from_a_crash() {
    let mut postgres = Postgres::start();
    let db = postgres.database();
    postgres.psql(&db, "CREATE TABLE t(a int); INSERT INTO t VALUES (41), (1)");
    postgres.kill();
    postgres.restart();
    assert_eq!(postgres.psql(&db, "SELECT sum(a) FROM t"), "42");
    let pid = postgres.pid();
    drop(postgres);
    gone_soon(pid);
}

#[test]
fn a_standby_follows_and_can_be_promoted() {
    let primary = Postgres::start();
    primary.psql("postgres", "CREATE TABLE t(a int)");
    let standby = Postgres::builder().start_standby(&primary);
    primary.psql("postgres", "INSERT INTO t VALUES (7)");
    let deadline = Instant::now() + Duration::from_secs(30);
    while standby.psql("postgres", "SELECT count(*) FROM t") != "1" {
        assert!(Instant::now() < deadline, "the standby does not follow");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(standby.psql("postgres", "SELECT pg_is_in_recovery()"), "t");
    standby.promote();
    assert_eq!(standby.psql("postgres", "SELECT pg_is_in_recovery()"), "f");
}

/// Does something only when another test starts it: holds two servers until it is killed.
#[test]
fn owner_that_will_be_killed() {
    let Some(report) = std::env::var_os("TESTKIT_HOLD") else { return };
    let (redis, postgres) = (Redis::shared(), Postgres::shared());
    let text = format!("{} {} {}", redis.pid(), postgres.pid(), postgres.socket_dir().display());
    let partial = Path::new(&report).with_extension("partial");
    std::fs::write(&partial, text).unwrap();
    std::fs::rename(partial, report).unwrap();
    std::thread::sleep(Duration::from_secs(120));
}

#[test]
fn servers_end_with_an_owner_that_is_killed() {
    let dir = temp_dir();
    let report = dir.path().join("report");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "owner_that_will_be_killed", "--nocapture"]).env("TESTKIT_HOLD", &report);
    let mut owner = Subject::start(command);
    while !report.exists() {
        assert!(owner.running(), "{}", owner.kill().output());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(owner.kill().signal, Some(9));
    let text = std::fs::read_to_string(report).unwrap();
    let mut words = text.split(' ');
    gone_soon(words.next().unwrap().parse().unwrap());
    gone_soon(words.next().unwrap().parse().unwrap());
    let data = Path::new(words.next().unwrap());
    let deadline = Instant::now() + Duration::from_secs(10);
    while data.exists() {
        assert!(Instant::now() < deadline, "{} was left behind", data.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}
