//! Making and opening a repository.

use super::keys::{self, NewKey};
use super::{Host, Index, RepositoryOptions, Sink, SinkStatus, Sinks};
use crate::Id;
use crate::chunker::Chunker;
use crate::crypto::Key;
use crate::format::{Config, open_unpacked, seal_unpacked};
use aeth_core::backup::{BackupSink, ObjectId, ObjectKind};
use aeth_core::{Clock, Error, ErrorKind, Lifecycle, Result, Secret, SystemClock, Tasks};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;

/// A restic repository in one or several sinks.
///
/// Several sinks are replicas of one repository: the same configuration, keys and files, sealed once and
/// written everywhere. Cheap to clone; all clones are the same handle. Deriving the key from the password
/// takes about half a second, so keep a handle for as long as it is needed.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) shared: Arc<Shared>,
}

/// What the clones of a handle share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sinks: Sinks,
    pub(crate) key: Key,
    /// The file that the key was opened from.
    pub(crate) key_id: parking_lot::Mutex<Id>,
    pub(crate) config: Config,
    config_bytes: Bytes,
    pub(crate) chunker: Chunker,
    pub(crate) options: RepositoryOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) host: Host,
    pub(crate) index: RwLock<Option<Arc<RwLock<Index>>>>,
    /// When it was read, by the monotonic clock.
    pub(crate) index_read: parking_lot::Mutex<Duration>,
    pub(crate) trees: super::load::PackCache,
    pub(crate) ledgers: super::ledger_store::LedgerCache,
    pub(crate) tasks: Tasks,
    /// Held by a run from its start to its end: a sink that failed in it must stay out until it is over.
    pub(crate) writer: tokio::sync::Mutex<()>,
}

impl Repository {
    /// Makes a new repository, the same in all `sinks`, with one key for `password`.
    ///
    /// # Errors
    /// `AlreadyExists` when one of the sinks holds a repository already, or keys that the password does not
    /// open (nothing is changed then); `Invalid` for an empty password or no sink; the sinks' own errors.
    ///
    /// # Cancel safety
    /// Not cancel-safe: some sinks may hold the new repository and others not; remove it there and begin
    /// again. A key that was left without a configuration is used by the next attempt with its password.
    pub async fn init(
        sinks: Vec<Arc<dyn BackupSink>>,
        password: &Secret,
        options: RepositoryOptions,
    ) -> Result<Self> {
        Self::init_with_clock(sinks, password, options, SystemClock::shared()).await
    }

