//! The memory of streamed reads, which goes round.
//!
//! Chunks are read on one thread and let go on another. An allocator keeps what was let go for the thread that asked
//! for it, and with every thread that ever read there would be more of it; and fresh memory has to be cleared.

use bytes::Bytes;
use parking_lot::Mutex;

/// The length of a chunk.
pub(super) const CHUNK: usize = 1 << 20;
/// Chunks that wait for the next read; more are given back.
const KEPT: usize = 8;

static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Room for a chunk.
pub(super) fn room() -> Vec<u8> {
    FREE.lock().pop().unwrap_or_else(|| Vec::with_capacity(CHUNK))
}

/// A chunk to be handed on; its room comes back when nobody has it any more.
pub(super) fn lend(chunk: Vec<u8>) -> Bytes {
    Bytes::from_owner(Lent(chunk))
}

struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut room = std::mem::take(&mut self.0);
        room.clear();
        let mut free = FREE.lock();
        if free.len() < KEPT {
            free.push(room);
        }
    }
}
