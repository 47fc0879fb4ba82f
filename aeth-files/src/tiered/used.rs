//! When blobs were last read.

use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::{BlobPath, Body, Result};
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first line of a note.
const HEADER: &str = "aetherius tiered use, version 1";

/// Notes of handles that are gone are taken over by those that live, and removed after this.
const ABANDONED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The times, to the minute, of the blobs that were read last.
///
/// Of more than it may hold it forgets the half that was read longest ago, and remembers when that was: what is not
/// known counts as read then, so that nothing is thought idle because it was forgotten.
#[derive(Debug)]
pub(super) struct Used {
    state: Mutex<State>,
    capacity: usize,
    /// The name of this handle's note.
    own: String,
}

#[derive(Debug, Default)]
struct State {
    minutes: HashMap<BlobPath, u64>,
    forgotten: u64,
    dirty: bool,
}

impl Used {
    pub(super) fn new(capacity: usize) -> Result<Self> {
        Ok(Self { state: Mutex::default(), capacity: capacity.max(2), own: crate::random::hex::<8>()? })
    }

    pub(super) fn note(&self, path: &BlobPath, now: SystemTime) {
        let minute = minutes(now);
        let mut state = self.state.lock();
        match state.minutes.get_mut(path) {
            Some(known) if *known >= minute => return,
            Some(known) => *known = minute,
            None => {
                state.minutes.insert(path.clone(), minute);
            }
        }
        state.dirty = true;
        self.trim(&mut state);
    }

    fn trim(&self, state: &mut State) {
        if state.minutes.len() <= self.capacity {
            return;
        }
        let mut all: Vec<u64> = state.minutes.values().copied().collect();
        let middle = all.len() / 2;
        let (_, median, _) = all.select_nth_unstable(middle);
        let median = *median;
        state.minutes.retain(|_, minute| *minute > median);
        state.forgotten = state.forgotten.max(median);
    }

    /// When a blob was last read; `None` when it never was.
    pub(super) fn last(&self, path: &BlobPath) -> Option<SystemTime> {
        let state = self.state.lock();
        let minute = state.minutes.get(path).copied().unwrap_or(state.forgotten);
        (minute > 0).then(|| UNIX_EPOCH + Duration::from_secs(minute * 60))
    }

    pub(super) fn forget(&self, path: &BlobPath) {
        let mut state = self.state.lock();
        if state.minutes.remove(path).is_some() {
            state.dirty = true;
        }
    }

    /// Takes in what all handles noted below a prefix.
    pub(super) async fn load(&self, store: &Arc<dyn BlobStore>, prefix: &str) -> Result<()> {
        let mut notes = store.list(Some(prefix));
        while let Some(note) = notes.try_next().await? {
            if note.path.file_name() == self.own {
                continue;
            }
            match store.get_bytes(&note.path).await {
                Ok(bytes) => self.merge(&String::from_utf8_lossy(&bytes)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes the note of this handle when there is something new, and removes those of handles that are long gone.
    pub(super) async fn save(&self, store: &Arc<dyn BlobStore>, prefix: &str, now: SystemTime) -> Result<()> {
        let text = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.dirty) {
                return Ok(());
            }
            let mut text = format!("{HEADER}\n{}\n", state.forgotten);
            for (path, minute) in &state.minutes {
                // A line each: no line break of a path gets in the way. Writing into a string cannot fail.
                let path = path.as_str().replace('%', "%25").replace('\n', "%0A").replace('\r', "%0D");
                let _ = writeln!(text, "{minute} {path}");
            }
            text
        };
        let own = BlobPath::new(format!("{prefix}{}", self.own))?;
        if let Err(error) = store.put(&own, Body::from(text)).await {
            self.state.lock().dirty = true;
            return Err(error);
        }
        // This handle has taken them in when it was opened, or when it planned.
        let mut notes = store.list(Some(prefix));
        while let Some(note) = notes.try_next().await? {
            if note.path != own && now.duration_since(note.modified).is_ok_and(|age| age > ABANDONED) {
                store.delete(&note.path).await?;
            }
        }
        Ok(())
    }

    fn merge(&self, text: &str) {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return;
        }
        let mut state = self.state.lock();
        let forgotten = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
        state.forgotten = state.forgotten.max(forgotten);
        for line in lines {
            let Some((minute, path)) = line.split_once(' ') else { continue };
            let path = BlobPath::new(path.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%"));
            let (Ok(minute), Ok(path)) = (minute.parse::<u64>(), path) else { continue };
            let known = state.minutes.entry(path).or_insert(0);
            if minute > *known {
                *known = minute;
                state.dirty = true;
            }
        }
        self.trim(&mut state);
    }
}

fn minutes(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeth_core::SystemClock;

    fn at(minute: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(minute * 60)
    }

    #[test]
    fn what_is_forgotten_is_not_idle() {
        let used = Used::new(10).unwrap();
        let path = |i: u64| BlobPath::new(format!("{i}")).unwrap();
        for i in 1..=11 {
            used.note(&path(i), at(100 + i));
        }
        assert_eq!(used.last(&path(11)), Some(at(111)));
        // The older half is forgotten, and known to be no younger than this.
        assert_eq!(used.last(&path(1)), Some(at(106)));
        assert_eq!(Used::new(10).unwrap().last(&path(1)), None);
    }

    #[tokio::test]
    async fn handles_tell_each_other() {
        let store: Arc<dyn BlobStore> = Arc::new(crate::MemoryStore::new());
        let (one, two) = (Used::new(10).unwrap(), Used::new(10).unwrap());
        let odd = BlobPath::new("a b%0A\n%\r").unwrap();
        one.note(&odd, at(7));
        one.save(&store, "notes/", SystemClock::shared().now()).await.unwrap();
        two.load(&store, "notes/").await.unwrap();
        assert_eq!(two.last(&odd), Some(at(7)));
        // What is taken over outlives the note that it came from.
        two.save(&store, "notes/", SystemClock::shared().now() + ABANDONED * 2).await.unwrap();
        let three = Used::new(10).unwrap();
        three.load(&store, "notes/").await.unwrap();
        assert_eq!(three.last(&odd), Some(at(7)));
        assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 1);
    }
}
