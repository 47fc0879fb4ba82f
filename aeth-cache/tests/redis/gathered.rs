//! Look-ups of single keys that are made at the same time.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used)]

use crate::place::{calls, entry, key, space, tier};
use aeth_core::ErrorKind;
use aeth_core::cache::{CacheTierExt, Lookup};
use futures_util::future::join_all;
use std::time::Duration;

/// They leave as one command, or as one each; either way each is answered what its own key has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_answered_for_its_own_key() {
    let server = testkit::Redis::start();
    for coalesce in [true, false] {
        let tier = tier(&server, |o| o.with_coalesce(coalesce));
        for n in (0..100).step_by(2) {
            tier.put(&space(), key(n), entry(n)).await.unwrap();
        }
        // Somebody else's list stands where a value could stand.
        server.cli(&["DEL", "{aeth:space:51}"]);
        server.cli(&["LPUSH", "{aeth:space:51}", "x"]);
        server.cli(&["CONFIG", "RESETSTAT"]);
        let (names, at) = ((0..100).map(key).collect::<Vec<_>>(), space());
        let found = join_all(names.iter().map(|name| tier.get(&at, name))).await;
        for (n, found) in found.into_iter().enumerate() {
            match (n, found) {
                (51, Lookup::Unavailable(error)) if !coalesce => {
                    assert!(error.to_string().contains("another type"), "{error}");
                }
                // MGET finds nothing there.
                (51, found) => assert!(coalesce && found.is_miss(), "{found:?}"),
                (n, Lookup::Hit(entry)) => {
                    assert!(n % 2 == 0 && entry.value == n.to_string(), "{n}: {entry:?}")
                }
                (n, found) => assert!(n % 2 == 1 && found.is_miss(), "{n}: {found:?}"),
            }
        }
        let counted = calls(&server);
        let count = |name| counted.get(name).copied().unwrap_or_default();
        match coalesce {
            true => assert!(count("mget") >= 1 && count("mget") + count("get") < 50, "{counted:?}"),
            false => assert_eq!((count("mget"), count("get")), (0, 100), "{counted:?}"),
        }
    }
}

/// A runtime that ends takes its batches and its connection with it, and nothing else: the handle works on the next one.
#[test]
fn a_runtime_that_ends_leaves_the_handle_usable() {
    let server = testkit::Redis::start();
    let tier = tier(&server, |o| o);
    for round in 0..4 {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // That the connection is gone, its first user finds out.
        let stored = async {
            while let Err(error) = tier.put(&space(), key("key"), entry(round)).await {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            }
            tier.get(&space(), &key("key")).await.hit()
        };
        let limit = Duration::from_secs(5);
        let stored = runtime.block_on(async { tokio::time::timeout(limit, stored).await });
        assert_eq!(stored.expect("nothing hangs").expect("it was stored").value, round.to_string());
        server.cli(&["CLIENT", "PAUSE", "300", "ALL"]);
        for _ in 0..20 {
            let tier = tier.clone();
            runtime.spawn(async move { tier.get(&space(), &key("key")).await });
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(runtime);
        std::thread::sleep(Duration::from_millis(300));
    }
}
