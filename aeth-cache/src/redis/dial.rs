//! Connecting, by topology.

use super::error::{self, convert};
use super::heard::{self, Heard};
use super::options::{RedisOptions, Topology};
use aeth_core::{Error, Result, Secret};
use redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ProtocolVersion, TlsMode, Value,
};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Commands that may wait in front of the socket.
const QUEUE: usize = 1024;
/// Bytes that are gathered before they must go out.
const WRITE_BUFFER: usize = 64 * 1024;

/// Makes connections to what the topology names.
pub(super) enum Dialer {
    Single { client: Client, config: AsyncConnectionConfig },
    // Asking the Sentinels changes their order of preference.
    Sentinel { client: Mutex<SentinelClient>, config: AsyncConnectionConfig },
    Cluster { client: ClusterClient, nodes: Vec<Client>, seeds: Vec<Node>, config: AsyncConnectionConfig },
}

/// A node of a cluster by host and port; the default is the one server of the other topologies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Node(Option<(String, u16)>);

impl Node {
    /// The node that an answer names as `host:port`.
    pub(super) fn at(address: &str) -> Option<Self> {
        let (host, port) = address.rsplit_once(':')?;
        if host.is_empty() {
            return None;
        }
        Some(Self(Some((host.to_owned(), port.parse().ok()?))))
    }
}

/// A connection for commands; a clone is the same connection.
#[derive(Clone)]
pub(super) enum Wire {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Dialer {
    pub(super) fn new(options: &RedisOptions) -> Result<Self> {
        let tcp = TcpSettings::default().set_nodelay(options.nodelay);
        let infos = options.check()?;
        let infos = infos
            .into_iter()
            .map(|info| prepare(info, options, &tcp))
            .collect::<Result<Vec<ConnectionInfo>>>()?;
        install_tls_provider(&infos);
        // Limits of time are the link's, which knows the clock.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
            .set_write_backpressure_boundary(WRITE_BUFFER);
        let client = |info: ConnectionInfo| client(info, options);
        match &options.topology {
            Topology::Standalone(_) => {
                let info = infos.into_iter().next().ok_or_else(|| error::unexpected("connect"))?;
                Ok(Self::Single { client: client(info)?, config })
            }
            Topology::Sentinel { service, .. } => {
                let client = Mutex::new(sentinel(infos, service, options, &tcp)?);
                Ok(Self::Sentinel { client, config })
            }
            Topology::Cluster(_) => {
                let nodes = infos.iter().cloned().map(client).collect::<Result<Vec<_>>>()?;
                let seeds = infos.iter().map(node).collect();
                let cluster = with_certificates(ClusterClientBuilder::new(infos), options)
                    .connection_timeout(options.connect_timeout)
                    .response_timeout(options.command_timeout)
                    // Redirections are followed; everything else is the caller's policy.
                    .retries(4)
                    .use_protocol(ProtocolVersion::RESP3)
                    .tcp_settings(tcp)
                    .build()
                    .map_err(|e| settings(&e, options))?;
                Ok(Self::Cluster { client: cluster, nodes, seeds, config })
            }
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster { .. })
    }

    /// True where a server that turned into a replica means that another is the primary now.
    pub(super) fn follows_failover(&self) -> bool {
        matches!(self, Self::Sentinel { .. })
    }

    /// A connection for commands, and whether it tells `heard` of the states that change; see [`heard`].
    pub(super) async fn wire(&self, heard: &Arc<Heard>, track: bool) -> Result<(Wire, bool)> {
        let hearing = |config: &AsyncConnectionConfig| match track {
            true => config.clone().set_push_sender(heard.ear()),
            false => config.clone(),
        };
        let wire = match self {
            Self::Single { client, config } => {
                client.get_multiplexed_async_connection_with_config(&hearing(config)).await
            }
            Self::Sentinel { client, config } => {
                client.lock().await.get_async_connection_with_config(&hearing(config)).await
            }
            Self::Cluster { client, .. } => {
                let wire = client.get_async_connection().await.map_err(|e| convert(&e))?;
                return Ok((Wire::Cluster(wire), false));
            }
        };
        let mut wire = wire.map_err(|e| convert(&e))?;
        let mut tracks = false;
        if track {
            let begin = heard::begin();
            let answers = wire.send_packed_commands(&begin, 0, begin.len()).await;
            tracks = heard::begun(&answers.map_err(|e| convert(&e))?);
        }
        Ok((Wire::Single(wire), tracks))
    }

