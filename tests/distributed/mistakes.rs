//! Settings of servers that cannot be: all named at once, nothing opened, no secret shown.

use super::{redis_settings, settings};
use aetherius::prelude::*;
use aetherius::{Address, ErrorKind, LocationSettings, RedisMode, SecretSource, TierKind, Via};

#[tokio::test]
async fn every_mistake_about_servers_is_reported_at_once_and_without_secrets() {
    let dir = testkit::temp_dir();
    let mut settings = settings(dir.path(), "data");
    settings.redis = Some(redis_settings("redis://:hunter2@cache", "x"));
    settings.cache.tiers = vec![TierKind::Redis, TierKind::Redis];
    settings.cache.backplane = Some(Via::Database);
    settings.cache.database_budget = aetherius::Size::from_bytes(1);
    settings.database.password = Some(SecretSource::Env("NO_SUCH_VARIABLE".into()));
    settings.database.max_connections = 0;
    let mut location = LocationSettings::new("s3://bucket/../x");
    settings.files.locations.push(location.clone());
    location.at = "s3://bucket/x".into();
    location.endpoint = Some("http://minio:9000".into());
    location.user = Some("app".into());
    settings.files.locations.push(location);
    settings.files.write_quorum = Some(5);
    settings.backup.locations = vec!["s3://bucket/y".into(), "s3://bucket/y/".into()];
    settings.backup.leader = Some(Via::Redis);
    let error = Storage::from_settings(&settings).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = format!("{error:?} {settings:?}");
    for named in [
        "redis.url: holds a password",
        "cache.tiers[1]",
        "cache.backplane",
        "cache.database_budget",
        "database.password",
        "database.max_connections",
        "files.locations[0]",
        "files.locations[1].endpoint",
        "files.locations[1].key",
        "files.write_quorum",
        "backup.locations[1]",
        "backup.leader: needs a schedule",
    ] {
        assert!(text.contains(named), "{named} is missing in: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!dir.path().join("data").exists(), "something was opened");
}

#[tokio::test]
async fn servers_that_are_described_wrongly_are_named() {
    let dir = testkit::temp_dir();
    let opened = async |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(dir.path(), "data");
        change(&mut settings);
        let error = Storage::from_settings(&settings).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let text = format!("{error:?}");
        assert!(!text.contains("hunter2"), "{text}");
        text
    };
    for (wanted, url, mode, service) in [
        ("redis.service", "redis://a,redis://b", RedisMode::Sentinel, None),
        ("redis.service", "redis://a", RedisMode::Standalone, Some("mymaster")),
        ("one URL", "redis://a,redis://b", RedisMode::Standalone, None),
        ("redis", "http://a", RedisMode::Standalone, None),
        ("redis.url", "", RedisMode::Standalone, None),
    ] {
        let said = opened(&|settings: &mut Settings| {
            let mut redis = redis_settings(url, "x");
            (redis.mode, redis.service) = (mode, service.map(str::to_owned));
            settings.redis = Some(redis);
        })
        .await;
        assert!(said.contains(wanted), "{url}: {said}");
    }
    for (wanted, url) in
        [("postgres://", "mysql://app@db/app"), ("database.url", "postgres://app:hunter2@db/app")]
    {
        let said = opened(&|settings: &mut Settings| settings.database.url = Some(url.into())).await;
        assert!(said.contains(wanted), "{url}: {said}");
    }
    let missing = opened(&|settings: &mut Settings| {
        settings.database.url = Some(Address::File("/no/such/url".into()));
        settings.redis = Some(redis_settings("redis://a", "x"));
        settings.redis.as_mut().unwrap().tls_ca = Some("/no/such/ca.pem".into());
    })
    .await;
    assert!(missing.contains("/no/such/url") && missing.contains("/no/such/ca.pem"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_not_there_is_named() {
    let dir = testkit::temp_dir();
    let mut settings = settings(dir.path(), "data");
    let mut location = super::bucket(dir.path(), "there-is-one", "app");
    location.at = "s3://never-made/app".into();
    settings.files.locations = vec![location];
    let error = Storage::from_settings(&settings).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(error.to_string().contains("s3://never-made/app"), "{error}");
    // The directory is free again: what failed holds nothing.
    settings.files.locations.clear();
    Storage::from_settings(&settings).await.unwrap().shutdown(super::DEADLINE).await.unwrap();
}
