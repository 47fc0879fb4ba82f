//! Connecting, by topology.

use super::error::{self, convert};
use super::options::{RedisOptions, Topology};
use aeth_core::{Result, Secret};
use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ProtocolVersion, TlsMode, Value,
};
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
    Cluster { client: ClusterClient, nodes: Vec<Client> },
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
        let client = |info: ConnectionInfo| Client::open(info).map_err(|e| convert(&e));
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
                let nodes = infos.iter().cloned().map(client).collect::<Result<_>>()?;
                let cluster = ClusterClientBuilder::new(infos)
                    .connection_timeout(options.connect_timeout)
                    .response_timeout(options.command_timeout)
                    // Redirections are followed; everything else is the caller's policy.
                    .retries(4)
                    .use_protocol(ProtocolVersion::RESP3)
                    .tcp_settings(tcp)
                    .build()
                    .map_err(|e| convert(&e))?;
                Ok(Self::Cluster { client: cluster, nodes })
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

    pub(super) async fn wire(&self) -> Result<Wire> {
        let wire = match self {
            Self::Single { client, config } => {
                client.get_multiplexed_async_connection_with_config(config).await.map(Wire::Single)
            }
            Self::Sentinel { client, config } => {
                client.lock().await.get_async_connection_with_config(config).await.map(Wire::Single)
            }
            Self::Cluster { client, .. } => client.get_async_connection().await.map(Wire::Cluster),
        };
        wire.map_err(|e| convert(&e))
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
        match self {
            Self::Single(connection) => {
                let mut pipeline = redis::Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command);
                }
                connection.send_packed_commands(&pipeline, 0, pipeline.len()).await
            }
            Self::Cluster(connection) => {
                let each = commands.into_iter().map(|command| {
                    let mut connection = connection.clone();
                    async move {
                        match connection.req_packed_command(&command).await {
                            Err(refusal) => server_error(refusal).map(Value::ServerError),
                            answered => answered,
                        }
                    }
                });
                Box::pin(futures_util::future::join_all(each)).await.into_iter().collect()
            }
        }
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
    let text = |secret: &Secret| secret.expose_str().map(str::to_owned);
    if let Some(password) = &options.password {
        builder = builder.set_client_to_redis_password(text(password)?);
    }
    if let Some(password) = &options.sentinel_password {
        builder = builder.set_client_to_sentinel_password(text(password)?);
    }
    builder.build().map_err(|e| convert(&e))
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
