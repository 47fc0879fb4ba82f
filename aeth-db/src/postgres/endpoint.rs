//! Where the servers are.

use super::options::{Pooler, PostgresOptions};
use super::target::TargetSession;
use aeth_core::{Error, Result, Secret};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool};
use std::time::Duration;

#[derive(Clone)]
pub(super) enum Endpoints {
    Url(Secret),
    Servers(Vec<PgConnectOptions>),
    Pool(PgPool),
}

/// What the options come to.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) servers: Vec<PgConnectOptions>,
    pub(super) target: TargetSession,
    pub(super) pool: Option<PgPool>,
}

/// Parameters of libpq's that are ours to keep, not sqlx's.
const OURS: &[&str] = &["target_session_attrs", "load_balance_hosts"];

/// Parameters that name a file of a certificate or key.
const FILES: &[&str] =
    &["sslrootcert", "sslcert", "sslkey", "ssl-root-cert", "ssl-ca", "ssl-cert", "ssl-key"];

/// A certificate that cannot be read would look like a server that cannot be reached.
fn readable(path: &str) -> Result<()> {
    if path.contains('%') {
        // Encoded: the driver will see.
        return Ok(());
    }
    let opened = std::fs::File::open(path).map(drop);
    opened.map_err(|error| {
        Error::from_io(error)
            .with_key(path.to_owned())
            .with_remedy("give the path of the certificate or key, and let this process read it")
    })
}

pub(super) fn places(options: &PostgresOptions) -> Result<Places> {
    let (servers, target, pool) = match &options.endpoints {
        Endpoints::Url(url) => {
            let (servers, target) = parse(url.expose_str()?).map_err(failed)?;
            (servers, target, None)
        }
        Endpoints::Servers(servers) => (servers.clone(), None, None),
        Endpoints::Pool(pool) => (vec![(*pool.connect_options()).clone()], None, Some(pool.clone())),
    };
    if servers.is_empty() {
        return Err(failed(Error::invalid("no server is named")));
    }
    let servers = servers.into_iter().map(|server| configure(server, options)).collect::<Result<Vec<_>>>()?;
    Ok(Places { servers, target: options.target.or(target).unwrap_or_default(), pool })
}

fn failed(error: Error) -> Error {
    error.with_operation("open").with_component("database")
}

/// What every session of ours begins with.
fn configure(mut server: PgConnectOptions, options: &PostgresOptions) -> Result<PgConnectOptions> {
    if let Some(password) = &options.password {
        server = server.password(password.expose_str().map_err(failed)?);
    }
    server = server
        .application_name(&options.application_name)
        // Statements are recorded by the handle.
        .disable_statement_logging();
    if options.pooler == Pooler::Transaction {
        // The pooler knows neither the parameter nor whose prepared statement is whose.
        return Ok(server.statement_cache_capacity(0).extra_float_digits(None));
    }
    let millis = |limit: Option<Duration>| limit.map_or(0, |limit| limit.as_millis());
    Ok(server.statement_cache_capacity(options.statement_cache).options([
        ("statement_timeout", millis(options.statement_timeout)),
        ("lock_timeout", millis(options.lock_timeout)),
        ("idle_in_transaction_session_timeout", millis(options.idle_in_transaction_timeout)),
    ]))
}

/// Takes a URL with one or more hosts apart. No part of it gets into an error: it may hold a password.
fn parse(url: &str) -> Result<(Vec<PgConnectOptions>, Option<TargetSession>)> {
    let remedy = "write postgres://user:password@host:port/database, special characters percent-encoded";
    let wrong = |what: &'static str| Error::invalid(what).with_key("url").with_remedy(remedy);
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or_else(|| wrong("the database's URL does not begin with postgres://"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let mut target = None;
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if FILES.contains(&name) {
            readable(value)?;
        }
        if name == "target_session_attrs" {
            target = Some(value.parse()?);
        }
        if !OURS.contains(&name) {
            kept.push(pair);
        }
    }
    let query = kept.join("&");
    let one = |host: &str| {
        // A URL needs a host; without one sqlx looks for the socket.
        let text = format!("postgres://{user}{host}/{path}?{query}");
        text.parse::<PgConnectOptions>().map_err(|error| match error {
            sqlx::Error::Configuration(source) => {
                wrong("the database's URL cannot be understood").with_source(source.to_string())
            }
            _ => wrong("the database's URL cannot be understood"),
        })
    };
    Ok((hosts.split(',').map(one).collect::<Result<_>>()?, target))
}

/// The server as it is shown: never more than host and port.
pub(super) fn address(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(socket) => format!("{}:{}", socket.display(), server.get_port()),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_are_several_servers() {
        let url = "postgres://u:p%40w@a:1,b:2,[::1]:3/db?target_session_attrs=read-write&sslmode=disable";
        let (servers, target) = parse(url).unwrap();
        let addresses: Vec<String> = servers.iter().map(address).collect();
        assert_eq!(addresses, ["a:1", "b:2", "[::1]:3"]);
        assert_eq!(target, Some(TargetSession::ReadWrite));
        assert!(servers.iter().all(|server| server.get_username() == "u"));
        assert!(servers.iter().all(|server| server.get_database() == Some("db")));
    }

    #[test]
    fn a_wrong_url_is_named_without_its_password() {
        for url in
            ["mysql://u:hush@h/db", "postgres://u:hush@h:port/db", "postgres://u:hush@h/?sslmode=maybe"]
        {
            let error = parse(url).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hush"), "{shown}");
            assert!(error.remedy().is_some());
        }
        assert!(parse("postgres://h/db?target_session_attrs=leader").is_err());
    }
}
