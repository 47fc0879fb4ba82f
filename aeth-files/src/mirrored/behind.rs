//! The journal: which locations lack what.

use aeth_core::{BlobPath, Error, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use tokio::sync::Notify;

/// What is wrong with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    /// A write was missed.
    Behind,
    /// Its bytes are bad.
    Spoiled,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    location: String,
    path: BlobPath,
    /// Whether the copy is in order again.
    #[serde(default)]
    done: bool,
    /// Whether a copy is there and bad, which its version does not tell.
    #[serde(default)]
    spoiled: bool,
}

impl Line {
    fn new(location: &str, path: &BlobPath, flaw: Option<Flaw>) -> Self {
        let (done, spoiled) = (flaw.is_none(), flaw == Some(Flaw::Spoiled));
        Self { location: location.to_owned(), path: path.clone(), done, spoiled }
    }
}

/// A flaw, and the number of the note that told it last.
#[derive(Debug, Clone, Copy)]
struct Noted {
    flaw: Flaw,
    number: u64,
}

type Flaws = BTreeMap<(usize, BlobPath), Noted>;

#[derive(Debug, Default)]
struct State {
    flaws: Flaws,
    /// The number of the last note.
    last: u64,
    file: Option<File>,
}

/// The copies that must be brought up to date. With a file it outlives the process; what a crash loses of it is
/// found by reads and by a full comparison.
#[derive(Debug)]
pub(super) struct Behind {
    names: Vec<String>,
    path: Option<PathBuf>,
    state: Mutex<State>,
    pub(super) added: Notify,
}

impl Behind {
    /// Reads the journal, if there is one. Blocking.
    pub(super) fn open(names: Vec<String>, path: Option<PathBuf>) -> Result<Self> {
        let mut flaws = BTreeMap::new();
        let mut file = None;
        if let Some(path) = &path {
            let shown = |error| Error::from_io(error).with_component("mirrored").with_key(path.display());
            let text = match std::fs::read(path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(shown(error)),
            };
            // A line that a crash cut is none.
            let lines =
                text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
            for line in lines {
                let line: Line = line;
                let Some(at) = names.iter().position(|name| *name == line.location) else { continue };
                if line.done {
                    flaws.remove(&(at, line.path));
                } else {
                    let flaw = if line.spoiled { Flaw::Spoiled } else { Flaw::Behind };
                    flaws.insert((at, line.path), Noted { flaw, number: 0 });
                }
            }
            file = Some(begin(path, &names, &flaws).map_err(shown)?);
        }
        Ok(Self { names, path, state: Mutex::new(State { flaws, last: 0, file }), added: Notify::new() })
    }

    /// A location missed a write.
    pub(super) fn add(&self, at: usize, path: &BlobPath) {
        self.note(at, path, Flaw::Behind);
    }

    /// A location's copy is bad.
    pub(super) fn spoil(&self, at: usize, path: &BlobPath) {
        self.note(at, path, Flaw::Spoiled);
    }

    fn note(&self, at: usize, path: &BlobPath, flaw: Flaw) {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        if let Some(noted) = state.flaws.get_mut(&(at, path.clone()))
            && noted.flaw >= flaw
        {
            noted.number = number;
            return;
        }
        state.flaws.insert((at, path.clone()), Noted { flaw, number });
        self.append(&mut state, at, path, Some(flaw));
        drop(state);
        self.added.notify_one();
    }

    /// How far the notes go. Whoever looks at copies takes this before: what is noted later he has not seen.
    pub(super) fn last(&self) -> u64 {
        self.state.lock().last
    }

    /// A copy is in order again, as far as was noted until then.
    pub(super) fn done(&self, at: usize, path: &BlobPath, until: u64) {
        self.remove(at, path, Flaw::Spoiled, until);
    }

    /// A location has the right version: a write that it missed is there. Whether the bytes are good, that does not tell.
    pub(super) fn caught_up(&self, at: usize, path: &BlobPath, until: u64) {
        self.remove(at, path, Flaw::Behind, until);
    }

    /// Good bytes have replaced a copy. Whether they are the newest is still to be seen.
    pub(super) fn replaced(&self, at: usize, path: &BlobPath) {
        let mut state = self.state.lock();
        if !state.flaws.is_empty()
            && let Some(noted) = state.flaws.get_mut(&(at, path.clone()))
            && noted.flaw == Flaw::Spoiled
        {
            noted.flaw = Flaw::Behind;
            self.append(&mut state, at, path, Some(Flaw::Behind));
        }
    }

