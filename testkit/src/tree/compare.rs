//! Comparing two trees.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::xattr;

/// What counts in a comparison. Contents, kinds, symlink targets and hard links always do.
#[derive(Clone, Copy, Debug)]
pub struct Compare {
    /// Permission bits.
    pub modes: bool,
    /// Modification times, to the nanosecond.
    pub times: bool,
    /// Owner and group.
    pub owners: bool,
    /// Extended attributes of the `user` namespace.
    pub attributes: bool,
}

impl Compare {
    /// Everything that a restore by this process can set: owners only for root.
    #[must_use]
    pub fn full() -> Self {
        Self { modes: true, times: true, owners: crate::is_root(), attributes: true }
    }

    /// Only what the files hold.
    #[must_use]
    pub fn contents() -> Self {
        Self { modes: false, times: false, owners: false, attributes: false }
    }
}

/// One way in which two trees differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, below the roots; empty for the roots themselves.
    pub path: PathBuf,
    /// What, as `left, right`.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

/// All differences between the trees at `left` and `right`, in the order of their paths.
///
/// # Errors
/// As the file system answers.
pub fn same_tree(left: &Path, right: &Path, compare: Compare) -> io::Result<Vec<Difference>> {
    let mut one = Walk::default();
    let mut other = Walk::default();
    one.visit(left, Path::new(""))?;
    other.visit(right, Path::new(""))?;
    let mut differences = Vec::new();
    let paths: BTreeSet<&PathBuf> = one.entries.keys().chain(other.entries.keys()).collect();
    for path in paths {
        let mut differs = |what: String| differences.push(Difference { path: path.clone(), what });
        match (one.entries.get(path), other.entries.get(path)) {
            (Some(a), Some(b)) => entry(&left.join(path), a, &right.join(path), b, compare, &mut differs)?,
            (Some(_), None) => differs("only on the left".into()),
            _ => differs("only on the right".into()),
        }
    }
    let (here, there) = (one.groups(), other.groups());
    for group in here.symmetric_difference(&there) {
        let side = if here.contains(group) { "left" } else { "right" };
        let path = group.first().cloned().unwrap_or_default();
        differences.push(Difference { path, what: format!("hard links only on the {side}: {group:?}") });
    }
    Ok(differences)
}

/// Panics with a readable list when the trees differ.
#[track_caller]
pub fn assert_same_tree(left: &Path, right: &Path, compare: Compare) {
    let differences = same_tree(left, right, compare).expect("both trees can be read");
    let shown: Vec<String> = differences.iter().take(20).map(ToString::to_string).collect();
    assert!(
        differences.is_empty(),
        "{} and {} differ in {} ways:\n  {}",
        left.display(),
        right.display(),
        differences.len(),
        shown.join("\n  ")
    );
}

#[derive(Default)]
struct Walk {
    entries: BTreeMap<PathBuf, Metadata>,
    inodes: BTreeMap<(u64, u64), Vec<PathBuf>>,
}

impl Walk {
    fn visit(&mut self, root: &Path, below: &Path) -> io::Result<()> {
        let path = root.join(below);
        let meta = fs::symlink_metadata(&path)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        if meta.is_dir() {
            for child in fs::read_dir(&path)? {
                self.visit(root, &below.join(child?.file_name()))?;
            }
        } else if meta.nlink() > 1 {
            self.inodes.entry((meta.dev(), meta.ino())).or_default().push(below.to_path_buf());
        }
        self.entries.insert(below.to_path_buf(), meta);
        Ok(())
    }

    /// The sets of paths that are one file.
    fn groups(&self) -> BTreeSet<Vec<PathBuf>> {
        let mut groups: BTreeSet<Vec<PathBuf>> =
            self.inodes.values().filter(|g| g.len() > 1).cloned().collect();
        groups = groups
            .into_iter()
            .map(|mut group| {
                group.sort();
                group
            })
            .collect();
        groups
    }
}

fn entry(
    left: &Path,
    a: &Metadata,
    right: &Path,
    b: &Metadata,
    compare: Compare,
    differs: &mut impl FnMut(String),
) -> io::Result<()> {
    if kind(a) != kind(b) {
        differs(format!("{}, {}", kind(a), kind(b)));
        return Ok(());
    }
    let symlink = a.is_symlink();
    if symlink && fs::read_link(left)? != fs::read_link(right)? {
        differs(format!("points to {:?}, {:?}", fs::read_link(left)?, fs::read_link(right)?));
    }
    if a.is_file() {
        if a.len() != b.len() {
            differs(format!("{} bytes, {}", a.len(), b.len()));
        } else if let Some(at) = first_difference(left, right)? {
            differs(format!("contents differ from byte {at}"));
        }
    }
    // Linux gives every symlink the same mode.
    if compare.modes && !symlink && a.mode() != b.mode() {
        differs(format!("mode {:o}, {:o}", a.mode(), b.mode()));
    }
    let time = |m: &Metadata| (m.mtime(), m.mtime_nsec());
    if compare.times && time(a) != time(b) {
        differs(format!("modified {:?}, {:?}", time(a), time(b)));
    }
    if compare.owners && (a.uid(), a.gid()) != (b.uid(), b.gid()) {
        differs(format!("owner {}:{}, {}:{}", a.uid(), a.gid(), b.uid(), b.gid()));
    }
    if compare.attributes && !symlink {
        let (mine, theirs) = (xattr::all(left)?, xattr::all(right)?);
        if mine != theirs {
            differs(format!("attributes {mine:?}, {theirs:?}"));
        }
    }
    Ok(())
}

fn kind(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => "directory",
        () if kind.is_file() => "file",
        () if kind.is_symlink() => "symlink",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "device",
    }
}

fn first_difference(left: &Path, right: &Path) -> io::Result<Option<u64>> {
    let (mut one, mut other) = (File::open(left)?, File::open(right)?);
    let (mut a, mut b) = (vec![0; 1 << 17], vec![0; 1 << 17]);
    let mut at = 0;
    loop {
        let n = fill(&mut one, &mut a)?;
        let m = fill(&mut other, &mut b)?;
        if let Some(i) = a[..n].iter().zip(&b[..m]).position(|(x, y)| x != y) {
            return Ok(Some(at + i as u64));
        }
        if n != m {
            return Ok(Some(at + n.min(m) as u64));
        }
        if n == 0 {
            return Ok(None);
        }
        at += n as u64;
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}
