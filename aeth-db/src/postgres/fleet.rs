//! What is known of all servers together: which is the primary, how far the others are.

use super::sight::{History, Sight};
use super::token::Token;
use aeth_core::{Error, ErrorKind, Result, Retry};
use parking_lot::RwLock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;

/// What a server is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Not asked yet.
    Unknown,
    /// Does not answer.
    Down,
    /// The primary: writes go here.
    Primary,
    /// Replays the primary's log.
    Standby,
    /// Is no standby, but a newer timeline was seen: it was left behind by a promotion and must not be used.
    Stale,
    /// Is no standby, and another server on the same timeline is none either: neither is used.
    Rival,
    /// Belongs to another cluster.
    Foreign,
}

/// What is known of one server.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) standing: Standing,
    pub(super) sight: Option<Sight>,
    pub(super) error: Option<Error>,
}

/// Positions of the primary that are remembered: with a probe each half second, two minutes.
const SAMPLES: usize = 256;

#[derive(Debug)]
pub(super) struct State {
    pub(super) views: Vec<View>,
    pub(super) identity: Option<u64>,
    /// The newest timeline that was seen, which never becomes older.
    newest: u32,
    /// (when, position of the primary then).
    samples: VecDeque<(Duration, u64)>,
    /// The history of the newest timeline, when it may be read.
    pub(super) history: Option<Arc<History>>,
    /// How far at least an earlier timeline is part of the newest: what its promoted standby had replayed.
    kept: BTreeMap<u32, u64>,
}

#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) state: RwLock<State>,
    newest: AtomicU32,
    changes: watch::Sender<u64>,
}

/// What a sight changes beside the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    /// Connections from before must not be used.
    pub(super) renewed: bool,
}

impl Fleet {
    pub(super) fn new(nodes: usize, identity: Option<u64>) -> Self {
        let view = View { standing: Standing::Unknown, sight: None, error: None };
        let state = State {
            views: vec![view; nodes],
            identity,
            newest: 0,
            samples: VecDeque::new(),
            history: None,
            kept: BTreeMap::new(),
        };
        Self { state: RwLock::new(state), newest: AtomicU32::new(0), changes: watch::Sender::new(0) }
    }

    /// The newest timeline that was seen.
    pub(super) fn newest(&self) -> u32 {
        self.newest.load(Relaxed)
    }

    /// Wakes with every probe.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes in what a probe found.
    pub(super) fn judge(&self, index: usize, found: Result<Sight>) -> Judged {
        let judged = {
            let mut state = self.state.write();
            let before = state.views.get(index).and_then(|view| view.sight);
            let was_up = state.views.get(index).is_some_and(|view| view.error.is_none());
            match found {
                Ok(sight) => {
                    let same = before.is_none_or(|before| {
                        (before.system, before.timeline, before.recovering)
                            == (sight.system, sight.timeline, sight.recovering)
                    });
                    if let Some(before) = before.filter(|before| before.recovering && !sight.recovering) {
                        let kept = state.kept.entry(before.timeline).or_insert(0);
                        *kept = before.lsn.max(*kept);
                    }
                    if let Some(view) = state.views.get_mut(index) {
                        view.sight = Some(sight);
                        view.error = None;
                    }
                    state.place_all();
                    state.sample(index, sight);
                    Judged { renewed: !same }
                }
                Err(error) => {
                    let lost = error.kind() == ErrorKind::Unavailable;
                    if let Some(view) = state.views.get_mut(index) {
                        view.error = Some(error);
                    }
                    state.place_all();
                    Judged { renewed: lost && was_up }
                }
            }
        };
        self.newest.fetch_max(self.state.read().newest, Relaxed);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        judged
    }

    /// Settles which cluster is ours, once every server was asked.
    pub(super) fn identify(&self) -> Result<()> {
        let mut state = self.state.write();
        let mut systems: Vec<u64> = Vec::new();
        for sight in state.views.iter().filter_map(|view| view.sight) {
            if !sight.recovering && !systems.contains(&sight.system) {
                systems.push(sight.system);
            }
        }
        if state.identity.is_none() {
            if systems.len() > 1 {
                return Err(Error::invalid("the servers are primaries of different clusters")
                    .with_remedy("name servers of one cluster, or give its system identifier"));
            }
            let first = state.views.iter().find_map(|view| view.sight).map(|sight| sight.system);
            state.identity = systems.first().copied().or(first);
        }
        state.place_all();
        self.newest.fetch_max(state.newest, Relaxed);
        Ok(())
    }

