//! The same snapshots, the same policy: restic keeps the same ones, for the same reasons.
//!
//! Each time zone is a process of its own, because both we and restic read it from the environment. Debian's restic
//! is 0.14: it does not keep the oldest snapshot yet, has no counts without limit, and knows no quarters.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::type_complexity,
    clippy::print_stdout,
    reason = "tests"
)]

use super::{ForgetOptions, GroupBy, RetentionPolicy, Span};
use crate::format::{NodeTime, Snapshot, seal_unpacked};
use crate::{Id, KdfParams, Repository, RepositoryOptions};
use aeth_core::Secret;
use aeth_core::backup::{BackupSink, BlobSink};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const CHILD: &str = "AETH_FORGET_CHILD";
const PASSWORD: &str = "correct horse";
/// Groups of snapshots that one call of restic judges.
const GROUPS: usize = 30;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn a_policy_keeps_what_restic_keeps() {
    // Summer time in both hemispheres, by an hour and by half of one, and offsets that are no whole hours.
    for zone in ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"] {
        assert!(
            zone == "UTC" || Path::new("/usr/share/zoneinfo").join(zone).exists(),
            "install tzdata: this test compares time zones"
        );
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "forget::against_restic::in_one_zone", "--nocapture"])
            .env(CHILD, "1")
            .env("TZ", zone)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{zone}: {text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("compared"), "{zone}: nothing was compared: {text}");
    }
}

/// The process of one time zone: not a test of its own.
#[tokio::test]
async fn in_one_zone() {
    if std::env::var(CHILD).is_err() {
        return;
    }
    let (seed, count) = (number("AETH_TORTURE_SEED", 1), number("AETH_TORTURE_COUNT", 5));
    let dir = tempfile::tempdir().unwrap();
    let store = aeth_files::LocalDir::open(dir.path()).await.unwrap();
    let sinks: Vec<Arc<dyn BackupSink>> = vec![Arc::new(BlobSink::new(Arc::new(store), None).unwrap())];
    let options = RepositoryOptions::default().kdf(KdfParams::new(4, 8, 1).unwrap());
    let repository = Repository::init(sinks, &Secret::new(PASSWORD.to_owned()), options).await.unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    std::fs::create_dir_all(dir.path().join("snapshots")).unwrap();
    for group in 0..GROUPS {
        for snapshot in snapshots(&mut random, group) {
            let sealed = seal_unpacked(&repository.shared.key, &snapshot.encode().unwrap(), true).unwrap();
            let name = Id::of(&sealed).to_string();
            std::fs::write(dir.path().join("snapshots").join(name), &sealed).unwrap();
        }
    }
    let mut compared = 0;
    for round in 0..count {
        let (policy, arguments) = policy(&mut random);
        let ours = repository
            .forget(
                ForgetOptions::new(policy.clone()).group_by(GroupBy::new(true, false, false)).dry_run(true),
            )
            .await;
        let theirs = restic(dir.path(), &arguments);
        let Ok(ours) = ours else {
            // A policy that keeps nothing of a group: 0.14 would have removed all of it.
            assert!(theirs.values().any(BTreeMap::is_empty), "seed {seed} round {round}: {policy:?}");
            continue;
        };
        for group in &ours.groups {
            let kept: BTreeMap<String, Vec<String>> = group
                .retention
                .keep
                .iter()
                .map(|kept| {
                    (kept.snapshot.id.to_string(), kept.reasons.iter().map(ToString::to_string).collect())
                })
                .collect();
            assert_eq!(
                Some(&kept),
                theirs.get(&group.key.host),
                "seed {seed} round {round} group {} with {arguments:?}",
                group.key.host
            );
            compared += kept.len() + group.retention.remove.len();
        }
    }
    println!("{compared} snapshots compared");
}

