//! One load for many callers, whatever happens to them.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use crate::support;

use aeth_cache::{CacheOptions, loader_error};
use aeth_core::{ErrorKind, Lifecycle};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{Failure, Source, Test, caches, mocked, numbers, secs, settle};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_concurrent_misses_are_one_load() -> Test {
    for key in 0..20_u64 {
        let cache = numbers(&caches());
        let loads = Arc::new(AtomicU64::new(0));
        let mut callers = JoinSet::new();
        for _ in 0..1000 {
            let (cache, loads) = (cache.clone(), Arc::clone(&loads));
            callers.spawn(async move {
                let load = move || async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Ok::<_, Failure>(7)
                };
                cache.get_or_load(&key, load).await.map(|value| *value)
            });
        }
        while let Some(value) = callers.join_next().await {
            assert_eq!(value??, 7);
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_cancelled_leader_does_not_end_the_load() -> Test {
    let cache = numbers(&caches());
    let source = Source::gated(1);
    let leader = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move { cache.get_or_load(&1, move || source.load()).await }
    });
    settle().await;
    let mut waiters = JoinSet::new();
    for _ in 0..50 {
        let (cache, source) = (cache.clone(), source.clone());
        waiters.spawn(async move { cache.get_or_load(&1, move || source.load()).await });
    }
    settle().await;
    leader.abort();
    settle().await;
    source.let_go(1);
    while let Some(value) = waiters.join_next().await {
        assert_eq!(*value??, 1);
    }
    assert_eq!(source.loads(), 1);
    Ok(())
}

#[tokio::test]
async fn a_dropped_scoped_leader_hands_over() -> Test {
    let cache = numbers(&caches());
    let source = Source::gated(1);
    let mut callers = Vec::new();
    for _ in 0..51 {
        let (cache, source) = (cache.clone(), source.clone());
        callers.push(tokio::spawn(async move {
            // Borrows what lives in this task.
            let borrowed = &source;
            cache.get_or_load_scoped(&1, || borrowed.clone().load()).await.map(|value| *value)
        }));
    }
    settle().await;
    assert_eq!(source.loads(), 1);
    callers.remove(0).abort();
    settle().await;
    source.let_go(1);
    for caller in callers {
        assert_eq!(caller.await??, 1);
    }
    assert_eq!(source.loads(), 2);
    Ok(())
}

#[tokio::test]
async fn a_detached_caller_takes_over_from_a_dropped_scoped_one() -> Test {
    let cache = numbers(&caches());
    let source = Source::gated(1);
    let scoped = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move { cache.get_or_load_scoped(&1, || source.load()).await }
    });
    settle().await;
    let many = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move {
            let load = move |keys: Vec<u64>| {
                let source = source.clone();
                async move {
                    let value = source.load().await?;
                    Ok::<_, Failure>(keys.into_iter().map(|key| (key, value)).collect())
                }
            };
            cache.get_or_load_many(&[1, 2], load).await
        }
    });
    settle().await;
    scoped.abort();
    settle().await;
    source.let_go(3);
    let values = many.await??;
    assert_eq!(values.iter().map(|value| value.as_deref().copied()).collect::<Vec<_>>(), [Some(1), Some(1)]);
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Broken(u32);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

#[tokio::test]
async fn an_error_is_shared_by_all_who_wait() -> Test {
    let cache = numbers(&caches());
    let loads = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let (cache, loads) = (cache.clone(), Arc::clone(&loads));
        callers.spawn(async move {
            let load = move || async move {
                loads.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Err::<u64, _>(Broken(7))
            };
            cache.get_or_load(&1, load).await
        });
    }
    while let Some(result) = callers.join_next().await {
        let error = result?.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert_eq!(loader_error::<Broken>(&error), Some(&Broken(7)));
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    // It is not remembered.
    assert_eq!(*cache.get_or_load(&1, || async { Ok::<_, Failure>(3) }).await?, 3);
    Ok(())
}

#[tokio::test]
async fn errors_of_the_family_keep_their_kind() -> Test {
    let cache = numbers(&caches());
    let denied = || async { Err::<u64, _>(aeth_core::Error::new(ErrorKind::Denied, "no")) };
    assert_eq!(cache.get_or_load(&1, denied).await.unwrap_err().kind(), ErrorKind::Denied);
    let io = || async { Err::<u64, _>(std::io::Error::from(std::io::ErrorKind::NotFound)) };
    assert_eq!(cache.get_or_load(&1, io).await.unwrap_err().kind(), ErrorKind::NotFound);
    Ok(())
}

