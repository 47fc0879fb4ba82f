//! The end: what is owed is paid, and a server that hangs does not hold the process for ever.

use super::{DEADLINE, redis_settings, settings};
use aetherius::cache::{CacheOptions, WriteMode};
use aetherius::prelude::*;
use aetherius::{ErrorKind, TierKind};
use std::time::{Duration, Instant};
use testkit::Redis;

async fn behind(dir: &std::path::Path, url: &str, prefix: &str) -> Storage {
    let mut settings = settings(dir, prefix);
    settings.redis = Some(redis_settings(url, prefix));
    settings.cache.tiers = vec![TierKind::Redis];
    Storage::from_settings(&settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_wait_reach_redis_before_it_is_let_go_of() {
    let dir = testkit::temp_dir();
    let storage = behind(dir.path(), &Redis::shared().url(), "owed").await;
    let options = CacheOptions::new().write(WriteMode::Behind);
    let cache = storage.caches().open::<u64>("numbers", options.clone()).unwrap();
    for number in 0..500u64 {
        cache.put(&number, number * 2).await.unwrap();
    }
    storage.shutdown(DEADLINE).await.unwrap();
    let again = behind(dir.path(), &Redis::shared().url(), "owed").await;
    let cache = again.caches().open::<u64>("numbers", options).unwrap();
    for number in 0..500u64 {
        assert_eq!(cache.get(&number).await.unwrap().as_deref(), Some(&(number * 2)), "{number} was lost");
    }
    again.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_names_the_part_and_the_others_are_closed() {
    let dir = testkit::temp_dir();
    let server = Redis::start();
    let storage = behind(dir.path(), &server.url(), "frozen").await;
    storage.files().put("a", "kept").await.unwrap();
    let options = CacheOptions::new().write(WriteMode::Behind);
    let cache = storage.caches().open::<u64>("numbers", options).unwrap();
    cache.put(&1u64, 1).await.unwrap();
    storage.caches().flush(DEADLINE).await.unwrap();
    server.pause();
    for number in 0..50u64 {
        cache.put(&number, 7).await.unwrap();
    }
    let begun = Instant::now();
    let error = storage.shutdown(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().contains("cache"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    let database = storage.database().unwrap().sqlite().unwrap();
    assert_eq!(database.write().await.unwrap_err().kind(), ErrorKind::Closed, "the database was left open");
    // The directory stays taken while a part may still write; with the last handle it is free.
    let error = Storage::open(dir.path().join("frozen")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    server.resume();
    drop(cache);
    drop(storage);
    let free = async {
        loop {
            match behind_again(dir.path(), &server.url()).await {
                Ok(storage) => return storage,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let storage = tokio::time::timeout(DEADLINE, free).await.expect("the directory is never free again");
    assert_eq!(storage.files().get("a").await.unwrap(), "kept");
    storage.shutdown(DEADLINE).await.unwrap();
}

async fn behind_again(dir: &std::path::Path, url: &str) -> aetherius::Result<Storage> {
    let mut settings = settings(dir, "frozen");
    settings.redis = Some(redis_settings(url, "frozen"));
    Storage::from_settings(&settings).await
}
