//! A hit allocates nothing.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod support;

use aeth_cache::{CacheOptions, Caches, Item, L1Engine};
use futures_util::FutureExt;
use support::Failure;

fn allocations(run: impl FnMut()) -> u64 {
    allocation_counter::measure(run).count_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[tokio::test]
async fn a_hit_allocates_nothing() -> Result<(), Failure> {
    for engine in [L1Engine::Quick, L1Engine::Adaptive, L1Engine::Moka] {
        let caches = Caches::builder().memory(8 << 20).engine(engine).build()?;
        let cache = caches.open::<String>("texts", CacheOptions::new())?;
        let long = "k".repeat(300);
        cache.put(&42_u64, "number".into()).await?;
        cache.put("text", "text".into()).await?;
        cache.put(&("tenant", 7_u32), "tuple".into()).await?;
        cache.put(&long, "long".into()).await?;
        cache.put_item("tagged", Item::new("tagged".into()).with_tag("a")?.with_tag("b")?).await?;
        cache.invalidate_tag("other").await?;
        let round = || {
            assert_eq!(cache.peek(&42_u64).as_deref().map(String::as_str), Some("number"));
            assert_eq!(cache.peek("text").as_deref().map(String::as_str), Some("text"));
            assert_eq!(cache.peek(&("tenant", 7_u32)).as_deref().map(String::as_str), Some("tuple"));
            assert_eq!(cache.peek(&long).as_deref().map(String::as_str), Some("long"));
            assert_eq!(cache.peek("tagged").as_deref().map(String::as_str), Some("tagged"));
            assert!(cache.get(&42_u64).now_or_never().unwrap().unwrap().is_some());
            let loaded = cache.get_or_load(&42_u64, || async { Err::<String, Failure>("not called".into()) });
            assert_eq!(*loaded.now_or_never().unwrap().unwrap(), "number");
            let scoped =
                cache.get_or_load_scoped(&42_u64, || async { Err::<String, Failure>("not called".into()) });
            assert_eq!(*scoped.now_or_never().unwrap().unwrap(), "number");
        };
        // The engine's own buffers fill up first.
        (0..2000).for_each(|_| round());
        match engine {
            L1Engine::Quick | L1Engine::Adaptive => {
                assert_eq!(allocations(|| (0..1000).for_each(|_| round())), 0)
            }
            // moka allocates when it maintains its queues, once in many reads; the reads themselves do not.
            _ => {
                let total = allocations(|| (0..1000).for_each(|_| round()));
                assert!(total < 800, "{total} allocations in 8000 hits");
            }
        }
    }
    Ok(())
}
