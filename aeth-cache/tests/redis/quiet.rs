//! Look-ups that need not ask whether their namespace has changed, because the server would have told.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, clippy::needless_pass_by_value)]

use crate::place::{calls, entry, key, space, tier};
use aeth_core::Tag;
use aeth_core::cache::{CacheTier, CacheTierExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// While the server tells of no change, look-ups do not ask whether there was one; after a change the next one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_namespace_is_not_asked_about() {
    let server = testkit::Redis::start();
    for coalesce in [true, false] {
        let (one, two) = (tier(&server, |o| o), tier(&server, |o| o.with_coalesce(coalesce)));
        one.put(&space(), key("key"), entry("x")).await.unwrap();
        server.cli(&["CONFIG", "RESETSTAT"]);
        let begun = std::time::Instant::now();
        for _ in 0..500 {
            assert!(two.get(&space(), &key("key")).await.hit().is_some());
        }
        // To know nothing, to learn it, to follow it; and once more for each second that it took.
        let allowed = 3 + begun.elapsed().as_secs();
        let counted = calls(&server);
        let asked = counted.get("zmscore").copied().unwrap_or_default();
        assert!((1..=allowed).contains(&asked), "{counted:?}");
        assert_eq!(counted.get("get"), Some(&500), "{counted:?}");
        one.clear(&space()).await.unwrap();
        assert!(two.get(&space(), &key("key")).await.is_miss());
        let counted = calls(&server);
        assert!(counted.get("zmscore").copied().unwrap_or_default() > asked, "{counted:?}");
    }
}

/// Readers that look without pause never see what another node's clear or tag has ended, from its answer on; nor
/// what a flush ends, or a change while their connection is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_told_before_any_later_answer() {
    let server = testkit::Redis::start();
    let (one, two) = (tier(&server, |o| o), tier(&server, |o| o.with_coalesce(false)));
    let tag = Tag::new("tag").unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (two, done) = (two.clone(), Arc::clone(&done));
        readers.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                drop(two.get(&space(), &key("key")).await);
            }
        });
    }
    for round in 0..300 {
        one.put(&space(), key("key"), entry(round).with_tags([tag.clone()])).await.unwrap();
        let found = two.get(&space(), &key("key")).await.hit().expect("it was stored");
        assert_eq!(found.value, round.to_string());
        match round % 20 {
            0 => drop(server.cli(&["FLUSHALL"])),
            1 => {
                one.invalidate_tags(&space(), std::slice::from_ref(&tag)).await.unwrap();
                server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
                one.clear(&space()).await.ok();
            }
            n if n % 2 == 0 => one.clear(&space()).await.unwrap(),
            _ => one.invalidate_tags(&space(), std::slice::from_ref(&tag)).await.unwrap(),
        }
        for _ in 0..3 {
            let found = two.get(&space(), &key("key")).await;
            assert!(found.clone().hit().is_none(), "round {round}: {found:?}");
        }
        if round % 20 == 1 {
            // Until both are connected again.
            while one.get(&space(), &key("key")).await.hit().is_none()
                && one.put(&space(), key("key"), entry("again")).await.is_err()
            {}
            while !matches!(two.get(&space(), &key("key")).await, aeth_core::cache::Lookup::Hit(_)) {}
        }
    }
    done.store(true, Ordering::Relaxed);
    while let Some(read) = readers.join_next().await {
        read.unwrap();
    }
}
