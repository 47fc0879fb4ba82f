//! A tier of files: one for each entry, in a directory for each namespace.
//!
//! It survives restarts and several processes may share it, so it carries what is expensive to load over a
//! restart. What it cannot do (leases, tags) it does not claim; the caches above then do without.

use aetherius::core::async_trait;
use aetherius::core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierCapability, TierStatistics, decode_envelope, encode_envelope,
};
use aetherius::core::observe::Counter;
use aetherius::{Clock, Error, Key, Namespace, Result, Tag};
use futures_util::stream::BoxStream;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The tier. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct FileTier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    hits: Counter,
    misses: Counter,
    unavailable: Counter,
    puts: Counter,
    removals: Counter,
    damaged: Counter,
}

impl FileTier {
    /// Opens the tier in a directory, which is made if it is not there.
    pub(crate) fn open(root: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(|error| {
            failed(&error).with_key(root.display()).with_remedy("give a directory you may write")
        })?;
        let zero = Counter::new;
        Ok(Self(Arc::new(Inner {
            root,
            clock,
            hits: zero(),
            misses: zero(),
            unavailable: zero(),
            puts: zero(),
            removals: zero(),
            damaged: zero(),
        })))
    }

    /// Files block; the runtime has threads for that.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.map_err(|error| Error::other("the work on files was interrupted").with_source(error))
    }
}

fn failed(error: &io::Error) -> Error {
    Error::unavailable(format!("the files do not answer: {error}")).with_component("files")
}

fn no_leases() -> Error {
    Error::unsupported("files give no leases").with_component("files")
}

impl Inner {
    fn now(&self) -> u64 {
        let since = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn space(&self, namespace: &Namespace) -> PathBuf {
        self.root.join(namespace.as_str())
    }

    /// Keys are any bytes, of more kinds and lengths than file names.
    fn path(&self, namespace: &Namespace, key: &Key) -> PathBuf {
        let digest = Sha256::digest(key.as_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.space(namespace).join(name)
    }

    /// Changes of a namespace wait for each other, in all processes; look-ups do not.
    fn lock(&self, namespace: &Namespace) -> io::Result<File> {
        let lock = File::create(self.root.join(format!("{namespace}.lock")))?;
        lock.lock()?;
        Ok(lock)
    }

    /// A file is whole or not there: it is written aside and renamed.
    fn read(&self, path: &Path) -> io::Result<Option<Entry>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match decode_envelope(bytes.into()) {
            Ok(entry) if entry.is_usable(self.now()) => Ok(Some(entry)),
            Ok(_) => Ok(None),
            // Foreign or damaged: a miss, and counted.
            Err(_) => {
                self.damaged.increment();
                Ok(None)
            }
        }
    }

    fn lookup(&self, path: &Path) -> Lookup {
        match self.read(path) {
            Ok(Some(entry)) => {
                self.hits.increment();
                Lookup::Hit(entry)
            }
            Ok(None) => {
                self.misses.increment();
                Lookup::Miss
            }
            Err(error) => {
                self.unavailable.increment();
                Lookup::Unavailable(failed(&error))
            }
        }
    }

    fn put(&self, namespace: &Namespace, entries: &[(Key, Entry)]) -> io::Result<Vec<PutOutcome>> {
        let space = self.space(namespace);
        let _lock = self.lock(namespace)?;
        fs::create_dir_all(&space)?;
        let put = |(key, entry): &(Key, Entry)| {
            let path = self.path(namespace, key);
            if entry.version != 0
                && self.read(&path)?.is_some_and(|standing| standing.version > entry.version)
            {
                return Ok(PutOutcome::Superseded);
            }
            let aside = space.join(".aside");
            File::create(&aside)?.write_all(&encode_envelope(entry))?;
            fs::rename(&aside, &path)?;
            self.puts.increment();
            Ok(PutOutcome::Stored)
        };
        entries.iter().map(put).collect()
    }

    fn remove(&self, namespace: &Namespace, keys: &[Key]) -> io::Result<()> {
        let _lock = self.lock(namespace)?;
        for key in keys {
            missing_is_fine(fs::remove_file(self.path(namespace, key)))?;
            self.removals.increment();
        }
        Ok(())
    }

    fn clear(&self, namespace: &Namespace) -> io::Result<()> {
        let _lock = self.lock(namespace)?;
        missing_is_fine(fs::remove_dir_all(self.space(namespace)))
    }
}

fn missing_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[async_trait]
impl CacheTier for FileTier {
    fn name(&self) -> Cow<'_, str> {
        "files".into()
    }

    fn capabilities(&self) -> TierCapabilities {
        [TierCapability::Persistent, TierCapability::Shared].into_iter().collect()
    }

    /// Nothing at once: a file may be anywhere.
    fn get_now(&self, _: &Namespace, _: &[u8]) -> Option<Lookup> {
        None
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let paths: Vec<PathBuf> = keys.iter().map(|key| self.0.path(namespace, key)).collect();
        let found = self.blocking(move |inner| paths.iter().map(|path| inner.lookup(path)).collect()).await;
        found.unwrap_or_else(|error| keys.iter().map(|_| Lookup::Unavailable(error.clone())).collect())
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        let namespace = namespace.clone();
        self.blocking(move |inner| inner.put(&namespace, &entries)).await?.map_err(|error| failed(&error))
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        let (namespace, keys) = (namespace.clone(), keys.to_vec());
        self.blocking(move |inner| inner.remove(&namespace, &keys)).await?.map_err(|error| failed(&error))
    }

    async fn invalidate_tags(&self, _: &Namespace, _: &[Tag]) -> Result<()> {
        Err(Error::unsupported("files know no tags").with_component("files"))
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        let namespace = namespace.clone();
        self.blocking(move |inner| inner.clear(&namespace)).await?.map_err(|error| failed(&error))
    }

    async fn get_or_lease_many(&self, _: &Namespace, keys: &[Key], _: Duration) -> Vec<LeaseLookup> {
        keys.iter().map(|_| LeaseLookup::Unavailable(no_leases())).collect()
    }

    async fn fill(&self, _: &Namespace, _: &Key, _: LeaseToken, _: Entry) -> Result<FillOutcome> {
        Err(no_leases())
    }

    async fn release(&self, _: &Namespace, _: &Key, _: LeaseToken) -> Result<()> {
        Err(no_leases())
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        None
    }

    fn statistics(&self) -> TierStatistics {
        let mut out = TierStatistics::default();
        out.hits = self.0.hits.get();
        out.misses = self.0.misses.get();
        out.unavailable = self.0.unavailable.get();
        out.puts = self.0.puts.get();
        out.removals = self.0.removals.get();
        out.damaged = self.0.damaged.get();
        out
    }
}
