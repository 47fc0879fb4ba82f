//! Settings: defaults, units, unknown keys, the environment, and all mistakes at once.
#![allow(clippy::unwrap_used)]

use aetherius::{
    Address, Durability, Encryption, ErrorKind, LocationSettings, RedisSettings, SecretSource, Settings,
    Size, TierKind,
};
use std::path::PathBuf;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn defaults_survive_a_round_trip() {
    let settings = Settings::new("/srv/app");
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    assert_eq!(serde_json::from_str::<Settings>(r#"{"data_dir":"/srv/app"}"#).unwrap(), settings);
}

#[test]
fn unknown_keys_and_impossible_values_are_refused_by_name() {
    for (text, named) in [
        (r#"{"data_dir":"x","cahce":{}}"#, "cahce"),
        (r#"{"data_dir":"x","cache":{"memory":"64 parsecs"}}"#, "64 parsecs"),
        (r#"{"data_dir":"x","database":{"slow_query":200}}"#, "200"),
        (r#"{"data_dir":"x","files":{"encryption":"maybe"}}"#, "maybe"),
        (r#"{"data_dir":"x","secret":{"value":"hunter2"}}"#, "value"),
        (r#"{}"#, "data_dir"),
        (r#"{"data_dir":"x","redis":{"prefix":"y"}}"#, "url"),
        (r#"{"data_dir":"x","redis":{"url":"redis://a","mood":"cluster"}}"#, "mood"),
        (r#"{"data_dir":"x","redis":{"url":{"value":"hunter2"}}}"#, "value"),
        (r#"{"data_dir":"x","cache":{"tiers":["memcached"]}}"#, "memcached"),
        (r#"{"data_dir":"x","files":{"locations":[{"at":"s3://b","regoin":"eu"}]}}"#, "regoin"),
        (r#"{"data_dir":"x","backup":{"locations":[{"region":"eu"}]}}"#, "at"),
    ] {
        let error = serde_json::from_str::<Settings>(text).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_environment_lies_over_the_file() {
    let settings = Settings::new("/srv/app")
        .overlay(variables(&[
            ("AETHERIUS_DATA_DIR", "/other"),
            ("AETHERIUS_SECRET", "never kept in settings"),
            ("AETHERIUS_CACHE__MEMORY", "1.5 GiB"),
            ("AETHERIUS_FILES__ENCRYPTION", "required"),
            ("AETHERIUS_FILES__DURABILITY", "process"),
            ("AETHERIUS_DATABASE__READERS", "8"),
            ("AETHERIUS_BACKUP__LOCATIONS", "/mnt/a, /mnt/b"),
            ("AETHERIUS_BACKUP__PASSWORD_FILE", "/run/secrets/backup"),
            ("AETHERIUS_PASSWORD", "for the examples"),
            ("PATH", "/bin"),
        ]))
        .unwrap();
    assert_eq!(settings.data_dir, PathBuf::from("/other"));
    assert_eq!(settings.secret, Some(SecretSource::Env("AETHERIUS_SECRET".into())));
    assert_eq!(settings.cache.memory, Size::from_mib(1536));
    assert_eq!(settings.files.encryption, Encryption::Required);
    assert_eq!(settings.files.durability, Durability::Process);
    assert_eq!(settings.database.readers, 8);
    assert_eq!(settings.backup.locations, ["/mnt/a", "/mnt/b"].map(LocationSettings::from));
    assert_eq!(settings.backup.password, Some(SecretSource::File("/run/secrets/backup".into())));
    let shown = format!("{settings:?}{}", serde_json::to_string(&settings).unwrap());
    assert!(!shown.contains("never kept"), "{shown}");
}

#[test]
fn every_mistake_of_the_environment_is_reported_at_once() {
    let error = Settings::new("x")
        .overlay(variables(&[
            ("AETHERIUS_CACHE__MEMROY", "64MiB"),
            ("AETHERIUS_CACHE__MEMORY", "lots"),
            ("AETHERIUS_DATABASE__READERS", "-1"),
            ("AETHERIUS_DATABASE__ENABLED", "perhaps"),
        ]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    for named in ["CACHE__MEMROY", "CACHE__MEMORY", "lots", "DATABASE__READERS", "-1", "DATABASE__ENABLED"] {
        assert!(text.contains(named), "{named} is missing in {text}");
    }
}

#[test]
fn a_secret_file_wins_over_a_secret_variable_in_any_order() {
    let pairs = [("AETHERIUS_SECRET_FILE", "/run/secrets/s"), ("AETHERIUS_SECRET", "text")];
    let mut reversed = pairs;
    reversed.reverse();
    for pairs in [pairs, reversed] {
        let settings = Settings::new("x").overlay(variables(&pairs)).unwrap();
        assert_eq!(settings.secret, Some(SecretSource::File("/run/secrets/s".into())));
    }
}

#[test]
fn settings_of_servers_survive_a_round_trip() {
    let text = r#"{
        "data_dir": "/srv/app",
        "redis": { "url": "redis://a:6379,redis://b:6379", "mode": "cluster", "password": { "file": "/run/redis" } },
        "cache": { "tiers": ["redis", "database"], "backplane": "redis" },
        "database": { "url": { "env": "DATABASE_URL" }, "max_connections": 20, "pooler": "transaction" },
        "files": {
            "locations": ["/mnt/a", { "at": "s3://bucket/app", "region": "eu-central-1", "name": "cloud" }],
            "write_quorum": 1,
            "page_cache": { "size": "1GiB", "on_disk": true },
            "quota": "10TB"
        },
        "backup": { "locations": [{ "at": "sftp://host/backup", "secrets": { "key": { "file": "/run/key" } } }] }
    }"#;
    let settings: Settings = serde_json::from_str(text).unwrap();
    assert_eq!(settings.database.url, Some(Address::Env("DATABASE_URL".into())));
    assert_eq!(settings.files.locations[1].label(), "cloud");
    let again = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&again).unwrap(), settings, "{again}");
}

#[test]
fn servers_and_locations_come_from_the_environment() {
    let settings = Settings::new("x")
        .overlay(variables(&[
            ("AETHERIUS_REDIS__URL", "redis://:hunter2@a"),
            ("AETHERIUS_REDIS__PASSWORD_FILE", "/run/redis"),
            ("AETHERIUS_REDIS__COMMAND_TIMEOUT", "250ms"),
            ("AETHERIUS_CACHE__TIERS", "redis,database"),
            ("AETHERIUS_DATABASE__URL_FILE", "/run/url"),
            ("AETHERIUS_BACKUP__LOCATIONS__1__KEY_FILE", "/run/s3"),
            ("AETHERIUS_BACKUP__LOCATIONS__1__USER", "app"),
            ("AETHERIUS_BACKUP__LOCATIONS", "/mnt/a, s3://bucket/app"),
        ]))
        .unwrap();
    let redis: &RedisSettings = settings.redis.as_ref().unwrap();
    assert_eq!(redis.url, Address::Env("AETHERIUS_REDIS__URL".into()));
    assert_eq!(redis.password, Some(SecretSource::File("/run/redis".into())));
    assert_eq!(redis.command_timeout.duration().as_millis(), 250);
    assert_eq!(settings.cache.tiers, [TierKind::Redis, TierKind::Database]);
    assert_eq!(settings.database.url, Some(Address::File("/run/url".into())));
    assert_eq!(settings.backup.locations[1].user.as_deref(), Some("app"));
    assert_eq!(settings.backup.locations[1].key, Some(SecretSource::File("/run/s3".into())));
    assert!(!format!("{settings:?}").contains("hunter2"));
    let wrong = Settings::new("x").overlay(variables(&[
        ("AETHERIUS_BACKUP__LOCATIONS__0__REGION", "eu"),
        ("AETHERIUS_REDIS__MODE", "swarm"),
        ("AETHERIUS_CACHE__TIERS", "redis,memcached"),
        ("AETHERIUS_DATA_DIR_FILE", "/run/x"),
    ]));
    let text = wrong.unwrap_err().to_string();
    for named in ["LOCATIONS__0__REGION", "no location 0", "swarm", "memcached", "DATA_DIR_FILE"] {
        assert!(text.contains(named), "{named} is missing in {text}");
    }
}
