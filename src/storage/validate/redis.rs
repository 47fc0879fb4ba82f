//! Redis, as the settings describe it.

use crate::settings::{Problems, RedisMode, RedisSettings, SecretSource};
use crate::storage::StorageBuilder;
use aeth_cache::redis::{Redis, RedisOptions, RedisTls, Topology};
use aeth_core::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// The handle, which connects with its first call.
pub(super) fn check(builder: &StorageBuilder, problems: &mut Problems) -> Option<Redis> {
    let settings = builder.settings.redis.as_ref()?;
    // Said already, and better.
    if settings.url == "".into() || settings.url.shows_password() {
        return None;
    }
    let opened = options(settings).and_then(|options| Redis::open(options, Arc::clone(&builder.clock)));
    opened.map_err(|error| problems.add_error("redis", &error)).ok()
}

fn options(settings: &RedisSettings) -> Result<RedisOptions> {
    let urls = settings.url.read().map_err(|error| named(&error, "redis.url"))?;
    let urls: Vec<String> = urls
        .expose_str()?
        .split(',')
        .map(|url| url.trim().to_owned())
        .filter(|url| !url.is_empty())
        .collect();
    let wrong = |message: &'static str, key: &'static str, remedy: &'static str| {
        Err(Error::invalid(message).with_key(key).with_remedy(remedy))
    };
    let topology = match (settings.mode, &settings.service) {
        (RedisMode::Standalone, None) => match <[String; 1]>::try_from(urls) {
            Ok([url]) => Topology::Standalone(url),
            Err(_) => {
                return wrong(
                    "one server has one URL",
                    "redis.url",
                    "name one, or set redis.mode to sentinel or cluster",
                );
            }
        },
        (RedisMode::Cluster, None) => Topology::Cluster(urls),
        (RedisMode::Sentinel, Some(service)) => {
            Topology::Sentinel { sentinels: urls, service: service.clone() }
        }
        (RedisMode::Sentinel, None) => {
            return wrong(
                "Sentinels know the primary by a name",
                "redis.service",
                "give the name, such as mymaster",
            );
        }
        (_, Some(_)) => {
            return wrong(
                "only Sentinels know services",
                "redis.service",
                "leave it out, or set redis.mode to sentinel",
            );
        }
    };
    let mut options = RedisOptions::with_topology(topology)
        .with_prefix(&settings.prefix)
        .with_connect_timeout(settings.connect_timeout.duration())
        .with_command_timeout(settings.command_timeout.duration());
    if let Some(user) = &settings.user {
        options = options.with_user(user);
    }
    let secret = |source: &SecretSource, key: &'static str| source.read().map_err(|error| named(&error, key));
    if let Some(password) = &settings.password {
        options = options.with_password(secret(password, "redis.password")?);
    }
    if let Some(password) = &settings.sentinel_password {
        options = options.with_sentinel_password(secret(password, "redis.sentinel_password")?);
    }
    match (&settings.tls_certificate, &settings.tls_key) {
        (None, None) if settings.tls_ca.is_none() => Ok(options),
        (Some(_), None) | (None, Some(_)) => {
            wrong("a certificate and its key belong together", "redis.tls_key", "give both, or neither")
        }
        (certificate, key) => {
            let mut tls = RedisTls::new();
            if let Some(ca) = &settings.tls_ca {
                tls = tls.with_ca(pem(ca)?);
            }
            if let (Some(certificate), Some(key)) = (certificate, key) {
                tls = tls.with_client(pem(certificate)?, secret(key, "redis.tls_key")?);
            }
            Ok(options.with_tls(tls))
        }
    }
}

fn pem(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::from(error).with_key(path.display()).with_remedy("name a PEM file that this process may read")
    })
}

/// The error of a secret, whose own key names the file or variable, with the setting in front.
fn named(error: &Error, setting: &'static str) -> Error {
    let message = match error.key() {
        Some(key) => format!("{setting}: `{key}`: {}", error.message()),
        None => format!("{setting}: {}", error.message()),
    };
    let remedy = error.remedy().map(str::to_owned);
    let named = Error::new(error.kind(), message);
    match remedy {
        Some(remedy) => named.with_remedy(remedy),
        None => named,
    }
}
