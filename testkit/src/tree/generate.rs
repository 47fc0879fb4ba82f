//! Making a tree.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::{names, xattr};

/// What a generated tree is like. The same shape and seed give the same tree.
///
/// ```
/// let dir = testkit::temp_dir();
/// let report = testkit::Shape::new(7).files(50).bytes(1 << 20).build(&dir.path().join("tree")).unwrap();
/// assert_eq!(report.files, 50);
/// ```
#[derive(Clone, Debug)]
pub struct Shape {
    seed: u64,
    files: usize,
    bytes: u64,
    depth: usize,
    foreign_names: bool,
    foreign_targets: bool,
    links: bool,
    attributes: bool,
    odd_modes: bool,
    sparse: bool,
}

/// What a generated tree holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeReport {
    /// Regular files, each hard link counted once more.
    pub files: usize,
    /// Directories below the root.
    pub directories: usize,
    /// Symbolic links.
    pub symlinks: usize,
    /// Names beyond the first of files with several.
    pub hardlinks: usize,
    /// Bytes of contents, holes counted, hard links counted once.
    pub bytes: u64,
}

impl Shape {
    /// A tree of 200 files and at most 8 MiB, with everything odd in it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            files: 200,
            bytes: 8 << 20,
            depth: 12,
            foreign_names: true,
            foreign_targets: true,
            links: true,
            attributes: true,
            odd_modes: true,
            sparse: true,
        }
    }

    /// How many regular files.
    #[must_use]
    pub fn files(mut self, files: usize) -> Self {
        self.files = files;
        self
    }

    /// The most bytes that all files together have.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// How deep directories nest, at most.
    #[must_use]
    pub fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// Whether some names are not UTF-8 (Linux only).
    #[must_use]
    pub fn foreign_names(mut self, yes: bool) -> Self {
        self.foreign_names = yes;
        self
    }

    /// Whether some symbolic links point to names that are not UTF-8, which restic before 0.16 cannot keep.
    #[must_use]
    pub fn foreign_targets(mut self, yes: bool) -> Self {
        self.foreign_targets = yes;
        self
    }

    /// Whether there are symbolic and hard links.
    #[must_use]
    pub fn links(mut self, yes: bool) -> Self {
        self.links = yes;
        self
    }

    /// Whether some files carry extended attributes, where the file system has them.
    #[must_use]
    pub fn attributes(mut self, yes: bool) -> Self {
        self.attributes = yes;
        self
    }

    /// Whether modes such as 0400, 0600, 0777 and setgid occur. The owner can always read.
    #[must_use]
    pub fn odd_modes(mut self, yes: bool) -> Self {
        self.odd_modes = yes;
        self
    }

    /// Whether some files have holes.
    #[must_use]
    pub fn sparse(mut self, yes: bool) -> Self {
        self.sparse = yes;
        self
    }

    /// Only plain names, modes and files: what any store and any protocol takes.
    #[must_use]
    pub fn plain(self) -> Self {
        self.foreign_names(false).links(false).attributes(false).odd_modes(false).sparse(false)
    }

    /// Makes the tree at `root`, which must not exist.
    ///
    /// # Errors
    /// As the file system answers.
    pub fn build(&self, root: &Path) -> io::Result<TreeReport> {
        let mut builder =
            Builder { shape: self, rng: Rng::with_seed(self.seed), report: TreeReport::default() };
        builder.build(root)?;
        Ok(builder.report)
    }
}

struct Builder<'a> {
    shape: &'a Shape,
    rng: Rng,
    report: TreeReport,
}