    /// The nodes of a cluster that are known from the start; none elsewhere.
    pub(super) fn seeds(&self) -> &[Node] {
        match self {
            Self::Cluster { seeds, .. } => seeds,
            _ => &[],
        }
    }

    /// A connection to one node that hands on what the server pushes.
    pub(super) async fn ear(&self, node: &Node, hear: impl AsyncPushSender) -> Result<MultiplexedConnection> {
        let (client, config) = match self {
            Self::Single { client, config } => (client.clone(), config),
            Self::Sentinel { client, config } => {
                (client.lock().await.async_get_client().await.map_err(|e| convert(&e))?, config)
            }
            Self::Cluster { nodes, config, .. } => {
                let known = nodes.first().ok_or_else(|| error::unexpected("connect"))?.get_connection_info();
                let info = known.clone().set_addr(node.address(known.addr()));
                (Client::open(info).map_err(|e| convert(&e))?, config)
            }
        };
        let config = config.clone().set_push_sender(hear);
        let opened = client.get_multiplexed_async_connection_with_config(&config).await;
        opened.map_err(|e| convert(&e))
    }

    /// A connection for subscriptions. In a cluster every node hears every channel.
    pub(super) async fn subscriber(&self) -> Result<PubSub> {
        let opened = match self {
            Self::Single { client, .. } => client.get_async_pubsub().await,
            Self::Sentinel { client, .. } => {
                let primary = client.lock().await.async_get_client().await.map_err(|e| convert(&e))?;
                primary.get_async_pubsub().await
            }
            Self::Cluster { nodes, .. } => {
                let mut last = Err(error::unexpected("subscribe"));
                for node in nodes {
                    match node.get_async_pubsub().await {
                        Ok(opened) => return Ok(opened),
                        Err(failure) => last = Err(convert(&failure)),
                    }
                }
                return last;
            }
        };
        opened.map_err(|e| convert(&e))
    }
}

impl Wire {
    /// One answer for each command, in order; a server's refusal is [`Value::ServerError`] at its place.
    pub(super) async fn send(&mut self, commands: Vec<Cmd>) -> redis::RedisResult<Vec<Value>> {
        match (self, commands.as_slice()) {
            // One command needs no frame around its answer.
            (wire, [command]) => Ok(vec![wire.send_one(command).await?]),
            (Self::Single(connection), _) => {
                let mut pipeline = redis::Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command);
                }
                connection.send_packed_commands(&pipeline, 0, pipeline.len()).await
            }
            (Self::Cluster(connection), _) => {
                let each = commands.into_iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { refused(connection.req_packed_command(&command).await) }
                });
                Box::pin(futures_util::future::join_all(each)).await.into_iter().collect()
            }
        }
    }

    /// The answer to one command, which may be the server's refusal.
    pub(super) async fn send_one(&mut self, command: &Cmd) -> redis::RedisResult<Value> {
        refused(match self {
            Self::Single(connection) => connection.send_packed_command(command).await,
            Self::Cluster(connection) => Box::pin(connection.req_packed_command(command)).await,
        })
    }
}

impl Node {
    /// Its address, reached as the others are.
    fn address(&self, like: &ConnectionAddr) -> ConnectionAddr {
        match (&self.0, like) {
            (Some((host, port)), ConnectionAddr::TcpTls { insecure, tls_params, .. }) => {
                let (host, port, insecure) = (host.clone(), *port, *insecure);
                ConnectionAddr::TcpTls { host, port, insecure, tls_params: tls_params.clone() }
            }
            (Some((host, port)), _) => ConnectionAddr::Tcp(host.clone(), *port),
            (None, like) => like.clone(),
        }
    }
}

fn node(info: &ConnectionInfo) -> Node {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Node(Some((host.clone(), *port)))
        }
        _ => Node::default(),
    }
}

