//! The laws of the contracts, on a real Redis.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used)]

use aeth_cache::redis::{Redis, RedisOptions};
use aeth_core::conformance::backplane::BackplaneSubject;
use aeth_core::conformance::cache_tier::TierSubject;
use aeth_core::conformance::leader_lock::LeaderSubject;
use aeth_core::{Clock, SystemClock};
use std::sync::Arc;
use std::time::Duration;

fn clock() -> Arc<dyn Clock> {
    SystemClock::shared()
}

fn open(url: &str, coalesce: bool) -> Redis {
    let options = RedisOptions::new(url)
        .with_coalesce(coalesce)
        .with_command_timeout(Duration::from_secs(10))
        .with_connect_timeout(Duration::from_secs(10));
    Redis::open(options, clock()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tier_keeps_every_law() {
    let server = testkit::Redis::shared();
    for coalesce in [true, false] {
        let (one, two) = (open(&server.url(), coalesce), open(&server.url(), coalesce));
        let subject = TierSubject::new(one.tier(), clock()).with_other(two.tier());
        let report = subject.run().await;
        println!("{report}");
        report.into_result().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backplane_keeps_every_law() {
    let server = testkit::Redis::start();
    let (one, two) = (open(&server.url(), true), open(&server.url(), true));
    let server = Arc::new(server);
    let subject = BackplaneSubject::new(one.backplane()).with_other(two.backplane()).with_outage(move || {
        let server = Arc::clone(&server);
        async move {
            tokio::task::spawn_blocking(move || server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]))
                .await
                .unwrap();
        }
    });
    let report = subject.run().await;
    println!("{report}");
    report.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_lock_keeps_every_law() {
    let server = testkit::Redis::shared();
    let (one, two) = (open(&server.url(), true), open(&server.url(), true));
    let report = LeaderSubject::new(one.leader_lock(), clock()).with_other(two.leader_lock()).run().await;
    println!("{report}");
    report.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_and_health_keep_every_law() {
    let server = testkit::Redis::start();
    let redis = open(&server.url(), true);
    let monitor = redis.monitor(Duration::from_millis(100));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let report = aeth_core::conformance::metrics_source::run_all(Arc::new(monitor)).await;
    println!("{report}");
    report.into_result().unwrap();
    let report = aeth_core::conformance::health_check::run_all(Arc::new(redis)).await;
    println!("{report}");
    report.into_result().unwrap();
}