    /// [`Repository::init`] with another clock.
    ///
    /// # Errors
    /// As [`Repository::init`].
    ///
    /// # Cancel safety
    /// As [`Repository::init`].
    pub async fn init_with_clock(
        sinks: Vec<Arc<dyn BackupSink>>,
        password: &Secret,
        options: RepositoryOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let tasks = Tasks::new();
        let sinks = wrap(sinks, &options, &clock, &tasks)?;
        for (sink, found) in sinks.all.iter().zip(read_configs(&sinks).await) {
            match found {
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    return Err(Error::new(ErrorKind::AlreadyExists, "there is a repository already")
                        .with_operation("init")
                        .with_component(sink.name())
                        .with_remedy("open it, or choose an empty place"));
                }
            }
        }
        let host = Host::detect(options.hostname.as_deref());
        let config = Config::create(&options)?;
        let new = NewKey { password, params: options.kdf, host: &host, clock: &clock, tasks: &tasks };
        let (key, file) = match Box::pin(keys::left_over(&sinks, password, &tasks)).await? {
            Some(left) => left,
            None => Box::pin(keys::create(new, None)).await?,
        };
        let key_id = Id::of(&file);
        let config_bytes = seal_unpacked(&key, &config.encode()?, false)?;
        let id = ObjectId::content(ObjectKind::Key, key_id.as_bytes());
        // The key before the config: a place with a config is a repository, and must open.
        for sink in &sinks.all {
            if !sink.read(&id, None).await.is_ok_and(|held| held == file) {
                sink.write(&id, &file).await?;
            }
            sink.write(&ObjectId::config(), &config_bytes).await?;
        }
        Ok(Self::assemble(sinks, (key_id, key), config, config_bytes, options, clock, host, tasks))
    }

    /// Opens the repository that the `sinks` are replicas of. A sink that does not answer is left out until a
    /// run finds it well again; which, [`Repository::sinks`] says.
    ///
    /// # Errors
    /// `NotFound` when there is no repository (or a sink is empty and
    /// [`attach_empty`](RepositoryOptions::attach_empty) is off); `Denied` for a wrong password; `Invalid`
    /// when the sinks hold different repositories or the password is empty; `Corrupt` for damaged keys or
    /// configuration; `Unsupported` for a newer format; the sinks' own errors when all of them fail.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(
        sinks: Vec<Arc<dyn BackupSink>>,
        password: &Secret,
        options: RepositoryOptions,
    ) -> Result<Self> {
        Self::open_with_clock(sinks, password, options, SystemClock::shared()).await
    }

    /// [`Repository::open`] with another clock.
    ///
    /// # Errors
    /// As [`Repository::open`].
    ///
    /// # Cancel safety
    /// As [`Repository::open`].
    pub async fn open_with_clock(
        sinks: Vec<Arc<dyn BackupSink>>,
        password: &Secret,
        options: RepositoryOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let tasks = Tasks::new();
        let sinks = wrap(sinks, &options, &clock, &tasks)?;
        let configs = read_configs(&sinks).await;
        let some = configs.iter().any(Result::is_ok);
        let mut missing = None;
        for (sink, found) in sinks.all.iter().zip(&configs) {
            match found {
                Ok(_) => {}
                Err(error) if error.is_not_found() && some && options.attach_empty => {}
                Err(error) if error.is_not_found() => missing = missing.or(Some(no_repository(sink))),
                Err(error) => sink.fail(error.clone()),
            }
        }
        if let Some(error) = missing {
            return Err(error);
        }
        if !some {
            return Err(configs
                .into_iter()
                .find_map(Result::err)
                .unwrap_or_else(|| Error::unavailable("no sink")));
        }
        let opens = |key: &Key| configs.iter().flatten().any(|config| open_unpacked(key, config).is_ok());
        let (key_id, key) = keys::find(&sinks, password, &tasks, opens).await?;
        let (config, config_bytes) = agree(&sinks, &configs, &key)?;
        refuse_strangers(&sinks).await?;
        let host = Host::detect(options.hostname.as_deref());
        let repository =
            Self::assemble(sinks, (key_id, key), config, config_bytes, options, clock, host, tasks);
        repository.shared.refuse_removed_key(key_id).await?;
        if configs.iter().any(|found| found.as_ref().is_err_and(Error::is_not_found)) {
            repository.shared.attach_empty().await?;
        }
        Ok(repository)
    }

    #[allow(clippy::too_many_arguments, reason = "the one place where the parts meet")]
    fn assemble(
        sinks: Sinks,
        (key_id, key): (Id, Key),
        config: Config,
        config_bytes: Bytes,
        options: RepositoryOptions,
        clock: Arc<dyn Clock>,
        host: Host,
        tasks: Tasks,
    ) -> Self {
        let chunker = Chunker::new(config.chunker_polynomial);
        let (index, trees) = (RwLock::new(None), super::load::PackCache::default());
        let ledgers = super::ledger_store::LedgerCache::default();
        let writer = tokio::sync::Mutex::default();
        let shared = Shared {
            sinks,
            key,
            key_id: parking_lot::Mutex::new(key_id),
            config,
            config_bytes,
            chunker,
            options,
            clock,
            host,
            index,
            index_read: parking_lot::Mutex::default(),
            trees,
            ledgers,
            tasks,
            writer,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The repository's own identity, the same in all its replicas.
    #[must_use]
    pub fn id(&self) -> Id {
        self.shared.config.id
    }

    /// The format version, 1 or 2.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.shared.config.version
    }

    /// How each sink fares.
    #[must_use]
    pub fn sinks(&self) -> Vec<SinkStatus> {
        self.shared.sinks.status()
    }
}

impl Shared {
    /// The configuration as every sink has it.
    pub(crate) fn config_bytes(&self) -> &Bytes {
        &self.config_bytes
    }