#[tokio::test]
async fn a_panic_is_an_error_to_all_who_wait() -> Test {
    let cache = numbers(&caches());
    let mut callers = JoinSet::new();
    for caller in 0..20 {
        let cache = cache.clone();
        callers.spawn(async move {
            if caller % 2 == 0 {
                cache.get_or_load(&1, || async { boom().await }).await
            } else {
                cache.get_or_load_scoped(&1, || async { boom().await }).await
            }
        });
    }
    while let Some(result) = callers.join_next().await {
        let error = result?.unwrap_err();
        assert!(error.to_string().contains("the loader panicked: boom"), "{error}");
    }
    // One that panics before it gives a future.
    fn early() -> std::future::Ready<Result<u64, Failure>> {
        panic!("boom")
    }
    assert!(cache.get_or_load(&1, early).await.is_err());
    assert_eq!(*cache.get_or_load(&1, || async { Ok::<_, Failure>(3) }).await?, 3);
    Ok(())
}

async fn boom() -> Result<u64, Failure> {
    tokio::task::yield_now().await;
    panic!("boom")
}

#[tokio::test]
async fn a_loader_that_hangs_is_dropped_in_time() -> Test {
    let (caches, clock) = mocked();
    let cache = caches.open::<u64>("numbers", CacheOptions::new().hard_timeout(secs(3)))?;
    let hang = || std::future::pending::<Result<u64, Failure>>();
    let error = clock.drive(cache.get_or_load(&1, hang)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let error = clock.drive(cache.get_or_load_scoped(&1, hang)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    Ok(())
}

#[tokio::test]
async fn a_batch_loads_only_what_is_missing_and_nobody_else_loads() -> Test {
    let cache = numbers(&caches());
    cache.put(&1, 10).await?;
    let source = Source::gated(99);
    let other = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move { cache.get_or_load(&2, move || source.load()).await }
    });
    settle().await;
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let batch = tokio::spawn({
        let (cache, asked) = (cache.clone(), Arc::clone(&asked));
        async move {
            let load = move |keys: Vec<u64>| {
                asked.lock().unwrap().push(keys.clone());
                async move {
                    let found = keys.into_iter().filter(|key| *key != 5);
                    Ok::<_, Failure>(found.map(|key| (key, key * 10)).collect())
                }
            };
            cache.get_or_load_many(&[1, 2, 3, 4, 5, 3], load).await
        }
    });
    settle().await;
    source.let_go(1);
    let values: Vec<_> = batch.await??.into_iter().map(|value| value.map(|value| *value)).collect();
    assert_eq!(values, [Some(10), Some(99), Some(30), Some(40), None, Some(30)]);
    assert_eq!(*asked.lock().unwrap(), [vec![3, 4, 5]]);
    assert_eq!(*other.await??, 99);
    Ok(())
}

#[tokio::test]
async fn close_waits_for_loads_and_ends_everything_after() -> Test {
    let caches = caches();
    let cache = numbers(&caches);
    cache.put(&9, 9).await?;
    let source = Source::gated(1);
    let caller = tokio::spawn({
        let (cache, source) = (cache.clone(), source.clone());
        async move { cache.get_or_load(&1, move || source.load()).await }
    });
    settle().await;
    let error = caches.close(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    source.let_go(1);
    caches.close(secs(5)).await?;
    assert_eq!(*caller.await??, 1);
    assert!(cache.peek(&9).is_none() && cache.peek(&1).is_none());
    for error in [
        cache.get(&9).await.unwrap_err(),
        cache.put(&9, 1).await.unwrap_err(),
        cache.remove(&9).await.unwrap_err(),
        cache.clear().await.unwrap_err(),
        cache.get_or_load(&9, || async { Ok::<_, Failure>(1) }).await.unwrap_err(),
        caches.open::<u64>("more", CacheOptions::new()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    caches.close(secs(1)).await?;
    Ok(())
}

#[test]
fn a_load_outside_of_a_runtime_is_an_error_and_no_panic() {
    let cache = numbers(&caches());
    let load = cache.get_or_load(&1, || async { Ok::<_, Failure>(1) });
    let error = futures_util::FutureExt::now_or_never(load).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
