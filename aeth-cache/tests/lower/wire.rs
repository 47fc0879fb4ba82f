//! Compressed and sealed values; two releases side by side.

use super::Scene;
use crate::support::{Failure, Test, secs};
use aeth_cache::{Cache, CacheKeys, CacheOptions, Caches, Compression, EntryState, Item, TierReport};
use aeth_core::cache::{Entry, EntryFlags};
use aeth_core::seal::{Keyset, SegmentSize};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

fn keyset() -> Keyset {
    Keyset::generate(SegmentSize::default()).unwrap()
}

fn value() -> Bytes {
    Bytes::from(b"to be or not to be ".repeat(500))
}

fn options() -> CacheOptions<Bytes> {
    CacheOptions::raw().fresh_for(secs(600))
}

/// Another process with these options over the same tier.
fn open(scene: &Scene, options: CacheOptions<Bytes>) -> (Caches, Cache<Bytes>) {
    let caches = scene.caches();
    let cache = caches.open("c", options).unwrap();
    (caches, cache)
}

#[tokio::test]
async fn values_above_the_threshold_are_compressed_and_everybody_reads_them() -> Test {
    let scene = Scene::new();
    let methods =
        [("zstd", Compression::zstd(), EntryFlags::ZSTD), ("lz4", Compression::lz4(), EntryFlags::LZ4)];
    for (key, method, flag) in methods {
        let (_caches, cache) = open(&scene, options().compress(method.above(1000)));
        cache.put(key, value()).await?;
        cache.put("short", Bytes::from_static(b"0000000000000000000000000")).await?;
        let stored = scene.stored("c", key).await.unwrap();
        assert!(stored.flags.has(flag) && stored.value.len() < value().len() / 4);
        assert_eq!(scene.stored("c", "short").await.unwrap().flags, EntryFlags::NONE);
        for reader in [
            options(),
            options().compress(Compression::lz4()),
            options().compress(Compression::zstd_level(5)),
        ] {
            assert_eq!(open(&scene, reader).1.get(key).await?.as_deref(), Some(&value()));
        }
    }
    Ok(())
}

#[tokio::test]
async fn sealed_values_are_read_by_whoever_has_a_key() -> Test {
    let scene = Scene::new();
    let mut keyset = keyset();
    let keys = CacheKeys::new(keyset.clone());
    let (_caches, cache) = open(&scene, options().seal(&keys).compress(Compression::zstd()));
    cache.put("k", value()).await?;
    cache.put_item("none", Item::absent().with_fresh_for(secs(600))).await?;
    let stored = scene.stored("c", "k").await.unwrap();
    assert!(stored.flags.has(EntryFlags::SEALED) && !stored.value.windows(5).any(|part| part == b"to be"));
    assert!(scene.stored("c", "none").await.unwrap().flags.has(EntryFlags::SEALED));
    assert_eq!(open(&scene, options().seal(&keys)).1.get("k").await?.as_deref(), Some(&value()));
    // Without keys, or with others, it is a miss.
    assert_eq!(open(&scene, options()).1.get("k").await?, None);
    let (caches, stranger) = open(&scene, options().seal(&CacheKeys::new(self::keyset())));
    assert_eq!(stranger.get("k").await?, None);
    let load = || async { Ok::<_, Failure>(Bytes::from_static(b"loaded")) };
    assert_eq!(*stranger.get_or_load("k", load).await?, Bytes::from_static(b"loaded"));
    assert!(figure(&caches, "aeth_cache_undecodable") >= 2.0);
    // Rotation: all get the new key, then it seals.
    let first = keyset.primary_id();
    let second = keyset.add_key(SegmentSize::default())?;
    keys.replace(keyset.clone());
    keyset.promote(second)?;
    keys.replace(keyset.clone());
    cache.put("new", value()).await?;
    let reader = open(&scene, options().seal(&keys)).1;
    assert_eq!(reader.get("k").await?.as_deref(), Some(&value()), "sealed under the old key");
    assert_eq!(reader.get("new").await?.as_deref(), Some(&value()));
    keyset.disable(first)?;
    keys.replace(keyset);
    let reader = open(&scene, options().seal(&keys)).1;
    assert_eq!(reader.get("k").await?, None, "its key is disabled");
    assert_eq!(reader.get("new").await?.as_deref(), Some(&value()));
    Ok(())
}

