//! Resident memory while a large object goes through all layers, in and out, in a process of its own.

use crate::BoxError;
use crate::row::Row;
use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::policy::{Policy, PolicyStore};
use aeth_core::seal::{Keyset, SegmentSize};
use aeth_core::{BlobPath, Body, SystemClock};
use aeth_files::{
    Cached, Checksummed, Compressed, Encrypted, Files, Metered, Mirrored, Quota, QuotaLimits, RateLimited,
    RateLimits, SumAlgorithm, Versioned,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first argument of that process.
pub(crate) const NAME: &str = "files-memory";
const FULL: f64 = 10.0 * (1_u64 << 30) as f64;
const CHUNK: usize = 1 << 20;

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let scale = match std::env::var("AETH_BENCH_SCALE") {
        Ok(text) => {
            text.parse::<f64>().map_err(|_| format!("AETH_BENCH_SCALE is `{text}`: give a number"))?
        }
        Err(_) => 1.0,
    };
    let chunks = ((FULL * scale) as u64 / CHUNK as u64).max(1);
    let base = std::env::var_os("AETH_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::Builder::new().prefix("aeth-vs-").tempdir_in(base)?;
    let mut child = Command::new(std::env::current_exe()?);
    let output = child.arg(NAME).arg(dir.path()).arg(chunks.to_string()).output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut figures = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || figures.next().ok_or("the process said too little");
    let (idle, inward, outward) = (next()??, next()??, next()??);
    let size = (chunks * CHUNK as u64) as f64 / f64::from(1 << 30);
    for (way, peak) in [("in", inward), ("out", outward)] {
        let what = format!("{size:.2} GiB {way} through all layers: memory above idle ({idle:.0} MiB)");
        report(Row::absolute(what, "MiB", peak - idle).at_most(64.0));
    }
    Ok(())
}

/// The work of the process: prints the resident memory in MiB, idle, at most while the object goes in, and out.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> Result<(), BoxError> {
    let dir = PathBuf::from(arguments.next().ok_or("no directory")?);
    let chunks: u64 = arguments.next().ok_or("no length")?.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let files = Files::new(layers(&dir).await?);
        let path = BlobPath::new("large")?;
        let idle = resident("VmRSS:")?;
        forget_peak()?;
        let source = Source::new();
        let body = stream::iter(0..chunks).map(move |number| Ok(source.chunk(number)));
        files.put(&path, Body::once(body, Some(chunks * CHUNK as u64))).await?;
        let inward = resident("VmHWM:")?;
        forget_peak()?;
        check(&files, &path, chunks).await?;
        println!("{idle} {inward} {}", resident("VmHWM:")?);
        Ok(())
    })
}

/// Every layer once, over three local directories.
async fn layers(dir: &Path) -> Result<impl BlobStore + use<>, BoxError> {
    let mut mirror = Mirrored::builder().journal(dir.join("journal"));
    for name in ["a", "b", "c"] {
        let place = super::local(&dir.join(name)).await?;
        mirror = mirror.location(name, PolicyStore::new(place, Policy::default(), SystemClock::shared()));
    }
    let sealed = Encrypted::new(mirror.open().await?, Keyset::generate(SegmentSize::default())?);
    let summed = Checksummed::new(Compressed::new(sealed)?, SumAlgorithm::Crc64Nvme)?;
    let cached = Cached::builder(summed).memory(16 << 20).open().await?;
    let quota = Quota::open(Versioned::new(cached), QuotaLimits::default()).await?;
    Ok(Metered::new(RateLimited::new(quota, RateLimits::default())))
}

/// Reads the object and holds every byte against its source.
async fn check(files: &Files, path: &BlobPath, chunks: u64) -> Result<(), BoxError> {
    let source = Source::new();
    let mut body = files.store().get(path).await?.body;
    let (mut number, mut expected) = (0, source.chunk(0));
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk?;
        while !chunk.is_empty() {
            if expected.is_empty() {
                number += 1;
                expected = source.chunk(number);
            }
            let length = chunk.len().min(expected.len());
            if chunk.split_to(length) != expected.split_to(length) {
                return Err(format!("another byte came out in MiB {number}").into());
            }
        }
    }
    if number + 1 == chunks && expected.is_empty() { Ok(()) } else { Err("the object came out short".into()) }
}

/// Bytes of which a quarter does not compress.
struct Source(Vec<u8>);

impl Source {
    fn new() -> Self {
        let line =
            |n: usize| format!("{{\"id\":{n},\"state\":\"open\",\"labels\":[\"a\",\"b\"]}}\n").into_bytes();
        let mut text: Vec<u8> = (0..CHUNK / 32).flat_map(line).collect();
        text.truncate(CHUNK);
        Self(text)
    }

    fn chunk(&self, number: u64) -> Bytes {
        let mut chunk = self.0.clone();
        fastrand::Rng::with_seed(number).fill(&mut chunk[..CHUNK / 4]);
        chunk.into()
    }
}

/// A figure of this process's memory, in MiB.
fn resident(name: &str) -> Result<f64, BoxError> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such figure")?;
    let kib: f64 = line.split_whitespace().next().ok_or("an empty figure")?.parse()?;
    Ok(kib / 1024.0)
}

/// Lets the highest figure begin anew (proc(5), `clear_refs`).
fn forget_peak() -> Result<(), BoxError> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}
