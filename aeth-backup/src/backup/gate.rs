//! The bound on memory: how many packs may exist at once, open or on their way.

use crate::error::cancelled;
use crate::format::BlobKind;
use aeth_core::Result;
use bytes::BytesMut;
use parking_lot::{Condvar, Mutex};

/// Packs of data, and packs of trees: a backlog of one must not stop the other.
#[derive(Debug)]
pub(super) struct Gates {
    data: Gate,
    trees: Gate,
}

impl Gates {
    /// As many packs as may be open, and `uploads` more on their way (one, for trees, which are small).
    pub(super) fn new(open: usize, uploads: usize, capacity: usize) -> Self {
        Self { data: Gate::new(open + uploads.max(1), capacity), trees: Gate::new(open + 1, capacity) }
    }

    pub(super) fn of(&self, kind: BlobKind) -> &Gate {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// Wakes everybody with an error.
    pub(super) fn close(&self) {
        self.data.close();
        self.trees.close();
    }
}

/// Hands out the buffers of packs. A buffer that comes back is used again: touching fresh memory costs as much
/// as compressing it does.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    freed: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State {
    left: usize,
    spare: Vec<BytesMut>,
    closed: bool,
}

impl Gate {
    /// At most `packs` buffers at once, each for `capacity` bytes.
    fn new(packs: usize, capacity: usize) -> Self {
        let state = State { left: packs, spare: Vec::new(), closed: false };
        Self { state: Mutex::new(state), freed: Condvar::new(), capacity }
    }

    /// Waits for a buffer; the thread's own business, never call it on a runtime worker.
    pub(super) fn take(&self) -> Result<BytesMut> {
        loop {
            if let Some(buffer) = self.try_take()? {
                return Ok(buffer);
            }
            let mut state = self.state.lock();
            if state.left == 0 && !state.closed {
                self.freed.wait(&mut state);
            }
        }
    }

    /// A buffer, if one may be had now.
    pub(super) fn try_take(&self) -> Result<Option<BytesMut>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(cancelled());
        }
        if state.left == 0 {
            return Ok(None);
        }
        state.left -= 1;
        let spare = state.spare.pop();
        drop(state);
        Ok(Some(spare.unwrap_or_else(|| BytesMut::with_capacity(self.capacity))))
    }

    /// Gives a buffer back, or the right to one.
    pub(super) fn give(&self, buffer: Option<BytesMut>) {
        let mut state = self.state.lock();
        state.left += 1;
        state.spare.extend(buffer.filter(|buffer| buffer.capacity() >= self.capacity));
        self.freed.notify_one();
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.freed.notify_all();
    }
}
