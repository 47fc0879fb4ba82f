//! What of a directory is left out, by patterns, tags and size.

use aeth_core::{Error, Result};
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The first bytes of a `CACHEDIR.TAG` (<https://bford.info/cachedir/>).
const CACHE_HEADER: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// The rules of one source.
#[derive(Clone)]
pub(crate) struct Rules {
    root: PathBuf,
    /// In the order in which they were given; the last that matches decides.
    patterns: Vec<Patterns>,
    tags: Vec<Tag>,
    pub(crate) larger_than: Option<u64>,
}

#[derive(Clone)]
struct Patterns {
    lines: Vec<String>,
    matcher: Gitignore,
}

/// A file that, where it stands in a directory, leaves out what else is there.
#[derive(Clone)]
struct Tag {
    name: String,
    header: Vec<u8>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.labels()).finish()
    }
}

impl Rules {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), patterns: Vec::new(), tags: Vec::new(), larger_than: None }
    }

    pub(super) fn add(&mut self, lines: Vec<String>, ignore_case: bool) -> Result<()> {
        let mut builder = GitignoreBuilder::new(&self.root);
        let refused = |line: &str, error: ignore::Error| {
            Error::invalid(format!("not a pattern: {error}"))
                .with_operation("read the exclude patterns")
                .with_key(line)
                .with_remedy("write it in the syntax of .gitignore")
        };
        builder.case_insensitive(ignore_case).map_err(|error| refused("", error))?;
        // The default takes `[` without its end for a letter: a mistake in a pattern would be silent.
        builder.allow_unclosed_class(false);
        for line in &lines {
            let relative = self.relative(line);
            builder
                .add_line(None, relative.as_deref().unwrap_or(line))
                .map_err(|error| refused(line, error))?;
        }
        let matcher = builder.build().map_err(|error| refused("", error))?;
        self.patterns.push(Patterns { lines, matcher });
        Ok(())
    }

    /// A pattern that begins with the source's own path, relative to it.
    fn relative(&self, line: &str) -> Option<String> {
        let (negation, pattern) = match line.strip_prefix('!') {
            Some(pattern) => ("!", pattern),
            None => ("", line),
        };
        let rest = pattern.strip_prefix(self.root.to_str()?)?;
        (rest.starts_with('/') && rest.len() > 1).then(|| format!("{negation}{rest}"))
    }

    pub(super) fn add_tag(&mut self, tag: &str) -> Result<()> {
        let (name, header) = tag.split_once(':').unwrap_or((tag, ""));
        if name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
            return Err(Error::invalid("the tag is not the name of a file")
                .with_operation("read the exclude rules")
                .with_key(tag)
                .with_remedy("give a file name, or NAME:HEADER"));
        }
        self.tags.push(Tag { name: name.to_owned(), header: header.as_bytes().to_vec() });
        Ok(())
    }

    pub(super) fn add_cache_tag(&mut self) {
        self.tags.push(Tag { name: CACHE_TAG.to_owned(), header: CACHE_HEADER.to_vec() });
    }

    pub(super) fn looks_at_paths(&self) -> bool {
        !self.patterns.is_empty() || self.larger_than.is_some()
    }

    pub(super) fn exclude(&self, path: &Path, directory: bool, size: u64) -> bool {
        if !directory && self.larger_than.is_some_and(|limit| size > limit) {
            return true;
        }
        let decided =
            self.patterns.iter().rev().find_map(|patterns| match patterns.matcher.matched(path, directory) {
                Match::None => None,
                Match::Ignore(_) => Some(true),
                Match::Whitelist(_) => Some(false),
            });
        decided.unwrap_or(false)
    }

    /// Leaves only the tag of a directory that has one.
    pub(crate) fn prune(&self, directory: &OwnedFd, names: &mut Vec<Vec<u8>>) {
        let tag = self.tags.iter().find(|tag| {
            names.binary_search_by(|name| name.as_slice().cmp(tag.name.as_bytes())).is_ok()
                && (tag.header.is_empty() || begins_with(directory, &tag.name, &tag.header))
        });
        if let Some(tag) = tag {
            names.retain(|name| name == tag.name.as_bytes());
        }
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = String> {
        let lines = self.patterns.iter().flat_map(|patterns| patterns.lines.iter());
        lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#')).cloned()
    }
}

/// True when the regular file `name` begins with `header`. What cannot be read is no tag.
fn begins_with(directory: &OwnedFd, name: &str, header: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(file) = rustix::fs::openat(directory, OsStr::from_bytes(name.as_bytes()), flags, Mode::empty())
    else {
        return false;
    };
    let mut buffer = vec![0; header.len()];
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&file, rest) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    read == header.len() && buffer == header
}

/// The lines of a file of patterns.
pub(super) fn read_patterns(file: &Path) -> Result<Vec<String>> {
    let named = |error: Error| error.with_operation("read the exclude patterns").with_key(file.display());
    let bytes = std::fs::read(file).map_err(|error| named(error.into()))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| named(Error::invalid("the file is not UTF-8").with_remedy("save it as UTF-8")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(lines: &[&str], ignore_case: bool) -> Rules {
        let mut rules = Rules::new(Path::new("/srv/data"));
        rules.add(lines.iter().map(|line| (*line).to_owned()).collect(), ignore_case).unwrap();
        rules
    }

    #[test]
    fn patterns_are_those_of_gitignore() {
        let rules = rules(
            &["# a comment", "*.tmp", "!keep.tmp", "/target", "cache/", "a/**/z", "/srv/data/own", "b\\ c"],
            false,
        );
        let out = |path: &str, directory| rules.exclude(Path::new(path), directory, 0);
        assert!(out("/srv/data/x/y.tmp", false) && !out("/srv/data/x/keep.tmp", false));
        assert!(out("/srv/data/target", true) && !out("/srv/data/x/target", true));
        assert!(out("/srv/data/x/cache", true) && !out("/srv/data/x/cache", false));
        assert!(out("/srv/data/a/b/c/z", false) && out("/srv/data/a/z", false));
        assert!(out("/srv/data/own", false) && !out("/srv/data/x/own", false));
        assert!(!out("/srv/data/x/Y.TMP", false) && !out("/srv/data/# a comment", false));
        assert_eq!(rules.labels().count(), 7);
    }

    #[test]
    fn later_sets_decide_over_earlier_ones_and_case_may_be_ignored() {
        let mut rules = rules(&["*.JPG"], true);
        rules.add(vec!["!holiday.jpg".into()], false).unwrap();
        rules.larger_than = Some(10);
        assert!(rules.exclude(Path::new("/srv/data/a.jpg"), false, 1));
        assert!(!rules.exclude(Path::new("/srv/data/holiday.jpg"), false, 10));
        assert!(rules.exclude(Path::new("/srv/data/other"), false, 11));
        assert!(!rules.exclude(Path::new("/srv/data/other"), true, 11));
    }

    #[test]
    fn mistakes_are_named() {
        let mut rules = Rules::new(Path::new("/"));
        let error = rules.add(vec!["fine".into(), "a[b".into()], false).unwrap_err();
        assert!(error.key() == Some("a[b") && error.remedy().is_some(), "{error}");
        for tag in ["", "a/b", "..", ":x"] {
            assert!(rules.add_tag(tag).is_err(), "{tag}");
        }
    }
}
