//! What is backed up: the same bytes in every run on one machine.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::BoxError;

const GIB: f64 = (1 << 30) as f64;

/// A data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Incompressible: 8 files of 128 MiB.
    Random,
    /// Libraries, sources and documents of this machine, a third each: 1 GiB.
    Mixed,
    /// 100,000 files of 1 to 3 KiB of words, in 500 directories.
    Small,
}

impl Set {
    pub(crate) const ALL: [Self; 3] = [Self::Random, Self::Mixed, Self::Small];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Mixed => "mixed",
            Self::Small => "small",
        }
    }

    /// Whether the run to several sinks, the fast level and restic's repository are measured with it.
    pub(crate) fn measures_more_sinks(self) -> bool {
        self == Self::Mixed
    }

    pub(crate) fn generate(self, root: &Path, scale: f64) -> Result<(), BoxError> {
        fs::create_dir_all(root)?;
        match self {
            Self::Random => random(root, scale),
            Self::Mixed => mixed(root, (GIB * scale) as u64),
            Self::Small => small(root, (100_000.0 * scale) as usize),
        }
    }
}

/// How much a tree holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files, {} MiB", self.files, self.bytes >> 20)
    }
}

fn random(root: &Path, scale: f64) -> Result<(), BoxError> {
    let mut rng = fastrand::Rng::with_seed(1);
    let pieces = (GIB * scale / 8.0) as usize >> 20;
    let mut piece = vec![0; 1 << 20];
    for number in 0..8 {
        let mut file = fs::File::create(root.join(format!("random-{number}")))?;
        for _ in 0..pieces.max(1) {
            rng.fill(&mut piece);
            file.write_all(&piece)?;
        }
    }
    Ok(())
}

fn small(root: &Path, count: usize) -> Result<(), BoxError> {
    const WORDS: &[&str] = &[
        "the",
        "of",
        "storage",
        "layer",
        "backup",
        "record",
        "value",
        "0x3f",
        "error:",
        "user",
        "order",
        "invoice",
        "2026-11-24",
        "returned",
        "within",
        "timeout",
        "and",
        "a",
        "index",
        "snapshot",
        "{",
        "}",
    ];
    let mut rng = fastrand::Rng::with_seed(2);
    for number in 0..count {
        let dir = root.join(format!("{:03}", number / 200));
        if number % 200 == 0 {
            fs::create_dir_all(&dir)?;
        }
        let length = rng.usize(1024..3072);
        let mut text = format!("file {number}\n");
        while text.len() < length {
            text.push_str(WORDS[rng.usize(..WORDS.len())]);
            text.push(if rng.u8(..12) == 0 { '\n' } else { ' ' });
            if rng.u8(..4) == 0 {
                text.push_str(&rng.u32(..).to_string());
            }
        }
        text.truncate(length);
        fs::write(dir.join(format!("{number:06}.txt")), text)?;
    }
    Ok(())
}

/// Copies files of this machine, chosen by the hash of their paths so that no directory prevails.
fn mixed(root: &Path, bytes: u64) -> Result<(), BoxError> {
    let mut kinds: BTreeMap<&str, Vec<(u64, PathBuf, u64)>> = BTreeMap::new();
    let mut offer = |path: &Path, length: u64| {
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            _ if length > 64 << 20 => return,
            Some("so" | "a" | "rlib") => "libraries",
            Some("h" | "hpp" | "c" | "py" | "pm" | "pl" | "rs" | "js" | "sql" | "el" | "go") => "sources",
            _ if path.to_string_lossy().contains(".so.") => "libraries",
            _ if path.starts_with("/usr/share") => "documents",
            _ => return,
        };
        let mut hasher = foldhash::fast::FixedState::with_seed(3).build_hasher();
        hasher.write(path.as_os_str().as_encoded_bytes());
        kinds.entry(kind).or_default().push((hasher.finish(), path.to_path_buf(), length));
    };
    for place in ["/usr/lib", "/usr/share", "/usr/include", "/usr/src", "/usr/local"] {
        walk(Path::new(place), &mut offer);
    }
    for (kind, mut files) in kinds {
        files.sort();
        let mut left = bytes / 3;
        for (_, path, length) in files {
            if length > left {
                continue;
            }
            let target = root.join(kind).join(path.strip_prefix("/usr").unwrap_or(&path));
            fs::create_dir_all(target.parent().unwrap_or(root))?;
            // What cannot be read is no part of the set.
            if let Ok(content) = fs::read(&path) {
                fs::write(target, content)?;
                left -= length;
            }
        }
    }
    Ok(())
}

/// Appends to one file of a hundred.
pub(crate) fn change(root: &Path, round: u64) -> Result<(), BoxError> {
    let mut files = Vec::new();
    walk(root, &mut |path, _| files.push(path.to_path_buf()));
    files.sort();
    for file in files.iter().skip(usize::try_from(round)?).step_by(100) {
        let mut file = fs::OpenOptions::new().append(true).open(file)?;
        writeln!(file, "{:>63}", round)?;
    }
    Ok(())
}

pub(crate) fn measure(root: &Path) -> Result<Amount, BoxError> {
    let mut amount = Amount::default();
    walk(root, &mut |_, length| {
        amount.files += 1;
        amount.bytes += length;
    });
    if amount.files == 0 { Err(format!("{} is empty", root.display()).into()) } else { Ok(amount) }
}

pub(crate) fn bytes_below(root: &Path) -> Result<u64, BoxError> {
    measure(root).map(|amount| amount.bytes)
}

fn walk(dir: &Path, visit: &mut dyn FnMut(&Path, u64)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            walk(&entry.path(), visit);
        } else if metadata.is_file() {
            visit(&entry.path(), metadata.len());
        }
    }
}