/// The server's refusal as an answer.
fn refused(answered: redis::RedisResult<Value>) -> redis::RedisResult<Value> {
    match answered {
        Err(refusal) => server_error(refusal).map(Value::ServerError),
        answered => answered,
    }
}

fn server_error(error: redis::RedisError) -> redis::RedisResult<redis::ServerError> {
    let kept = error.clone();
    match error.into_server_errors() {
        Some(refused) => refused.first().map(|(_, refusal)| refusal.clone()).ok_or(kept),
        None => Err(kept),
    }
}

fn prepare(info: ConnectionInfo, options: &RedisOptions, tcp: &TcpSettings) -> Result<ConnectionInfo> {
    let mut settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let of_server = !matches!(options.topology, Topology::Sentinel { .. });
    if let (Some(user), true) = (&options.user, of_server) {
        settings = settings.set_username(user);
    }
    if let (Some(password), true) = (&options.password, of_server) {
        settings = settings.set_password(password.expose_str()?);
    }
    let lib = concat!("aeth-cache-", env!("CARGO_PKG_VERSION"));
    settings = settings.set_lib_name(lib, env!("CARGO_PKG_VERSION"));
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp.clone()))
}

fn sentinel(
    infos: Vec<ConnectionInfo>,
    service: &str,
    options: &RedisOptions,
    tcp: &TcpSettings,
) -> Result<SentinelClient> {
    let tls = infos.iter().any(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
    let database = infos.first().map_or(0, |info| info.redis_settings().db());
    let addresses = infos.into_iter().map(|info| info.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)
        .map_err(|e| convert(&e))?
        .set_client_to_redis_db(database)
        .set_client_to_redis_protocol(ProtocolVersion::RESP3)
        .set_client_to_redis_tcp_settings(tcp.clone())
        .set_client_to_sentinel_tcp_settings(tcp.clone());
    if tls {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(user) = &options.user {
        builder = builder.set_client_to_redis_username(user);
    }
    #[cfg(feature = "redis-tls")]
    if let Some(tls) = &options.tls {
        builder = builder
            .set_client_to_redis_certificates(tls.certificates())
            .set_client_to_sentinel_certificates(tls.certificates());
    }
    let text = |secret: &Secret| secret.expose_str().map(str::to_owned);
    if let Some(password) = &options.password {
        builder = builder.set_client_to_redis_password(text(password)?);
    }
    if let Some(password) = &options.sentinel_password {
        builder = builder.set_client_to_sentinel_password(text(password)?);
    }
    builder.build().map_err(|e| settings(&e, options))
}

fn client(info: ConnectionInfo, options: &RedisOptions) -> Result<Client> {
    #[cfg(feature = "redis-tls")]
    if let Some(tls) = &options.tls {
        return Client::build_with_tls(info, tls.certificates()).map_err(|e| settings(&e, options));
    }
    Client::open(info).map_err(|e| settings(&e, options))
}

#[cfg_attr(not(feature = "redis-tls"), allow(unused_variables, reason = "there are no certificates then"))]
fn with_certificates(builder: ClusterClientBuilder, options: &RedisOptions) -> ClusterClientBuilder {
    #[cfg(feature = "redis-tls")]
    if let Some(tls) = &options.tls {
        return builder.certs(tls.certificates());
    }
    builder
}

/// Nothing was sent yet: what fails then are the settings.
fn settings(error: &redis::RedisError, options: &RedisOptions) -> Error {
    match &options.tls {
        Some(_) => Error::invalid("the certificates cannot be used")
            .with_component(error::COMPONENT)
            .with_key("tls")
            .with_remedy("check that certificate and key are PEM text and belong together")
            .with_source(error.clone()),
        None => convert(error),
    }
}

/// The TLS library wants one provider of cryptography for the process; ours is the one of the whole tree,
/// unless the host has chosen before.
#[cfg(feature = "redis-tls")]
fn install_tls_provider(infos: &[ConnectionInfo]) {
    if infos.iter().any(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. })) {
        // An error says that one was installed meanwhile, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    }
}

#[cfg(not(feature = "redis-tls"))]
fn install_tls_provider(_infos: &[ConnectionInfo]) {}
