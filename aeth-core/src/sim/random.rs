//! Seeded chance.

use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// A seeded source of chance: the same seed gives the same sequence, on every machine. Clones share one sequence.
#[derive(Clone)]
pub struct SimRng {
    seed: u64,
    inner: Arc<Mutex<fastrand::Rng>>,
}

impl SimRng {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, inner: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))) }
    }

    /// The seed, for the message by which a failure is reproduced.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A sequence of its own, which depends on the seed and the label only.
    #[must_use]
    pub fn fork(&self, label: &str) -> Self {
        let seed = label.bytes().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::new(seed)
    }

    /// A number below `bound`; 0 when that is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.inner.lock().u64(..bound) }
    }

    /// True with this probability (0 to 1).
    #[must_use]
    pub fn chance(&self, probability: f64) -> bool {
        self.inner.lock().f64() < probability
    }

    /// Random bytes.
    #[must_use]
    pub fn bytes(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.inner.lock().fill(&mut bytes);
        bytes
    }
}

impl fmt::Debug for SimRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimRng").field("seed", &self.seed).finish_non_exhaustive()
    }
}
