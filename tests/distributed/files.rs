//! Files in object stores, alone and mirrored, sealed and shared.

use super::{DEADLINE, SECRET, bucket, redis_settings, settings};
use aetherius::core::blob::{BlobStoreExt, Capability, PutOptions};
use aetherius::core::conformance::blob_store::BlobSubject;
use aetherius::core::observe::Status;
use aetherius::prelude::*;
use aetherius::{BlobPath, Compression, ErrorKind, LocationSettings, PageCacheSettings, Size, Span, Via};
use std::sync::Arc;
use testkit::Redis;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_sealed_files_in_a_bucket() {
    let dir = testkit::temp_dir();
    let open = async |name: &str| {
        let mut settings = settings(dir.path(), name);
        settings.files.locations.push(bucket(dir.path(), "shared-files", "app"));
        settings.files.page_cache = Some(PageCacheSettings::default());
        settings.files.page_cache.as_mut().unwrap().on_disk = name == "first";
        settings.redis = Some(redis_settings(&Redis::shared().url(), "pages"));
        settings.cache.backplane = Some(Via::Redis);
        Storage::from_settings(&settings).await
    };
    // Both begin on an empty bucket at once: one of them makes the keyset.
    let (first, second) = tokio::join!(open("first"), open("second"));
    let (first, second) = (first.unwrap(), second.unwrap());
    first.files().put("notes/1.txt", "remember the milk").await.unwrap();
    assert_eq!(second.files().get("notes/1.txt").await.unwrap(), "remember the milk");
    second.files().put("notes/1.txt", "and the bread").await.unwrap();
    assert_eq!(first.files().get("notes/1.txt").await.unwrap(), "and the bread");
    assert!(first.files().store().capabilities().has(Capability::CompareAndSwap));
    first.shutdown(DEADLINE).await.unwrap();
    second.shutdown(DEADLINE).await.unwrap();
    // A third one, on a new machine, needs the secret alone.
    let third = open("third").await.unwrap();
    assert_eq!(third.files().get("notes/1.txt").await.unwrap(), "and the bread");
    third.shutdown(DEADLINE).await.unwrap();

    let raw = aetherius::files::S3Options::new("shared-files")
        .with_endpoint(testkit::Moto::shared().url())
        .with_region("us-east-1")
        .with_key("app", Secret::new("a-very-secret-key"))
        .with_allow_http(true);
    let raw = aetherius::files::ObjectStoreAdapter::s3(raw).unwrap();
    let stored = raw.get_bytes(&BlobPath::new("app/files/notes/1.txt").unwrap()).await.unwrap();
    assert!(!stored.windows(5).any(|bytes| bytes == b"bread"), "it is stored in clear");
    let mut wrong = settings(dir.path(), "wrong");
    wrong.files.locations.push(bucket(dir.path(), "shared-files", "app"));
    let wrong = opened_with(&wrong, "another").await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Denied, "{wrong}");
    assert!(wrong.remedy().is_some() && !format!("{wrong:?}").contains("very-secret"), "{wrong:?}");
}