    /// Takes sinks that failed before back in when they answer and hold this repository.
    pub(crate) async fn revive(&self) {
        join_all(self.sinks.all.iter().filter(|sink| !sink.is_live()).map(|sink| async {
            match sink.knock(&ObjectId::config()).await {
                Ok(bytes) if bytes == self.config_bytes => sink.revive(),
                Ok(_) => {}
                Err(error) => tracing::debug!(sink = %sink.inner.name(), %error, "the sink is still out"),
            }
        }))
        .await;
    }

    /// The same for those who only read: never while a run of this handle writes, as a sink that missed some of
    /// its packs would get its index and its snapshot.
    pub(crate) async fn revive_unless_writing(&self) {
        if let Ok(_idle) = self.writer.try_lock() {
            self.revive().await;
        }
    }

    /// Gives empty sinks the keys, then the configuration; content follows with the next run's catch-up.
    async fn attach_empty(&self) -> Result<()> {
        let ledger = self.ledger().await;
        let mut keys = keys::read_all(&self.sinks).await?;
        keys.retain(|(id, _)| !ledger.is_removed(ObjectKind::Key, id));
        for sink in self.sinks.live() {
            if !sink.read(&ObjectId::config(), None).await.is_err_and(|error| error.is_not_found()) {
                continue;
            }
            for (id, file) in &keys {
                sink.write(&ObjectId::content(ObjectKind::Key, id.as_bytes()), file).await?;
            }
            sink.write(&ObjectId::config(), &self.config_bytes).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Lifecycle for Repository {
    async fn close(&self, deadline: Duration) -> Result<()> {
        self.shared.tasks.close(deadline).await
    }
}

fn wrap(
    sinks: Vec<Arc<dyn BackupSink>>,
    options: &RepositoryOptions,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Sinks> {
    if sinks.is_empty() {
        return Err(Error::invalid("a repository needs at least one sink"));
    }
    Ok(Sinks::new(sinks, options, clock, tasks))
}

async fn read_configs(sinks: &Sinks) -> Vec<Result<Bytes>> {
    let config = ObjectId::config();
    join_all(sinks.all.iter().map(|sink| sink.read(&config, None))).await
}

fn no_repository(sink: &Sink) -> Error {
    Error::not_found("there is no repository")
        .with_operation("open")
        .with_component(sink.name())
        .with_remedy("check the location (is the disk mounted?), or make one with init")
}

/// A sink whose configuration does not open may be damaged, or a repository of its own: then it has keys, and
/// none of them is ours.
async fn refuse_strangers(sinks: &Sinks) -> Result<()> {
    let mut ours = Vec::new();
    for sink in sinks.live() {
        ours.extend(sink.list(ObjectKind::Key).await?);
    }
    for sink in sinks.all.iter().filter(|sink| !sink.is_live()) {
        let Ok(keys) = sink.list(ObjectKind::Key).await else { continue };
        if !keys.is_empty() && !keys.iter().any(|key| ours.contains(key)) {
            return Err(another(sink));
        }
    }
    Ok(())
}

fn another(sink: &Sink) -> Error {
    Error::invalid("the sink holds another repository than the others")
        .with_operation("open")
        .with_component(sink.name())
        .with_remedy("open it on its own, and copy between the two")
}

/// Opens the configuration and makes sure that all sinks have the same.
fn agree(sinks: &Sinks, configs: &[Result<Bytes>], key: &Key) -> Result<(Config, Bytes)> {
    let mut agreed: Option<(Config, Bytes)> = None;
    let mut damaged = None;
    for (sink, bytes) in
        sinks.all.iter().zip(configs).filter_map(|(sink, found)| Some((sink, found.as_ref().ok()?)))
    {
        if agreed.as_ref().is_some_and(|(_, first)| first == bytes) {
            continue;
        }
        let opened = open_unpacked(key, bytes).and_then(|json| Config::parse(&json));
        match (opened, &agreed) {
            (Ok(config), None) => agreed = Some((config, bytes.clone())),
            (Ok(config), Some((first, _))) if config.id == first.id => {}
            (Ok(_), Some(_)) => {
                return Err(another(sink));
            }
            (Err(error), _) => {
                let error = error.with_key("config").with_component(sink.name());
                sink.fail(error.clone());
                damaged = Some(error);
            }
        }
    }
    agreed.ok_or_else(|| damaged.unwrap_or_else(|| Error::not_found("there is no repository")))
}
