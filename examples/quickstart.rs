//! The main job, embedded, on real input: store a tree of files encrypted, index it, read it through the cache,
//! back it up to two places, lose everything, get everything back, and prove it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

#[path = "support/bar.rs"]
mod bar;
#[path = "support/hashed.rs"]
mod hashed;
#[path = "support/index.rs"]
mod index;
#[path = "support/input.rs"]
mod input;
#[path = "support/skew.rs"]
mod skew;
#[path = "support/steps.rs"]
mod steps;
#[path = "support/table.rs"]
mod table;

use aetherius::backup::PathSource;
use aetherius::prelude::*;
use aetherius::{Error, Result, Size, StorageBuilder};
use clap::Parser;
use input::Input;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Stores the files under DIR encrypted, indexes them in SQLite, reads them through the typed cache, backs
/// everything up to two locations, destroys its own copies, restores them, and verifies every byte.
///
/// DIR itself is only read. The password comes from AETHERIUS_PASSWORD (default: quickstart). Exit codes: 0
/// success, 1 failure, 2 wrong usage.
#[derive(Parser)]
#[command(name = "quickstart", version)]
struct Args {
    /// The directory whose files are taken; default: the project's own tree, without build output and .git.
    dir: Option<PathBuf>,
    /// Where the data lies; it is kept, and used again by the next run. Default: a temporary directory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Takes at most so much of the input, such as 100MiB.
    #[arg(long, value_name = "SIZE")]
    limit: Option<Size>,
}