#[tokio::test]
async fn sealed_entries_cannot_be_moved_or_changed() -> Test {
    let scene = Scene::new();
    let keys = CacheKeys::new(keyset());
    let (caches, cache) = open(&scene, options().seal(&keys));
    cache.put_item("a", Item::new(value()).with_tag("t")?.with_version(1)).await?;
    let genuine = scene.stored("c", "a").await.unwrap();
    scene.plant("other", "a", genuine.clone()).await;
    let tampered: Vec<(&str, Entry)> = vec![
        ("plain", Entry::new(value(), scene.now(), scene.now() + 60_000)),
        ("negative", Entry::new("", scene.now(), scene.now() + 60_000).with_flags(EntryFlags::NEGATIVE)),
        ("moved", genuine.clone()),
        ("longer", genuine.clone().with_usable_until(genuine.usable_until + 1)),
        ("untagged", genuine.clone().with_tags([])),
        ("newer", genuine.clone().with_version(2)),
        ("other schema", genuine.clone().with_codec(genuine.codec, 1)),
        ("unflagged", genuine.clone().with_flags(EntryFlags::NONE)),
        ("absent", genuine.clone().with_flags(genuine.flags.with(EntryFlags::NEGATIVE))),
    ];
    for (what, entry) in tampered {
        let key = if what == "moved" { "b" } else { "a" };
        scene.tier_reset(key).await;
        scene.plant("c", key, entry).await;
        let (_caches, reader) = open(&scene, options().seal(&keys));
        assert_eq!(reader.get(key).await?, None, "{what}");
        let explained = reader.explain(key).await?;
        assert!(
            matches!(explained.lower.as_slice(), [(_, TierReport::Entry(report))] if report.state == EntryState::Foreign)
        );
    }
    let other = caches.open("other", options().seal(&keys))?;
    assert_eq!(other.get("a").await?, None, "of another namespace");
    for flip in [0, 1, 40, genuine.value.len() - 1] {
        let mut bytes = genuine.value.to_vec();
        bytes[flip] ^= 1;
        let mut entry = genuine.clone();
        entry.value = bytes.into();
        scene.tier_reset("a").await;
        scene.plant("c", "a", entry).await;
        assert_eq!(open(&scene, options().seal(&keys)).1.get("a").await?, None);
    }
    scene.tier_reset("a").await;
    scene.plant("c", "a", genuine).await;
    assert_eq!(open(&scene, options().seal(&keys)).1.get("a").await?.as_deref(), Some(&value()));
    Ok(())
}

impl Scene {
    /// Removes a key, so that an older version can be planted.
    async fn tier_reset(&self, key: &str) {
        use aeth_core::cache::CacheTierExt;
        let (space, key) = (aeth_core::Namespace::new("c").unwrap(), aeth_core::Key::new(key).unwrap());
        self.tier.remove(&space, &key).await.unwrap();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Old {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct New {
    name: String,
    age: u8,
}

#[tokio::test]
async fn two_schemas_live_side_by_side() -> Test {
    let scene = Scene::new();
    let (one, two) = (scene.caches(), scene.caches());
    let old = one.open::<Old>("users", CacheOptions::json())?;
    let new = two.open::<New>("users", CacheOptions::json().schema(1))?;
    let (ada, grown) = (Old { name: "Ada".into() }, New { name: "Ada".into(), age: 36 });
    let load_old = || {
        let ada = ada.clone();
        move || async move { Ok::<_, Failure>(ada) }
    };
    let load_new = || {
        let grown = grown.clone();
        move || async move { Ok::<_, Failure>(grown) }
    };
    // Who comes second loads for itself, and leaves the other's entry alone.
    assert_eq!(*old.get_or_load("ada", load_old()).await?, ada);
    assert_eq!(new.get("ada").await?, None);
    assert_eq!(*new.get_or_load("ada", load_new()).await?, grown);
    assert_eq!(scene.stored("users", "ada").await.unwrap().schema, 0);
    // A put is the newer truth, for whoever can read it.
    new.put("ada", grown.clone()).await?;
    assert_eq!(scene.stored("users", "ada").await.unwrap().schema, 1);
    one.assume_stale();
    assert_eq!(old.get("ada").await?, None);
    assert_eq!(*old.get_or_load("ada", load_old()).await?, ada);
    // A removal by either is seen by both.
    old.remove("ada").await?;
    assert_eq!(scene.stored("users", "ada").await, None);
    two.assume_stale();
    assert_eq!(new.get("ada").await?, None);
    // Another codec under the same schema is no misunderstanding either.
    let packed = scene.caches().open::<Old>("users", CacheOptions::new())?;
    old.put("ada", ada.clone()).await?;
    assert_eq!(packed.get("ada").await?, None);
    Ok(())
}

fn figure(caches: &Caches, name: &str) -> f64 {
    crate::support::figures(caches)
        .into_iter()
        .filter(|(key, _)| key.starts_with(name))
        .map(|(_, value)| value)
        .sum()
}
