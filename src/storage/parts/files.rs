//! The files: a store in the data directory or at locations, with its layers.

use super::super::build::Context;
use super::super::validate::Configuration;
use super::Attached;
use crate::location::OpenOptions;
use crate::settings::{Durability, FilesSettings};
use aeth_core::blob::{BlobStore, BlobStoreExt, GetOptions, ListOptions, PutOptions};
use aeth_core::coord::Backplane;
use aeth_core::observe::{Health, HealthCheck};
use aeth_core::seal::{Keyset, PassphraseKdf, SegmentSize};
use aeth_core::{BlobPath, Error, ErrorKind, Result, Secret};
use aeth_files::{Files, LocalDir, LocalDirOptions, Mirrored, Prefixed, Quota, QuotaLimits};
use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// How often all files are counted for the metrics, which costs a listing each time.
const SURVEY_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// Where the keyset stands in a location.
const KEYSET: &str = "keys/files.keyset.json";

/// How the files are opened.
pub(in crate::storage) struct OpenFiles<'a> {
    /// While restoring, what is in the store is of no value.
    pub(in crate::storage) restoring: bool,
    pub(in crate::storage) backplane: Option<Arc<dyn Backplane>>,
    pub(in crate::storage) attached: &'a mut Attached,
}

/// What lies at the bottom.
struct Base {
    /// Where the files are, as they are stored.
    store: Arc<dyn BlobStore>,
    /// Where the keyset is; `None`: in the data directory.
    root: Option<Arc<dyn BlobStore>>,
    volume: Option<LocalDir>,
}

/// The files: a store, encrypted when there is a secret.
pub(in crate::storage) async fn files(
    configuration: &Configuration,
    context: &Context,
    open: OpenFiles<'_>,
) -> Result<Files> {
    let settings = &configuration.builder.settings.files;
    let mut base = base(configuration, context, open.attached).await?;
    let stored = Arc::clone(&base.store);
    if let Some(pages) = &settings.page_cache {
        let mut cached = aeth_files::Cached::builder(base.store)
            .revalidate_after(pages.revalidate_after.duration())
            .clock(Arc::clone(&context.clock))
            .tasks(&context.tasks);
        cached = match pages.on_disk {
            true => cached.dir(context.data.cache().join("pages"), pages.size.bytes()),
            false => cached.memory(pages.size.bytes()),
        };
        if let Some(backplane) = open.backplane {
            cached = cached.peers(backplane, "files");
        }
        let cached = cached.open().await?;
        open.attached.closers.push(("files", Arc::new(cached.clone())));
        open.attached.sources.push(Arc::new(cached.clone()));
        base.store = Arc::new(cached);
    }
    let mut store: Arc<dyn BlobStore> = match &configuration.file_secret {
        Some(secret) => {
            let keyset = keyset(context, &base, &stored, secret, open.restoring).await?;
            Arc::new(aeth_files::Encrypted::new(base.store, keyset))
        }
        None if has_keyset(context, &base).await? => return Err(sealed_without_secret()),
        None => base.store,
    };
    store = layers(settings, store).await?;
    let builder = Files::builder(store)
        .clock(Arc::clone(&context.clock))
        .tasks(&context.tasks)
        .survey_every(SURVEY_INTERVAL);
    Ok(match base.volume {
        Some(volume) => builder.volume(volume).build(),
        None => builder.build(),
    })
}

async fn layers(settings: &FilesSettings, mut store: Arc<dyn BlobStore>) -> Result<Arc<dyn BlobStore>> {
    #[cfg(feature = "zstd")]
    if settings.compression == crate::settings::Compression::Zstd {
        store = Arc::new(aeth_files::Compressed::new(store)?);
    }
    if let Some(quota) = settings.quota {
        store = Arc::new(Quota::open(store, QuotaLimits::default().with_bytes(quota.bytes())).await?);
    }
    Ok(store)
}

async fn base(configuration: &Configuration, context: &Context, attached: &mut Attached) -> Result<Base> {
    if let Some(store) = &configuration.builder.store {
        return Ok(Base { store: Arc::clone(store), root: None, volume: None });
    }
    let settings = &configuration.builder.settings.files;
    let durability = match settings.durability {
        Durability::Full => aeth_files::Durability::FileAndDirectory,
        Durability::Process => aeth_files::Durability::None,
    };
    let options = OpenOptions { clock: Arc::clone(&context.clock), durability, probe: true };
    let places = &configuration.file_places;
    let root: Arc<dyn BlobStore> = match &places[..] {
        [] => {
            let local =
                LocalDirOptions::default().with_durability(durability).with_clock(Arc::clone(&context.clock));
            let local = LocalDir::open_with(context.data.files(), local).await?;
            return Ok(Base { store: Arc::new(local.clone()), root: None, volume: Some(local) });
        }
        [place] => place.open(&options).await?,
        places => {
            let journal = context.data.root().join("mirror");
            context.blocking(|data| data.make_dir(&data.root().join("mirror"))).await?;
            let mut mirror = Mirrored::builder()
                .journal(journal.join("journal"))
                .clock(Arc::clone(&context.clock))
                .tasks(&context.tasks);
            for place in places {
                mirror = mirror.shared_location(place.label(), place.open(&options).await?);
            }
            if let Some(quorum) = settings.write_quorum {
                mirror = mirror.write_quorum(usize::try_from(quorum).unwrap_or(usize::MAX));
            }
            let mirror = mirror.open().await?;
            attached.closers.push(("files", Arc::new(mirror.clone())));
            attached.checks.push(Arc::new(MirrorHealth(mirror.clone())));
            Arc::new(mirror)
        }
    };
    let store = Prefixed::new(Arc::clone(&root), BlobPath::new("files")?);
    Ok(Base { store: Arc::new(store), root: Some(root), volume: None })
}