async fn opened_with(settings: &Settings, secret: &str) -> aetherius::Result<Storage> {
    aetherius::StorageBuilder::from_settings(settings).secret(Secret::new(secret)).open().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_over_two_clouds_and_a_disk_outlives_any_one_of_them() {
    let dir = testkit::temp_dir();
    let disk = dir.path().join("disk");
    let mut settings = settings(dir.path(), "data");
    settings.files.locations.push(disk.clone().into());
    settings.files.locations.push(bucket(dir.path(), "mirror-one", "app"));
    let mut second = bucket(dir.path(), "mirror-two", "");
    second.name = Some("elsewhere".into());
    settings.files.locations.push(second);
    settings.files.write_quorum = Some(2);
    let storage = Storage::from_settings(&settings).await.unwrap();
    storage.files().put("a/b.txt", "everywhere").await.unwrap();
    let mirror = storage.health().await.component("mirror").unwrap().health.clone();
    assert_eq!(mirror.status, Status::Up, "{mirror:?}");
    storage.shutdown(DEADLINE).await.unwrap();
    // The disk is lost with everything, the data directory too.
    std::fs::remove_dir_all(&disk).unwrap();
    std::fs::remove_dir_all(dir.path().join("data")).unwrap();
    let storage = Storage::from_settings(&settings).await.unwrap();
    assert_eq!(storage.files().get("a/b.txt").await.unwrap(), "everywhere");
    // Reading has mended the disk, or the next reads do.
    let mended = async {
        while !disk.join("files/a/b.txt").exists() {
            storage.files().get("a/b.txt").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), mended).await.expect("the disk is not mended");
    storage.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_compositions_that_settings_make_keep_the_laws_of_stores() {
    let dir = testkit::temp_dir();
    let mut mirrored = settings(dir.path(), "mirrored");
    mirrored.files.locations = ["one", "two", "three"].map(|name| dir.path().join(name).into()).into();
    mirrored.files.page_cache = Some(PageCacheSettings::default());
    mirrored.files.quota = Some(Size::from_mib(4096));
    let mut compressed = settings(dir.path(), "compressed");
    compressed.files.compression = Compression::Zstd;
    let mut remote = settings(dir.path(), "remote");
    remote.files.locations = vec![bucket(dir.path(), "laws", "app")];
    let zstd = cfg!(feature = "zstd");
    let all = [Some(mirrored), zstd.then_some(compressed), Some(remote)].into_iter().flatten();
    // Side by side: they wait for disks most of the time.
    let kept = all.map(async |settings| {
        let storage = Storage::from_settings(&settings).await.unwrap();
        let store = Arc::clone(storage.files().store());
        let report = BlobSubject::new(store).with_rounds(2).with_large((6 << 20) + 1).run().await;
        assert!(report.is_ok(), "{}: {report}", settings.data_dir.display());
        storage.shutdown(DEADLINE).await.unwrap();
    });
    futures_util::future::join_all(kept).await;
}

#[cfg(feature = "opendal-services")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_opendal_is_a_location_too() {
    let dir = testkit::temp_dir();
    let mut settings = settings(dir.path(), "data");
    settings.files.locations = vec!["memory:///app".into()];
    let storage = Storage::from_settings(&settings).await.unwrap();
    storage.files().put("a", "in opendal's memory").await.unwrap();
    assert_eq!(storage.files().get("a").await.unwrap(), "in opendal's memory");
    storage.shutdown(DEADLINE).await.unwrap();
    settings.data_dir = dir.path().join("other");
    settings.files.locations = vec!["gopher://hole/app".into()];
    let error = Storage::from_settings(&settings).await.unwrap_err();
    let shown = format!("{error:?}");
    assert!(shown.contains("gopher") && shown.contains("memory"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_in_clear_and_what_is_full_is_said() {
    let dir = testkit::temp_dir();
    let place: LocationSettings = dir.path().join("place").into();
    let mut plain = Settings::new(dir.path().join("plain"));
    plain.files.locations = vec![place.clone()];
    plain.files.quota = Some(Size::from_bytes(100));
    let storage = Storage::from_settings(&plain).await.unwrap();
    storage.files().put("a", "in clear").await.unwrap();
    let full = storage.files().put("b", vec![0; 200]).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    let path = BlobPath::new("a").unwrap();
    let taken = storage.files().store().put_opts(&path, "x".into(), PutOptions::create()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists, "{taken}");
    assert_eq!(storage.files().store().get_bytes(&path).await.unwrap(), "in clear");
    storage.shutdown(DEADLINE).await.unwrap();
    plain.data_dir = dir.path().join("late");
    let late = opened_with(&plain, SECRET).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Precondition, "{late}");
    // Pages may be a while old only where somebody said so.
    assert_eq!(PageCacheSettings::default().revalidate_after, Span::default());
}