impl Builder<'_> {
    fn build(&mut self, root: &Path) -> io::Result<()> {
        fs::create_dir_all(root)?;
        let directories = self.directories(root)?;
        let mut files: Vec<PathBuf> = Vec::with_capacity(self.shape.files);
        let mut left = self.shape.bytes;
        for index in 0..self.shape.files {
            let parent = self.rng.choice(&directories).map_or(root, PathBuf::as_path);
            let path = parent.join(names::pick(&mut self.rng, index, self.shape.foreign_names));
            let again = self.shape.links && !files.is_empty() && self.rng.u8(..) < 6;
            if again {
                let first = self.rng.usize(..files.len());
                fs::hard_link(&files[first], &path)?;
                self.report.hardlinks += 1;
            } else {
                let share = left / (self.shape.files - index) as u64;
                let size = self.size(share).min(left);
                left -= size;
                self.file(&path, size)?;
                files.push(path);
            }
            self.report.files += 1;
        }
        if self.shape.links {
            self.symlinks(&directories, &files)?;
        }
        for directory in directories.iter().rev() {
            if self.shape.odd_modes && directory != root {
                let mode = *self.rng.choice(&[0o755, 0o700, 0o2755, 0o1777, 0o750]).unwrap_or(&0o755);
                fs::set_permissions(directory, PermissionsExt::from_mode(mode))?;
            }
            self.touch(directory)?;
        }
        Ok(())
    }

    /// The root and the directories below it, parents before children; one chain goes to the full depth.
    fn directories(&mut self, root: &Path) -> io::Result<Vec<PathBuf>> {
        let mut all = vec![(root.to_path_buf(), 0)];
        let mut chain = 0;
        for index in 0..(self.shape.files / 12).max(self.shape.depth) {
            let at = if index < self.shape.depth { chain } else { self.rng.usize(..all.len()) };
            let (parent, depth) = all[at].clone();
            if depth >= self.shape.depth {
                continue;
            }
            let mut name = std::ffi::OsString::from("d");
            name.push(names::pick(&mut self.rng, index, self.shape.foreign_names));
            let path = parent.join(name);
            fs::create_dir(&path)?;
            self.report.directories += 1;
            chain = all.len();
            all.push((path, depth + 1));
        }
        Ok(all.into_iter().map(|(path, _)| path).collect())
    }

    /// Sizes as in real trees: empty ones, many small ones, few large ones, all near `mean` on average.
    fn size(&mut self, mean: u64) -> u64 {
        match self.rng.u8(..100) {
            0..=4 => 0,
            5..=9 => 1,
            10..=79 => self.rng.u64(..=mean),
            80..=97 => self.rng.u64(mean / 2..=mean.saturating_mul(2)),
            _ => mean.saturating_mul(8),
        }
    }

    fn file(&mut self, path: &Path, size: u64) -> io::Result<()> {
        let mut file = File::create_new(path)?;
        let hole = self.shape.sparse && size > 65_536 && self.rng.u8(..) < 24;
        if hole {
            // Data at both ends, nothing between.
            file.write_all(&self.block(4096))?;
            file.seek(SeekFrom::Start(size - 4096))?;
            file.write_all(&self.block(4096))?;
        } else {
            let mut left = size;
            while left > 0 {
                let length = left.min(65_536);
                let block = self.block(usize::try_from(length).unwrap_or(65_536));
                file.write_all(&block)?;
                left -= length;
            }
        }
        drop(file);
        self.report.bytes += size;
        if self.shape.attributes && self.rng.u8(..) < 12 {
            let value = self.block(20);
            xattr::set(path, "user.aeth.test", &value)?;
        }
        if self.shape.odd_modes {
            let modes = [0o644, 0o644, 0o600, 0o400, 0o755, 0o777, 0o640, 0o2755, 0o4711];
            let mode = *self.rng.choice(&modes).unwrap_or(&0o644);
            fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
        }
        self.touch(path)
    }

    /// Contents: a third random, a third text-like, a third repetitive.
    fn block(&mut self, length: usize) -> Vec<u8> {
        let mut block = vec![0; length];
        match self.rng.u8(..3) {
            0 => self.rng.fill(&mut block),
            1 => block.iter_mut().for_each(|byte| *byte = b" etaoinshrdlucmf"[self.rng.usize(..16)]),
            _ => {
                let period = self.rng.usize(1..200);
                let pattern: Vec<u8> = (0..period).map(|_| self.rng.u8(..)).collect();
                block.iter_mut().zip(pattern.iter().cycle()).for_each(|(byte, p)| *byte = *p);
            }
        }
        block
    }

    fn symlinks(&mut self, directories: &[PathBuf], files: &[PathBuf]) -> io::Result<()> {
        for index in 0..(self.shape.files / 25).max(4) {
            let parent = self.rng.choice(directories).cloned().unwrap_or_default();
            let mut name = std::ffi::OsString::from("l");
            name.push(names::pick(&mut self.rng, index, self.shape.foreign_names));
            let target = match index % 4 {
                0 => PathBuf::from("missing/target"),
                1 => PathBuf::from("/dev/null"),
                2 => PathBuf::from(".."),
                _ => {
                    self.rng.choice(files).and_then(|f| f.file_name()).map(PathBuf::from).unwrap_or_default()
                }
            };
            let foreign = target.to_str().is_none();
            if target.as_os_str().is_empty() || (foreign && !self.shape.foreign_targets) {
                continue;
            }
            let path = parent.join(name);
            symlink(target, &path)?;
            self.touch(&path)?;
            self.report.symlinks += 1;
        }
        Ok(())
    }

    /// A time between 1971 and 2033, to the nanosecond.
    fn touch(&mut self, path: &Path) -> io::Result<()> {
        let time = Timespec {
            tv_sec: self.rng.i64(31_536_000..2_000_000_000),
            tv_nsec: self.rng.i64(0..1_000_000_000),
        };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}
