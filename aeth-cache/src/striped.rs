//! A counter for the hit path.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

const STRIPES: usize = 16;

/// One atomic on cache lines of its own (two: processors fetch them in pairs).
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

/// A count that threads add to without meeting on one cache line.
#[derive(Default)]
pub(crate) struct StripedCounter([Line; STRIPES]);

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn stripe() -> usize {
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(NEXT.fetch_add(1, Relaxed) % STRIPES);
        }
        stripe.get()
    })
}

impl StripedCounter {
    /// Adds one, and gives what this thread's part of the count was before.
    #[inline]
    pub(crate) fn increment(&self) -> u64 {
        match self.0.get(stripe()) {
            Some(line) => line.0.fetch_add(1, Relaxed),
            None => 0,
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Relaxed)).fold(0, u64::wrapping_add)
    }
}

impl fmt::Debug for StripedCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StripedCounter({})", self.get())
    }
}
