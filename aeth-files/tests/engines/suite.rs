//! object_store's own integration functions, each a test of its own: one that fails panics, and one that waits for what
//! never comes hangs.
//!
//! A maker takes the name of the test, for a bucket of its own, and gives a [`Place`].

use aeth_core::blob::BlobStore;
use aeth_core::seal::{Keyset, SegmentSize};
pub(crate) use aeth_files::object_store::integration as laws;
use aeth_files::{AsObjectStore, Cached, Encrypted, Metered, Mirrored};
use std::sync::Arc;
use std::time::Duration;
use testkit::TempDir;

/// A store, and the directory that it lives in.
pub(crate) struct Place(
    pub(crate) AsObjectStore,
    #[allow(dead_code, reason = "removed when it is dropped")] pub(crate) Option<TempDir>,
);

impl Place {
    pub(crate) fn of(store: impl BlobStore) -> Self {
        Self(over(store), None)
    }
}

pub(crate) fn over(store: impl BlobStore) -> AsObjectStore {
    AsObjectStore::new(Arc::new(store))
}

pub(crate) fn keyset() -> Keyset {
    Keyset::generate(SegmentSize::default()).unwrap()
}

/// metered(cached(encrypted(mirrored(…)))) over three locations.
pub(crate) async fn composed(locations: impl IntoIterator<Item = Arc<dyn BlobStore>>) -> AsObjectStore {
    let mut mirror = Mirrored::builder();
    for (at, location) in locations.into_iter().enumerate() {
        mirror = mirror.shared_location(format!("location {at}"), location);
    }
    let sealed = Encrypted::new(mirror.open().await.unwrap(), keyset());
    over(Metered::new(Cached::builder(sealed).open().await.unwrap()))
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(180), work).await.expect("it hung")
}

macro_rules! functions {
    ($make:path; $($name:ident => |$store:ident| $call:expr),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let name = stringify!($name).replace('_', "-");
                let $crate::suite::Place($store, _dir) = $make(name).await;
                $crate::suite::within($call).await;
            }
        )+
    };
}

/// What every engine passes: the functions that need the main trait alone, or the listing by pages.
macro_rules! main {
    ($make:path) => {
        use $crate::suite::laws;

        functions! { $make;
            put_get_delete_list => |store| laws::put_get_delete_list(&store),
            put_get_attributes => |store| laws::put_get_attributes(&store),
            get_opts => |store| laws::get_opts(&store),
            put_opts_with_updates => |store| laws::put_opts(&store, true),
            stream_get => |store| laws::stream_get(&store),
            list_uses_directories_correctly => |store| laws::list_uses_directories_correctly(&store),
            list_with_delimiter => |store| laws::list_with_delimiter(&store),
            list_with_offset_exclusivity => |store| laws::list_with_offset_exclusivity(&store),
            rename_and_copy => |store| laws::rename_and_copy(&store),
            copy_if_not_exists => |store| laws::copy_if_not_exists(&store),
            copy_rename_nonexistent_object => |store| laws::copy_rename_nonexistent_object(&store),
            multipart_out_of_order => |store| laws::multipart_out_of_order(&store),
            list_paginated => |store| laws::list_paginated(&store, &store),
            get_nonexistent_object => |store| async move {
                let error = laws::get_nonexistent_object(&store, None).await.unwrap_err();
                assert!(matches!(error, aeth_files::object_store::Error::NotFound { .. }), "{error}");
            },
        }
    };
}

/// Of two uploads of one blob the last to complete counts.
macro_rules! race {
    ($make:path) => {
        functions! { $make;
            multipart_race_condition => |store| laws::multipart_race_condition(&store, true),
        }
    };
}

/// The functions that need uploads by id.
macro_rules! uploads {
    ($make:path) => {
        functions! { $make;
            multipart => |store| laws::multipart(&store, &store),
            multipart_put_part_out_of_order => |store| laws::multipart_put_part_out_of_order(&store, &store),
        }
    };
}

/// The one that needs attributes with them too.
macro_rules! uploads_with_attributes {
    ($make:path) => {
        functions! { $make;
            multipart_with_opts => |store| laws::multipart_with_opts(&store, &store),
        }
    };
}

/// All of them.
macro_rules! every {
    ($make:path) => {
        main!($make);
        race!($make);
        uploads!($make);
        uploads_with_attributes!($make);
    };
}
