//! Look-ups of single keys that are made at the same time.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used)]

use crate::place::{calls, entry, key, space, tier};
use aeth_core::cache::{CacheTierExt, Lookup};
use futures_util::future::join_all;

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
