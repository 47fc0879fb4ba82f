//! What the server's and the client's errors mean.

use aeth_core::{Error, ErrorKind, Retry};
use redis::{ErrorKind as Foreign, RedisError, ServerErrorKind as Server};
use std::time::Duration;

/// The name under which errors, metrics and health know this part.
pub(super) const COMPONENT: &str = "redis";

/// The one place where an error of the client becomes one of ours. The server's words are kept as the source
/// where they can hold no value.
pub(super) fn convert(error: &RedisError) -> Error {
    let made = match error.kind() {
        Foreign::Server(kind) => server(kind, error),
        Foreign::Extension => extension(error),
        Foreign::AuthenticationFailed => wrong_password(),
        Foreign::InvalidClientConfig | Foreign::EmptySentinelList => {
            Error::invalid("the connection settings are wrong")
        }
        Foreign::Io => io(error),
        Foreign::Parse => Error::unavailable("the server's answer is not in the Redis protocol")
            .with_remedy("check that the address is that of a Redis server"),
        Foreign::MasterNameNotFoundBySentinel => {
            Error::unavailable("the Sentinels do not know a primary of that name")
                .with_remedy("check the service name against `SENTINEL MASTERS`")
        }
        Foreign::NoValidReplicasFoundBySentinel | Foreign::ClusterConnectionNotFound => {
            Error::unavailable("no node of the cluster can be reached")
        }
        Foreign::RESP3NotSupported => {
            Error::unsupported("the server does not speak RESP3").with_remedy("use Redis 6.2 or later")
        }
        _ => Error::other("the Redis client failed"),
    };
    made.with_component(COMPONENT).with_source(error.clone())
}

fn server(kind: Server, error: &RedisError) -> Error {
    match kind {
        Server::BusyLoading => later(250, "the server is loading its data"),
        Server::ReadOnly => Error::unavailable("the server is a read-only replica")
            .with_retry(Retry::After(Duration::from_millis(500)))
            .with_remedy("connect to the primary, or give the Sentinels instead of an address"),
        Server::NoPerm => no_permission(),
        Server::ClusterDown => {
            later(250, "the cluster is down").with_remedy("check `CLUSTER INFO`: some slots have no primary")
        }
        Server::MasterDown => later(250, "the replica has lost its primary"),
        Server::TryAgain | Server::Ask => later(50, "slots are moving between nodes"),
        Server::Moved => Error::unavailable("the server is a node of a cluster, and the key is on another")
            .with_retry(Retry::Never)
            .with_remedy("use the cluster topology"),
        Server::CrossSlot => Error::other("the keys of one command are in several slots"),
        _ => extension(error),
    }
}

fn extension(error: &RedisError) -> Error {
    let (code, detail) = (error.code().unwrap_or_default(), error.detail().unwrap_or_default());
    match code {
        "OOM" => out_of_memory(),
        "NOAUTH" => Error::new(ErrorKind::Denied, "the server asks for a password")
            .with_remedy("give the password in the options or in the URL"),
        "WRONGPASS" => wrong_password(),
        "NOREPLICAS" => later(250, "too few replicas are connected for writes"),
        "MISCONF" => Error::unavailable("the server refuses writes because it cannot save its data")
            .with_remedy("see the server's log and disk, or set stop-writes-on-bgsave-error to no"),
        "WRONGTYPE" => Error::other("a key of ours holds another type")
            .with_remedy("choose a key prefix that no other application uses"),
        "BUSY" => later(250, "the server is busy running a script"),
        "UNKILLABLE" => later(250, "the server is busy running a script that writes"),
        // Scripts pass on what their commands were answered, with words around it.
        _ if detail.contains("OOM command not allowed") => out_of_memory(),
        _ if detail.contains("ACL failure") || detail.contains("user executing the script") => {
            no_permission()
        }
        _ if detail.contains("max number of clients") => later(250, "the server has too many clients")
            .with_remedy("raise maxclients, or look for clients that leak connections"),
        _ if detail.contains("unknown command") || detail.contains("nknown Redis command") => {
            Error::unsupported("the server does not know a command that is needed")
                .with_remedy("use Redis 6.2 or later, without renamed commands")
        }
        _ => Error::other("the server refused the command"),
    }
}

fn no_permission() -> Error {
    Error::new(ErrorKind::Denied, "the user may not run this command or use this key").with_remedy(
        "grant the user `~{PREFIX*`, `&PREFIX*` and the categories @read @write @scripting @pubsub @connection",
    )
}

fn out_of_memory() -> Error {
    Error::new(ErrorKind::Full, "the server has reached its maxmemory")
        .with_remedy("raise maxmemory, or set maxmemory-policy to allkeys-lfu")
}

fn wrong_password() -> Error {
    Error::new(ErrorKind::Denied, "the server does not accept the user and password")
        .with_remedy("check user and password (`ACL LIST`)")
}

fn io(error: &RedisError) -> Error {
    if error.is_timeout() {
        return Error::timeout("the server did not answer in time");
    }
    // The TLS library's reasons come as text: an unknown issuer, another name, an alert that wants a certificate.
    let text = error.to_string().to_ascii_lowercase();
    if text.contains("certificate") || text.contains("unknownca") {
        return Error::new(ErrorKind::Denied, "one side does not accept the other's certificate").with_remedy(
            "check tls.ca against the server's issuer, tls.client against its tls-auth-clients, and the host name",
        );
    }
    if error.is_connection_refusal() {
        return Error::unavailable("nobody listens at the server's address")
            .with_remedy("start the server, or correct the address");
    }
    Error::unavailable("the connection to the server broke")
}

fn later(millis: u64, what: &'static str) -> Error {
    Error::unavailable(what).with_retry(Retry::After(Duration::from_millis(millis)))
}

/// An answer that the command cannot have.
pub(super) fn unexpected(what: &'static str) -> Error {
    Error::unavailable("the server's answer has another shape than the command's")
        .with_component(COMPONENT)
        .with_operation(what)
        .with_retry(Retry::Never)
        .with_remedy("check that the address is that of a Redis server, 6.2 or later")
}

/// The handle was closed.
pub(super) fn closed() -> Error {
    Error::closed("the Redis connection was closed").with_component(COMPONENT)
}
