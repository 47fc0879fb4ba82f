//! Structured directories through the handle of hosts.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test crate")]

use aeth_core::ErrorKind;
use aeth_core::blob::PutOptions;
use aeth_files::{Files, Filing, LocalDir, MemoryStore, Placement};
use futures_util::TryStreamExt;
use std::time::{Duration, UNIX_EPOCH};

#[tokio::test]
async fn files_are_found_by_tenant_and_day_and_nothing_is_written_over() {
    let dir = testkit::temp_dir();
    let files = Files::new(LocalDir::open(dir.path()).await.unwrap());
    let placement = Placement::by_tenant();
    let day = UNIX_EPOCH + Duration::from_secs(1_795_900_000);
    for (tenant, name) in [("acme", "a.txt"), ("acme", "../b.txt"), ("../acme", "a.txt"), ("other", "a.txt")]
    {
        let filing = Filing::named(name).with_tenant(tenant).with_time(day);
        let (path, _) = files
            .put_filed(&placement, filing.clone(), format!("{tenant} {name}"), PutOptions::default())
            .await
            .unwrap();
        assert_eq!(files.get(path.clone()).await.unwrap(), format!("{tenant} {name}"));
        let filed = placement.read(&path).unwrap();
        assert_eq!(
            (filed.tenant.as_deref(), filed.date.as_slice()),
            (Some(tenant), [2026, 11, 28].as_slice())
        );
        let again = files.put_filed(&placement, filing, "another", PutOptions::default()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    // On disk it is the directory that one would expect, and nothing stands outside of it.
    assert!(dir.path().join("acme/2026/11/28/a.txt").is_file());
    assert_eq!(std::fs::read_dir(dir.path().join("acme/2026/11/28")).unwrap().count(), 2);
    let mut of_acme = Filing::default();
    of_acme.tenant = Some("acme".into());
    let prefix = placement.prefix(&of_acme).unwrap();
    assert_eq!(files.list(&prefix).try_collect::<Vec<_>>().await.unwrap().len(), 2);
    assert_eq!(files.delete_prefix(&prefix).await.unwrap(), 2);
    assert_eq!(files.list("").try_collect::<Vec<_>>().await.unwrap().len(), 2, "those of others stay");
}

#[tokio::test]
async fn equal_contents_are_stored_once() {
    let store = MemoryStore::new();
    let files = Files::new(store.clone());
    let placement = Placement::by_content();
    let put = async |text: &'static str| {
        files.put_filed(&placement, Filing::default(), text, PutOptions::default()).await.unwrap().0
    };
    let (one, two, same) = (put("one").await, put("two").await, put("one").await);
    assert!(one == same && one != two && store.len() == 2);
    // The SHA-256 of "one" by coreutils' sha256sum.
    let hash = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    assert_eq!(one.as_str(), format!("76/92/{hash}"));
    assert_eq!(placement.read(&one).unwrap().content.map(|hash| hash[0]), Some(0x76));
}