/// Where files are stored outside of the data directory, if there are any. Of several locations those that answer
/// are looked at.
#[cfg(feature = "backup")]
pub(in crate::storage) async fn stored_at(
    configuration: &Configuration,
    context: &Context,
) -> Result<Option<String>> {
    if let Some(store) = &configuration.builder.store {
        let page = store.list_page(ListOptions::default().with_limit(1)).await?;
        return Ok((!page.blobs.is_empty()).then(|| store.name().into_owned()));
    }
    let options = OpenOptions {
        clock: Arc::clone(&context.clock),
        durability: aeth_files::Durability::None,
        probe: false,
    };
    let places = &configuration.file_places;
    for place in places {
        let look = async {
            place.open(&options).await?.list_page(ListOptions::prefix("files/").with_limit(1)).await
        };
        match look.await {
            Ok(page) if page.blobs.is_empty() => {}
            Ok(_) => return Ok(Some(place.label())),
            Err(error) if places.len() == 1 => return Err(error),
            Err(error) => tracing::warn!(location = place.label(), %error, "a location does not answer"),
        }
    }
    Ok(None)
}

/// The mirror under a name of its own, beside the files that stand on it.
#[derive(Debug)]
struct MirrorHealth(Mirrored);

#[async_trait]
impl HealthCheck for MirrorHealth {
    fn component(&self) -> Cow<'_, str> {
        "mirror".into()
    }

    async fn check(&self) -> Health {
        self.0.check().await
    }
}

async fn has_keyset(context: &Context, base: &Base) -> Result<bool> {
    let Some(root) = &base.root else {
        return context.blocking(|data| Ok(data.keyset().exists())).await;
    };
    match root.head(&BlobPath::new(KEYSET)?).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The keyset that is there, or a new one over a store without files.
async fn keyset(
    context: &Context,
    base: &Base,
    stored: &Arc<dyn BlobStore>,
    secret: &Secret,
    restoring: bool,
) -> Result<Keyset> {
    let wrong = |error: Error| error.with_remedy("give the secret that the files were stored with");
    let has = has_keyset(context, base).await?;
    if !has && !restoring {
        let page = stored.list_page(ListOptions::default().with_limit(1)).await?;
        if !page.blobs.is_empty() {
            return Err(plain_with_secret());
        }
    }
    let secret = secret.clone();
    let Some(root) = &base.root else {
        return context
            .blocking(move |data| {
                let path = data.keyset();
                if has {
                    return Keyset::open_file(&path, &secret).map_err(wrong);
                }
                if let Some(directory) = path.parent() {
                    data.make_dir(directory)?;
                }
                let keyset = Keyset::generate(SegmentSize::default())?;
                keyset.create_file(&path, &secret)?;
                Ok(keyset)
            })
            .await;
    };
    let path = BlobPath::new(KEYSET)?;
    if !has {
        let sealing = secret.clone();
        let json = context
            .blocking(move |_| {
                Keyset::generate(SegmentSize::default())?.to_sealed_json(&sealing, &PassphraseKdf::new()?)
            })
            .await?;
        // Of several processes that begin at once one makes it, and all read that one.
        match root.put_opts(&path, json.into(), PutOptions::create()).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Err(error.with_remedy(
                    "take a location that can put a blob only where there is none, or switch encryption off",
                ));
            }
            Err(error) => return Err(error),
        }
    }
    let json = root.get_opts(&path, GetOptions::default()).await?.bytes().await?;
    let opened = context.blocking(move |_| Keyset::from_sealed_json(&json, &secret));
    opened.await.map_err(|error| wrong(error.with_operation("open keyset").with_key(KEYSET)))
}

fn sealed_without_secret() -> Error {
    Error::new(ErrorKind::Denied, "the files are encrypted")
        .with_operation("open")
        .with_component("files")
        .with_remedy("give the secret that they were stored with, and do not switch encryption off")
}

fn plain_with_secret() -> Error {
    Error::new(ErrorKind::Precondition, "the store holds files, and there is no keyset for them")
        .with_operation("open")
        .with_component("files")
        .with_remedy(
            "files that were stored in clear need encryption switched off; files whose keyset is lost need a \
             restore into an empty data directory",
        )
}