    fn remove(&self, at: usize, path: &BlobPath, up_to: Flaw, until: u64) {
        let mut state = self.state.lock();
        let key = (at, path.clone());
        match state.flaws.get(&key) {
            Some(noted) if noted.flaw <= up_to && noted.number <= until => {
                state.flaws.remove(&key);
            }
            _ => return,
        }
        if state.flaws.is_empty()
            && let Some(journal) = &self.path
        {
            match begin(journal, &self.names, &state.flaws) {
                Ok(file) => state.file = Some(file),
                Err(error) => tracing::warn!(%error, "the journal of the mirror cannot be begun anew"),
            }
            return;
        }
        self.append(&mut state, at, path, None);
    }

    fn append(&self, state: &mut State, at: usize, path: &BlobPath, flaw: Option<Flaw>) {
        let (Some(file), Some(location)) = (&mut state.file, self.names.get(at)) else { return };
        let line = Line::new(location, path, flaw);
        let written = serde_json::to_vec(&line).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            file.write_all(&line)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the journal of the mirror cannot be written");
        }
    }

    /// The flaw of a copy, if it is known to have one.
    pub(super) fn flaw(&self, at: usize, path: &BlobPath) -> Option<Flaw> {
        let state = self.state.lock();
        // Asked by every read: without a flaw anywhere it costs a lock.
        if state.flaws.is_empty() {
            return None;
        }
        state.flaws.get(&(at, path.clone())).map(|noted| noted.flaw)
    }

    /// The paths of which a copy is to be mended, up to so many, from one on.
    pub(super) fn paths(&self, after: Option<&(usize, BlobPath)>, most: usize) -> Vec<(usize, BlobPath)> {
        use std::ops::Bound;
        let state = self.state.lock();
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        state.flaws.range((from, Bound::Unbounded)).take(most).map(|(key, _)| key.clone()).collect()
    }

    /// How many copies each location lacks.
    pub(super) fn counts(&self) -> Vec<u64> {
        let state = self.state.lock();
        let count = |at| state.flaws.keys().filter(|(its, _)| *its == at).count() as u64;
        (0..self.names.len()).map(count).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().flaws.is_empty()
    }
}

/// Writes the journal anew and opens it for more.
fn begin(path: &Path, names: &[String], flaws: &Flaws) -> std::io::Result<File> {
    let mut text = Vec::new();
    for ((at, path), noted) in flaws {
        let Some(location) = names.get(*at) else { continue };
        text.extend(serde_json::to_vec(&Line::new(location, path, Some(noted.flaw)))?);
        text.push(b'\n');
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)?;
    File::options().append(true).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_bad_copy_stays_bad_until_it_is_mended_and_over_a_restart() {
        let dir = testkit::temp_dir();
        let (names, file) = (vec!["a".to_owned(), "b".to_owned()], Some(dir.path().join("journal")));
        let path = BlobPath::new("blob").unwrap();
        let open = || Behind::open(names.clone(), file.clone()).unwrap();
        let behind = open();
        behind.add(0, &path);
        behind.add(1, &path);
        behind.spoil(1, &path);
        // That the version is right says nothing of the bytes.
        behind.caught_up(1, &path, behind.last());
        assert_eq!(behind.flaw(1, &path), Some(Flaw::Spoiled));
        for _ in 0..2 {
            let again = open();
            assert_eq!(
                (again.flaw(0, &path), again.flaw(1, &path)),
                (Some(Flaw::Behind), Some(Flaw::Spoiled))
            );
        }
        let again = open();
        again.caught_up(0, &path, again.last());
        again.replaced(1, &path);
        assert_eq!((open().flaw(0, &path), open().flaw(1, &path)), (None, Some(Flaw::Behind)));
        again.done(1, &path, again.last());
        assert_eq!((open().flaw(0, &path), open().flaw(1, &path)), (None, None));
    }

    #[test]
    fn what_is_noted_after_the_look_stays_noted() {
        let behind = Behind::open(vec!["a".to_owned()], None).unwrap();
        let path = BlobPath::new("blob").unwrap();
        behind.add(0, &path);
        let before = behind.last();
        // A newer write is missed while a repair is under way.
        behind.add(0, &path);
        behind.caught_up(0, &path, before);
        behind.done(0, &path, before);
        assert_eq!(behind.flaw(0, &path), Some(Flaw::Behind));
        behind.caught_up(0, &path, behind.last());
        assert!(behind.is_empty());
    }
}