/// A group with its own rhythm: bursts, gaps, offsets of many zones, some of them in the future.
fn snapshots(random: &mut fastrand::Rng, group: usize) -> Vec<Snapshot> {
    let now = NodeTime::from(std::time::SystemTime::now()).seconds();
    let step = [600, 3600, 20_000, 86_400, 700_000, 3_000_000, 40_000_000][random.usize(..7)];
    let mut time = now - random.i64(-200_000..90_000_000);
    let mut times = BTreeSet::new();
    for _ in 0..random.usize(1..28) {
        times.insert(time);
        time -= random.i64(1..2 * step);
    }
    let make = |time: i64| {
        let mut time = NodeTime::new(time, random.u32(..1_000_000_000));
        time = match random.u8(..4) {
            0 => time.local(),
            1 => time.with_offset(random.i32(-48..56) * 900),
            _ => time,
        };
        let mut snapshot = Snapshot::new(time, Id::of(b"tree"));
        snapshot.hostname = format!("group-{group}");
        snapshot.paths = vec!["/data".into()];
        snapshot.tags =
            ["a", "b", "c"].iter().filter(|_| random.u8(..4) == 0).map(ToString::to_string).collect();
        snapshot
    };
    times.into_iter().map(make).collect()
}

fn policy(random: &mut fastrand::Rng) -> (RetentionPolicy, Vec<String>) {
    let mut policy = RetentionPolicy::new().keep_oldest(false);
    let mut arguments = Vec::new();
    let mut add = |name: &str, value: String| arguments.push(format!("--keep-{name}={value}"));
    let rules: [(&str, fn(RetentionPolicy, u32) -> RetentionPolicy); 6] = [
        ("last", |policy, n| policy.last(n)),
        ("hourly", |policy, n| policy.hourly(n)),
        ("daily", |policy, n| policy.daily(n)),
        ("weekly", |policy, n| policy.weekly(n)),
        ("monthly", |policy, n| policy.monthly(n)),
        ("yearly", |policy, n| policy.yearly(n)),
    ];
    for (name, set) in rules {
        if random.u8(..3) == 0 {
            let count = random.u32(1..9);
            policy = set(policy, count);
            add(name, count.to_string());
        }
    }
    let spans: [(&str, fn(RetentionPolicy, Span) -> RetentionPolicy); 6] = [
        ("within", |policy, span| policy.within(span)),
        ("within-hourly", |policy, span| policy.within_hourly(span)),
        ("within-daily", |policy, span| policy.within_daily(span)),
        ("within-weekly", |policy, span| policy.within_weekly(span)),
        ("within-monthly", |policy, span| policy.within_monthly(span)),
        ("within-yearly", |policy, span| policy.within_yearly(span)),
    ];
    for (name, set) in spans {
        if random.u8(..4) == 0 {
            let mut some = |limit: u32| if random.bool() { random.u32(..limit) } else { 0 };
            let span = Span::new(some(3), some(14), some(40), some(50));
            if !span.is_zero() {
                policy = set(policy, span);
                add(name, span.to_string());
            }
        }
    }
    if random.u8(..3) == 0 {
        policy = policy.tags(["a", "b"]);
        add("tag", "a,b".into());
    }
    if policy.is_empty() {
        policy = policy.last(1);
        add("last", "1".into());
    }
    (policy, arguments)
}

/// Host → kept snapshot → reasons.
fn restic(repository: &Path, arguments: &[String]) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let output = Command::new("restic")
        .args(["--no-cache", "--no-lock", "--quiet", "--json", "--repo"])
        .arg(repository)
        .args(["forget", "--dry-run", "--group-by", "host"])
        .args(arguments)
        .env("RESTIC_PASSWORD", PASSWORD)
        .output()
        .expect("install restic: this test needs it as its oracle");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let groups: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let reasons = |group: &serde_json::Value| {
        let reasons = group["reasons"].as_array().cloned().unwrap_or_default();
        let reason = |reason: &serde_json::Value| {
            let matches = reason["matches"].as_array().unwrap().iter().map(text).collect();
            // This version leaves the id out of the reasons: they stand in the order of what is kept.
            (reason["snapshot"]["id"].as_str().map(str::to_owned), matches)
        };
        let kept = group["keep"].as_array().cloned().unwrap_or_default();
        kept.iter()
            .zip(reasons.iter().map(reason))
            .map(|(kept, (_, matches))| (text(&kept["id"]), matches))
            .collect()
    };
    groups.as_array().unwrap().iter().map(|group| (text(&group["host"]), reasons(group))).collect()
}
