//! Caches over Redis and over the database.

use super::{DEADLINE, redis_settings, secret_file, settings};
use aetherius::core::observe::Status;
use aetherius::prelude::*;
use aetherius::{Error, SecretSource, TierKind, Via};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use testkit::{Postgres, Redis};

/// Two nodes share what is loaded, and hear of each other's changes.
async fn share(first: &Storage, second: &Storage) {
    let loads = AtomicU32::new(0);
    let load = || async {
        loads.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Error>("ann".to_owned())
    };
    let (here, there) = (first.cache::<String>("users").unwrap(), second.cache::<String>("users").unwrap());
    assert_eq!(*here.get_or_load_scoped(&1u64, load).await.unwrap(), "ann");
    assert_eq!(*there.get_or_load_scoped(&1u64, load).await.unwrap(), "ann");
    assert_eq!(loads.load(Ordering::Relaxed), 1, "the second node loads what the first has stored");
    // The decoded copy of the other node goes as soon as it hears of the change.
    here.put(&1u64, "bob".to_owned()).await.unwrap();
    let heard = async {
        while there.get(&1u64).await.unwrap().as_deref().map(String::as_str) != Some("bob") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), heard).await.expect("the other node never hears of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_a_redis_that_settings_name_and_do_without_it_when_it_is_down() {
    let dir = testkit::temp_dir();
    let password = "hush hush";
    let mut server = Redis::builder().option("save", "").option("requirepass", password).start();
    let open = async |name: &str| {
        let mut settings = settings(dir.path(), name);
        let mut redis = redis_settings(&server.url(), "share");
        redis.password = Some(SecretSource::File(secret_file(dir.path(), "redis", password)));
        settings.redis = Some(redis);
        settings.cache.tiers = vec![TierKind::Redis];
        settings.cache.backplane = Some(Via::Redis);
        Storage::from_settings(&settings).await.unwrap()
    };
    let (first, second) = (open("first").await, open("second").await);
    share(&first, &second).await;
    first.redis().unwrap().ping().await.unwrap();
    let health = first.health().await;
    assert_eq!(health.component("redis").unwrap().health.status, Status::Up, "{health:?}");
    let text = first.metrics().collect().render(aetherius::metrics::Format::OpenMetrics);
    assert!(text.contains("aeth_redis_"), "the server's figures are not exported");

    server.kill();
    let users = first.cache::<String>("users").unwrap();
    let load = || async { Ok::<_, Error>("cid".to_owned()) };
    assert_eq!(*users.get_or_load_scoped(&2u64, load).await.unwrap(), "cid");
    // One failure is not yet a fall: hysteresis asks for a few in a row.
    let mut health = first.health_checks().refresh(aetherius::metrics::Probe::Readiness).await;
    for _ in 0..10 {
        if health.component("redis").unwrap().health.status != Status::Up {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        health = first.health_checks().refresh(aetherius::metrics::Probe::Readiness).await;
    }
    assert_ne!(health.component("redis").unwrap().health.status, Status::Up, "{health:?}");
    assert_ne!(health.status, Status::Down, "a cache that is away stops nothing: {health:?}");
    server.restart();
    first.shutdown(DEADLINE).await.unwrap();
    second.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_alone_is_tier_and_backplane() {
    let dir = testkit::temp_dir();
    let url = Postgres::shared().url(&Postgres::shared().database());
    let open = async |name: &str| {
        let mut settings = settings(dir.path(), name);
        settings.database.url = Some(url.as_str().into());
        settings.cache.tiers = vec![TierKind::Database];
        settings.cache.backplane = Some(Via::Database);
        Storage::from_settings(&settings).await.unwrap()
    };
    let (first, second) = (open("first").await, open("second").await);
    share(&first, &second).await;
    first.shutdown(DEADLINE).await.unwrap();
    second.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_the_database_tier_is_a_file_that_outlives_the_process() {
    let dir = testkit::temp_dir();
    let mut settings = settings(dir.path(), "data");
    settings.cache.tiers = vec![TierKind::Database];
    settings.cache.warm = true;
    for round in 0..2 {
        let storage = Storage::from_settings(&settings).await.unwrap();
        let users = storage.cache::<String>("users").unwrap();
        let load = || async { Ok::<_, Error>(format!("round {round}")) };
        assert_eq!(*users.get_or_load_scoped(&1u64, load).await.unwrap(), "round 0");
        storage.shutdown(DEADLINE).await.unwrap();
    }
    assert!(dir.path().join("data/cache/tier.sqlite").exists());
}