    pub(super) fn set_history(&self, history: History) {
        let mut state = self.state.write();
        if state.history.as_ref().is_none_or(|known| known.timeline < history.timeline) {
            state.history = Some(Arc::new(history));
        }
    }

    /// The timeline whose history is missing.
    pub(super) fn wants_history(&self) -> Option<u32> {
        let newest = self.newest();
        let known = self.state.read().history.as_ref().map_or(1, |history| history.timeline);
        (newest > known).then_some(newest)
    }

    pub(super) fn primary(&self) -> Option<(usize, Sight)> {
        let state = self.state.read();
        state.views.iter().enumerate().find_map(|(index, view)| {
            view.sight.filter(|_| view.standing == Standing::Primary).map(|sight| (index, sight))
        })
    }
}

impl State {
    /// Gives every server its standing.
    fn place_all(&mut self) {
        let Some(identity) = self.identity else { return };
        let ours = |view: &View| view.sight.filter(|sight| sight.system == identity);
        let seen = self.views.iter().filter_map(ours).map(|sight| sight.timeline).max();
        self.newest = self.newest.max(seen.unwrap_or(0));
        let newest = self.newest;
        let leads = |sight: &Sight| !sight.recovering && sight.timeline == newest;
        let answering = self.views.iter().filter(|view| view.error.is_none());
        let leaders = answering.filter_map(ours).filter(leads).count();
        for view in &mut self.views {
            view.standing = match (view.sight, &view.error) {
                (_, Some(_)) => Standing::Down,
                (None, None) => Standing::Unknown,
                (Some(sight), None) if sight.system != identity => Standing::Foreign,
                (Some(sight), None) if sight.recovering => Standing::Standby,
                (Some(sight), None) if sight.timeline < newest => Standing::Stale,
                (Some(_), None) if leaders > 1 => Standing::Rival,
                (Some(_), None) => Standing::Primary,
            };
        }
    }

    fn sample(&mut self, index: usize, sight: Sight) {
        if self.views.get(index).is_some_and(|view| view.standing == Standing::Primary) {
            if self.samples.len() == SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back((sight.taken, sight.lsn));
        }
    }

    /// How old at most is what a standby shows: the time since the latest position of the primary that it has
    /// reached. `None` when that is further back than what is remembered.
    pub(super) fn staleness(&self, sight: &Sight, now: Duration) -> Option<Duration> {
        let reached = self.samples.iter().rev().find(|(_, lsn)| *lsn <= sight.lsn);
        reached.map(|(at, _)| now.saturating_sub(*at))
    }

    /// Whether what a token names is on the way to `timeline`: true, false, or not to be known.
    pub(super) fn descends(&self, token: Token, timeline: u32) -> Option<bool> {
        if token.timeline == timeline {
            return Some(true);
        }
        if token.timeline > timeline {
            return Some(false);
        }
        let newest = self.history.as_ref().filter(|history| history.timeline >= timeline);
        if let Some(history) = newest {
            if timeline != history.timeline && history.end_of(timeline).is_none() {
                // A branch that died.
                return Some(false);
            }
            return Some(history.end_of(token.timeline).is_some_and(|end| token.lsn <= end));
        }
        let kept = self.kept.get(&token.timeline).is_some_and(|kept| token.lsn <= *kept);
        kept.then_some(true)
    }
}

/// The error of a token that names what is not part of this cluster's history.
pub(super) fn lost(token: Token, known: bool) -> Error {
    let message = if known {
        "what the token names was lost when another server was promoted"
    } else {
        "whether what the token names outlived a promotion cannot be told"
    };
    let remedy = if known {
        "forget the token and read what is there now: the write must be made again"
    } else {
        "let the role read timeline histories: GRANT EXECUTE ON FUNCTION \
         pg_read_file(text, bigint, bigint, boolean)"
    };
    Error::new(ErrorKind::Precondition, message)
        .with_retry(Retry::Never)
        .with_operation("read")
        .with_component("database")
        .with_key(token)
        .with_remedy(remedy)
}
