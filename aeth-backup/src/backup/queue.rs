//! The work between the walker and the workers.

use super::directory::FileBatch;
use super::file::ChunkJob;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;

/// Batches of files that may wait: each holds its directory open.
const BATCHES: usize = 16;
/// Bytes of chunks that may wait: enough for the others to have work while one of them reads.
const CHUNK_BYTES: usize = 2 << 20;

/// One piece of work.
#[derive(Debug)]
pub(super) enum Job {
    Files(FileBatch),
    Chunk(ChunkJob),
}

/// A bounded queue. Chunks go before files, so that what holds memory is worked off first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: VecDeque<FileBatch>,
    chunks: VecDeque<ChunkJob>,
    chunk_bytes: usize,
    /// Workers that are at a job, and may hand out chunks of it.
    busy: usize,
    closed: bool,
    aborted: bool,
}

impl Queue {
    /// Waits for room and puts files in; drops them when the run was aborted.
    pub(super) fn push_files(&self, batch: FileBatch) {
        let mut state = self.state.lock();
        while state.files.len() >= BATCHES && !state.aborted {
            self.room.wait(&mut state);
        }
        if !state.aborted {
            state.files.push_back(batch);
            self.ready.notify_one();
        }
    }

    /// Puts a chunk in when there is room for it; gives it back otherwise, to be done at once.
    pub(super) fn offer_chunk(&self, chunk: ChunkJob) -> Result<(), ChunkJob> {
        let mut state = self.state.lock();
        let full = state.chunk_bytes > 0 && state.chunk_bytes + chunk.len() > CHUNK_BYTES;
        if full || state.aborted {
            return Err(chunk);
        }
        state.chunk_bytes += chunk.len();
        state.chunks.push_back(chunk);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for work; `None` when there will be none any more. `done` says that the caller finished a job that
    /// it had from here.
    pub(super) fn pop(&self, done: bool) -> Option<Job> {
        let mut state = self.state.lock();
        if done {
            state.busy -= 1;
        }
        loop {
            if state.aborted {
                return None;
            }
            if let Some(chunk) = state.chunks.pop_front() {
                state.chunk_bytes -= chunk.len();
                state.busy += 1;
                return Some(Job::Chunk(chunk));
            }
            if let Some(batch) = state.files.pop_front() {
                state.busy += 1;
                self.room.notify_one();
                return Some(Job::Files(batch));
            }
            if state.closed && state.busy == 0 {
                self.ready.notify_all();
                return None;
            }
            self.ready.wait(&mut state);
        }
    }

    /// No more files come; workers end when the queue is empty and nobody is at a file that may still hand out
    /// chunks.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_all();
    }

    /// Drops everything and ends the workers.
    pub(super) fn abort(&self) {
        let mut state = self.state.lock();
        state.aborted = true;
        state.files.clear();
        state.chunks.clear();
        self.ready.notify_all();
        self.room.notify_all();
    }
}
