//! The bound on memory: how many packs may exist at once, open or on their way.

use crate::error::cancelled;
use aeth_core::Result;
use bytes::BytesMut;
use parking_lot::{Condvar, Mutex};

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
    pub(super) fn new(packs: usize, capacity: usize) -> Self {
        let state = State { left: packs, spare: Vec::new(), closed: false };
        Self { state: Mutex::new(state), freed: Condvar::new(), capacity }
    }

    /// Waits for a buffer; the thread's own business, never call it on a runtime worker.
    pub(super) fn take(&self) -> Result<BytesMut> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(cancelled());
            }
            if state.left > 0 {
                state.left -= 1;
                let spare = state.spare.pop();
                drop(state);
                return Ok(spare.unwrap_or_else(|| BytesMut::with_capacity(self.capacity)));
            }
            self.freed.wait(&mut state);
        }
    }

    /// Gives a buffer back, or the right to one.
    pub(super) fn give(&self, buffer: Option<BytesMut>) {
        let mut state = self.state.lock();
        state.left += 1;
        state.spare.extend(buffer.filter(|buffer| buffer.capacity() >= self.capacity));
        self.freed.notify_one();
    }

    /// Wakes everybody with an error.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.freed.notify_all();
    }
}
