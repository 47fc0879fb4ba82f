//! Pages as files of a local directory.
//!
//! A page is the file `xx/<62 hex digits>-<number>`, written beside and renamed. Nothing is forced to the disk: a
//! file that a crash left half-written fails its checksum and is a miss.

use super::{PageKey, Pages};
use crate::blocking::blocking;
use crate::random::to_hex;
use aeth_core::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file costs besides its length: its inode and its place in the directory.
const OVERHEAD: u64 = 512;

#[derive(Debug, Clone, Copy)]
struct FileLength;

impl Weighter<String, u64> for FileLength {
    fn weight(&self, _name: &String, length: &u64) -> u64 {
        length + OVERHEAD
    }
}

/// Gathers the names of the files that must go.
#[derive(Debug, Clone, Copy)]
struct Evicted;

impl Lifecycle<String, u64> for Evicted {
    type RequestState = Vec<String>;

    fn on_evict(&self, gone: &mut Vec<String>, name: String, _length: u64) {
        gone.push(name);
    }
}

/// Pages as files under a budget of bytes.
#[derive(Clone)]
pub(in crate::cached) struct DirPages(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    /// The names of the files and their lengths.
    index: Cache<String, u64, FileLength, DefaultHashBuilder, Evicted>,
}

impl DirPages {
    /// Takes a directory, which is made if it is missing, with the pages that are in it.
    pub(in crate::cached) async fn open(dir: PathBuf, budget: u64, page_size: u64) -> Result<Self> {
        blocking(move || {
            let shown = |error| Error::from_io(error).with_component("cached").with_key(dir.display());
            std::fs::create_dir_all(&dir).map_err(shown)?;
            let pages = usize::try_from(budget / page_size.max(1)).unwrap_or(usize::MAX).max(1);
            let index = Cache::with(pages, budget.max(1), FileLength, DefaultHashBuilder::default(), Evicted);
            let shared = Shared { dir: dir.clone(), index };
            shared.scan().map_err(shown)?;
            Ok(Self(Arc::new(shared)))
        })
        .await
    }
}

/// The name of a page's file below the directory.
fn name(key: &PageKey) -> String {
    let hex = to_hex(&key.object.0);
    let (shard, rest) = hex.split_at(2);
    format!("{shard}/{rest}-{:x}", key.number)
}

/// True for the name of a shard's directory.
fn is_shard(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// True for the name of a page's file in its shard.
fn is_page(name: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.split_once('-').is_some_and(|(object, number)| object.len() == 62 && hex(object) && hex(number))
}

impl Shared {
    /// Takes in the pages that an earlier process left, and removes its unfinished ones. Files of others stay.
    fn scan(&self) -> std::io::Result<()> {
        for shard in std::fs::read_dir(&self.dir)? {
            let shard = shard?;
            let Some(shard_name) = shard.file_name().to_str().map(str::to_owned) else { continue };
            if !is_shard(&shard_name) || !shard.file_type()?.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(shard.path())? {
                let file = file?;
                let Some(file_name) = file.file_name().to_str().map(str::to_owned) else { continue };
                if file_name.starts_with(".tmp-") {
                    remove(&file.path());
                } else if is_page(&file_name) {
                    self.admit(format!("{shard_name}/{file_name}"), file.metadata()?.len());
                }
            }
        }
        Ok(())
    }

    /// Counts a file that is there, and removes those for which there is no more room.
    fn admit(&self, name: String, length: u64) {
        let mut gone = Vec::new();
        self.index.insert_with_lifecycle(name, length, &mut gone);
        for name in gone {
            remove(&self.dir.join(name));
        }
    }

    fn read(&self, name: &str) -> Option<Bytes> {
        match std::fs::read(self.dir.join(name)) {
            Ok(bytes) => {
                // A look-up in the index is what keeps a page from being pushed out.
                if self.index.get(name).is_none() {
                    self.admit(name.to_owned(), bytes.len() as u64);
                }
                Some(bytes.into())
            }
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::debug!(%error, "a page cannot be read");
                }
                self.index.remove(name);
                None
            }
        }
    }

    fn write(&self, name: String, bytes: &[u8]) -> Result<()> {
        let target = self.dir.join(&name);
        let shard = target.parent().unwrap_or(&self.dir);
        let beside = shard.join(format!(".tmp-{}", crate::random::hex::<8>()?));
        let written = match std::fs::write(&beside, bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(shard).and_then(|()| std::fs::write(&beside, bytes))
            }
            written => written,
        };
        if let Err(error) = written.and_then(|()| std::fs::rename(&beside, &target)) {
            remove(&beside);
            return Err(error.into());
        }
        self.admit(name, bytes.len() as u64);
        Ok(())
    }
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::debug!(%error, "a page cannot be removed");
        }
        _ => {}
    }
}

impl fmt::Debug for DirPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirPages").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

#[async_trait]
impl Pages for DirPages {
    async fn get_many(&self, keys: &[PageKey]) -> Vec<Option<Bytes>> {
        let (shared, names): (_, Vec<String>) = (Arc::clone(&self.0), keys.iter().map(name).collect());
        let read = move || Ok(names.iter().map(|name| shared.read(name)).collect());
        blocking(read).await.unwrap_or_else(|_| vec![None; keys.len()])
    }

    async fn put(&self, key: PageKey, kept: Bytes) {
        let shared = Arc::clone(&self.0);
        if let Err(error) = blocking(move || shared.write(name(&key), &kept)).await {
            tracing::debug!(%error, "a page could not be kept");
        }
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.index.weight())
    }
}