/// Threads for blocking I/O. Each keeps some memory of its own; the disk is no faster for more of them.
const BLOCKING_THREADS: usize = 8;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    let result = runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run(args)));
    match result {
        Ok(()) => {
            println!("quickstart: OK");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("quickstart: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// The places of one run.
struct Places {
    data: PathBuf,
    /// Removes the data when it is not to be kept.
    temporary: Option<tempfile::TempDir>,
    secret: Secret,
    root: PathBuf,
}

impl Places {
    fn builder(&self, input: &Input) -> Result<StorageBuilder> {
        let excluded = input.excluded.clone();
        let source = PathSource::new(&self.root)?
            .exclude("what the quickstart leaves out", move |path, _| excluded.contains(path));
        Ok(Storage::builder(&self.data)
            .secret(self.secret.clone())
            .cache_memory(Size::from_mib(32).bytes())
            .backup_source(source)
            .backup_to(self.data.join("backups").join("a"))
            .backup_to(self.data.join("backups").join("b")))
    }

    /// There while the live copies are destroyed and not yet restored: the storage does not open then, and a
    /// restore begins anew.
    fn marker(&self) -> PathBuf {
        self.data.join("restoring")
    }
}

async fn run(args: Args) -> Result<()> {
    let places = places(&args)?;
    let limit = args.limit.map(Size::bytes);
    let exclude = excluded(&args, &places);
    let root = places.root.clone();
    let input = blocking(move || Input::survey(&root, &exclude, limit)).await?;
    println!("{} files, {} under {}", input.files, table::bytes(input.bytes), places.root.display());
    if input.past_limit.0 > 0 {
        println!("{} files, {} are past --limit", input.past_limit.0, table::bytes(input.past_limit.1));
    }
    let mut timings = Vec::new();
    let mut skipped = steps::Skipped::default();

    let storage = timed("open", &mut timings, Box::pin(open(&places, &input))).await?;
    let stored =
        timed("store and index", &mut timings, Box::pin(steps::store(&storage, &input, &mut skipped)))
            .await?;
    let reads = timed("read, skewed", &mut timings, Box::pin(steps::read(&storage, stored.files))).await?;
    let report =
        timed("back up", &mut timings, Box::pin(steps::back_up(&storage, &input, &mut skipped))).await?;
    let metrics = storage.metrics().storage_metrics();

    timed("destroy", &mut timings, Box::pin(destroy(&places, storage))).await?;
    let storage = timed("restore", &mut timings, Box::pin(restore(&places, &input))).await?;
    let verified = timed("verify", &mut timings, Box::pin(steps::verify(&storage, &stored))).await?;
    let tree =
        timed("restore and verify DIR", &mut timings, Box::pin(steps::verify_tree(&storage, &input))).await?;

    skipped.print();
    steps::print_results(&stored, &reads, &report, &verified, &tree);
    steps::print_metrics(&storage, &metrics);
    steps::print_health(&storage).await;
    let row = |(what, time, peak): &Timing| ((*what).into(), format!("{time:>10.2?}   peak memory {peak}"));
    table::print("timings", &timings.iter().map(row).collect::<Vec<_>>());
    print_places(&places);
    storage.shutdown(Duration::from_secs(30)).await
}

/// Opens the storage; what an interrupted run had destroyed is restored first.
async fn open(places: &Places, input: &Input) -> Result<Storage> {
    if !places.marker().exists() {
        return places.builder(input)?.open().await;
    }
    println!("an earlier run was interrupted after it had destroyed its copies: restoring them first");
    restore(places, input).await
}

async fn restore(places: &Places, input: &Input) -> Result<Storage> {
    let progress = aetherius::backup::Progress::new();
    let bar = bar::follow("restoring", input.bytes, &progress);
    let restored = places.builder(input)?.restore_with(RestorePoint::Latest, progress).await?;
    drop(bar);
    if let Some(skipped) = restored.files.skipped.first() {
        return Err(Error::corrupt(format!("a file was not restored: {skipped}")));
    }
    Ok(restored.storage)
}

/// The disaster: everything live is gone, only the backups are left.
async fn destroy(places: &Places, storage: Storage) -> Result<()> {
    // The mark comes first, while the directory is ours: from then on nobody takes what is left for data.
    let marker = places.marker();
    blocking(move || Ok(std::fs::File::create(marker)?.sync_all()?)).await?;
    storage.shutdown(Duration::from_secs(30)).await?;
    destroy_live(places).await
}

async fn destroy_live(places: &Places) -> Result<()> {
    let data = places.data.clone();
    blocking(move || {
        for part in ["files", "db", "keys"] {
            match std::fs::remove_dir_all(data.join(part)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    })
    .await
}

fn places(args: &Args) -> Result<Places> {
    let password = std::env::var_os("AETHERIUS_PASSWORD").unwrap_or_else(|| "quickstart".into());
    if password.is_empty() {
        return Err(Error::invalid("the password is empty")
            .with_key("AETHERIUS_PASSWORD")
            .with_remedy("give a password, or unset the variable for the default"));
    }
    let secret = Secret::new(std::os::unix::ffi::OsStringExt::into_vec(password));
    let given = args.dir.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let root = given.canonicalize().map_err(|error| {
        Error::from(error)
            .with_operation("read the input")
            .with_key(given.display())
            .with_remedy("give a directory that exists and that you may read")
    })?;
    let (data, temporary) = match &args.data {
        Some(data) => (own_place(&root, data)?, None),
        None => {
            let directory = tempfile::Builder::new().prefix("aetherius-quickstart-").tempdir()?;
            (directory.path().canonicalize()?, Some(directory))
        }
    };
    Ok(Places { data, temporary, secret, root })
}

/// The data directory, which must not hold DIR: what is live in it is destroyed.
fn own_place(root: &Path, data: &Path) -> Result<PathBuf> {
    let data = std::path::absolute(data)?;
    let real = data.canonicalize().unwrap_or_else(|_| data.clone());
    if root.starts_with(&real) {
        return Err(Error::invalid("the data directory is DIR or holds it")
            .with_key(data.display())
            .with_remedy("give --data a directory of its own"));
    }
    Ok(data)
}

/// What is left out: the data directory, and for the project's own tree what the build and git keep there.
fn excluded(args: &Args, places: &Places) -> Vec<PathBuf> {
    let own = ["target", ".git", ".xtask"].map(|name| places.root.join(name));
    let own = if args.dir.is_none() { &own[..] } else { &[] };
    let mut excluded = own.to_vec();
    excluded.push(places.data.canonicalize().unwrap_or_else(|_| places.data.clone()));
    excluded
}

fn print_places(places: &Places) {
    let at = |name: &str| places.data.join(name).display().to_string();
    let mut rows = vec![
        ("encrypted files".into(), at("files")),
        ("index".into(), at("db/app.sqlite")),
        ("restic repository".into(), at("backups/a")),
        ("restic repository".into(), at("backups/b")),
    ];
    if places.temporary.is_some() {
        rows.push(("removed now".into(), "give --data DIR to keep the data".into()));
    }
    table::print("places", &rows);
}

/// A step, how long it took, and the most memory that was resident until its end.
type Timing = (&'static str, Duration, String);

async fn timed<T>(
    what: &'static str,
    timings: &mut Vec<Timing>,
    work: Pin<Box<impl Future<Output = Result<T>>>>,
) -> Result<T> {
    #[allow(clippy::disallowed_methods, reason = "a program may look at the clock")]
    let begun = Instant::now();
    let result = work.await;
    timings.push((what, begun.elapsed(), peak_memory().unwrap_or_else(|| "unknown".into())));
    result
}

/// The most memory that was resident so far (Linux: `VmHWM`, proc(5)).
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(table::bytes(kibibytes << 10))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::other("interrupted").with_source(error))?
}
